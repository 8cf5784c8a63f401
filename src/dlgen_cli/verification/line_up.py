"""Which bounds a report must hold, which of them compete, and at which share of delta."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from dlgen_cli.bounds.compression import ALL_RANKS, FIXED_RANK
from dlgen_cli.bounds.compression_layer_ranks import LAYER_RANKS
from dlgen_cli.bounds.compression_occam import OCCAM
from dlgen_cli.bounds.compression_stored import STORED
from dlgen_cli.bounds.disagreement import DISAGREEMENT
from dlgen_cli.bounds.holdout import CLOPPER_PEARSON
from dlgen_cli.bounds.mean_betting import BETTING
from dlgen_cli.bounds.pac_bayes import ANCHORS, MIXTURE, PINSKER
from dlgen_cli.bounds.pac_bayes_drawn import DRAWN
from dlgen_cli.bounds.pac_bayes_kl import KL
from dlgen_cli.bounds.pac_bayes_posterior import POSTERIOR
from dlgen_cli.bounds.rademacher import EXPECTED, MARKOV, PRINTED
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.verification.comparison import Mismatch
from dlgen_cli.verification.ledger import evidence_of, is_evaluated_elsewhere

_GAUSSIANS = (ANCHORS.name, MIXTURE.name, PINSKER.name)
_SHELLS = (EXPECTED.name, MARKOV.name, PRINTED.name)
#: Commands whose certificates divide delta among them.
SHARING = frozenset({"certify", "demo"})
_MOST_STORED_BITS = 32
#: Settings that a command has, and settings that it may have, of those that name a family.
_FAMILIES = {
    "compress-bound": ({"b"}, {"data"}),
    "compress": ({"b"}, set[str]()),
    "pacbayes": ({"sigma"}, {"data"}),
    "rademacher": ({"epsilon"}, set[str]()),
    "audit": ({"b", "epsilon"}, {"sigma"}),
    "certify": ({"data"}, {"b", "sigma", "shrink"}),
    "demo": ({"data"}, {"b", "sigma", "epsilon", "shrink"}),
}
_ROUNDING = 1e-12
#: By split: the theorem of counted errors that were given.
_COUNTING = {"holdout": CLOPPER_PEARSON.name, "sample": OCCAM.name}


def candidates(report: Fields) -> list[str]:
    """The theorems that compete for the headline, fixed by the command and its settings."""
    settings, command = report.fields("settings"), report.get("command")
    if command in SHARING:
        return _certificates(report)[: 1 if is_altered(report) else None]
    if command == "compress":
        return [STORED.name]
    found = []
    if "b" in settings.values:
        found.append(OCCAM.name if "data" in settings.values else _preferred(settings))
    if "sigma" in settings.values:
        found.append(KL.name if "data" in settings.values else PINSKER.name)
    return found


def theorems(report: Fields) -> list[str]:
    """All theorems that a report must hold, in their order."""
    settings, command = report.fields("settings"), report.get("command")
    if command == "compress":
        return [STORED.name]
    certificates = _certificates(report) if command in SHARING else []
    found = [*certificates, *_compression(settings)]
    has_data = "data" in settings.values and command not in SHARING
    found += [OCCAM.name] if has_data and "b" in settings.values else []
    if "sigma" in settings.values:
        found += [*_GAUSSIANS, *([KL.name] if has_data else [])]
    return [*found, *(_SHELLS if "epsilon" in settings.values else ())]


def is_altered(report: Fields) -> bool:
    """Whether the ledger says that labels of the sample were altered, so that nothing competes."""
    return any(
        "altered labels" in evidence_of(row, "sample")
        for row in report.rows("bounds")
        if row.get("theorem") in (OCCAM.name, KL.name, POSTERIOR.name, DRAWN.name)
    )


def check_line_up(report: Fields) -> Iterator[Mismatch]:
    """The bounds and the candidates of the headline are those of the command."""
    command = report.get("command")
    needed, allowed = _FAMILIES.get(str(command), (set[str](), set[str]()))
    named = report.fields("settings").values.keys() & {"b", "sigma", "epsilon", "data", "shrink"}
    if is_evaluated_elsewhere(report):
        yield from _check_numbers_given(report)
    elif command not in _FAMILIES or not needed <= named <= needed | allowed:
        yield Mismatch(where="command", recorded=command, recomputed=f"one with {sorted(named)}")
    found = [row.text("theorem") for row in report.rows("bounds")]
    if found != theorems(report):
        yield Mismatch(where="bounds", recorded=found, recomputed=theorems(report))
    competing = candidates(report)
    if report.get("headline") is None:
        applying = [
            row.text("theorem")
            for row in report.rows("bounds")
            if row.get("theorem") in competing
            and row.get("status") not in ("not_applicable", "refuted")
        ]
        if applying:
            yield Mismatch(where="headline", recorded=None, recomputed=applying)
        return
    recorded = report.fields("headline").texts("candidates")
    if recorded != competing:
        where = report.fields("headline").path("candidates")
        yield Mismatch(where=where, recorded=recorded, recomputed=competing)


def check_shares(report: Fields) -> Iterator[Mismatch]:
    """Every certificate that competes takes its share of delta, its Monte Carlo step included."""
    settings = report.fields("settings")
    whole, competing = settings.number("delta"), candidates(report)
    certificates = _certificates(report) if report.get("command") in SHARING else []
    for row in report.rows("bounds"):
        terms = row.fields("terms")
        if "delta" not in terms.values:
            continue
        monte_carlo = terms.optional_number("delta_monte_carlo")
        share = whole
        if row.get("theorem") in certificates:
            share = whole / len(competing)
            spent = terms.number("delta") + (monte_carlo or 0.0)
            if not _is_near(spent, share):
                yield Mismatch(where=terms.path("delta"), recorded=spent, recomputed=share)
        if monte_carlo is not None:
            given = settings.optional_number("delta_monte_carlo")
            expected = share / 5 if given is None else given
            if not _is_near(monte_carlo, expected):
                where = terms.path("delta_monte_carlo")
                yield Mismatch(where=where, recorded=monte_carlo, recomputed=expected)
    if report.get("headline") is not None and competing:
        headline = report.fields("headline")
        share = whole / len(competing)
        if not _is_near(headline.number("delta"), share):
            where = headline.path("delta")
            yield Mismatch(where=where, recorded=headline.get("delta"), recomputed=share)


def _certificates(report: Fields) -> list[str]:
    """The certificates on the risk: the holdout, and what the checkpoint gave cause for."""
    if is_evaluated_elsewhere(report):
        return _of_parts(report)
    settings = report.fields("settings").values
    through = [DISAGREEMENT.name] if "surrogate" in settings else []
    coded = (report.get("results") or {}).get("coded")
    found = [CLOPPER_PEARSON.name]
    if isinstance(coded, dict):
        own = POSTERIOR.name if "prior_deviation" in coded else OCCAM.name
        return [*found, own, *through]
    found += [OCCAM.name] if settings.keys() & {"b", "base"} else []
    if "shrink" in settings:
        drawn = [DRAWN.name] if settings.get("draw_network") else []
        return [*found, POSTERIOR.name, *drawn, *through]
    return [*found, *([KL.name] if "sigma" in settings else []), *through]


def _of_parts(report: Fields) -> list[str]:
    """One theorem for each split of what was evaluated elsewhere, for counts or for losses."""
    results, found = (
        report.fields("results").values,
        [r.get("theorem") for r in report.rows("bounds")],
    )
    parts = [counting for part, counting in _COUNTING.items() if f"{part}_examples" in results]
    pairs = zip_longest(parts, found[: len(parts)])
    return [BETTING.name if one == BETTING.name else counting for counting, one in pairs]


def _check_numbers_given(report: Fields) -> Iterator[Mismatch]:
    """Counts and the price of the choice are those of the settings."""
    settings, results = report.fields("settings"), report.fields("results")
    for row in report.rows("bounds"):
        terms, is_sample = row.fields("terms"), "sample_examples" in results.values
        is_holdout = "holdout_examples" in results.values
        expected = {"errors": settings.get("errors"), "examples": settings.get("examples")}
        if row.get("theorem") == OCCAM.name or not is_holdout:
            expected["union_nats"] = settings.number("nats")
        elif not is_sample and "union_nats" in terms.values:
            expected["union_nats"] = 0.0
        for name, one in expected.items():
            if one is not None and terms.get(name) != one:
                yield Mismatch(where=terms.path(name), recorded=terms.get(name), recomputed=one)


def _compression(settings: Fields) -> Sequence[str]:
    if "b" not in settings.values:
        return ()
    names = (ALL_RANKS.name, LAYER_RANKS.name, STORED.name)
    return names if settings.get("r") is None else (FIXED_RANK.name, *names)


def _preferred(settings: Fields) -> str:
    is_stored = settings.get("b") == "auto" or settings.number("b") <= _MOST_STORED_BITS
    return STORED.name if is_stored else LAYER_RANKS.name


def _is_near(found: float, expected: float) -> bool:
    return abs(found - expected) <= _ROUNDING * expected
