"""What a ledger must say of each theorem, with the numbers that the rest of the report holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType

from dlgen_cli.bounds.compression import ALL_RANKS, FIXED_RANK
from dlgen_cli.bounds.compression_layer_ranks import LAYER_RANKS
from dlgen_cli.bounds.compression_occam import OCCAM
from dlgen_cli.bounds.compression_stored import STORED
from dlgen_cli.bounds.disagreement import DISAGREEMENT
from dlgen_cli.bounds.holdout import CLOPPER_PEARSON
from dlgen_cli.bounds.pac_bayes import ANCHORS, MIXTURE, PINSKER
from dlgen_cli.bounds.pac_bayes_drawn import DRAWN
from dlgen_cli.bounds.pac_bayes_kl import KL
from dlgen_cli.bounds.pac_bayes_posterior import POSTERIOR
from dlgen_cli.bounds.rademacher import EXPECTED, MARKOV, PRINTED
from dlgen_cli.bounds.recorded_fields import Fields, read_assumptions
from dlgen_cli.records import Assumption
from dlgen_cli.verification.comparison import Mismatch
from dlgen_cli.verification.ledger_lines import LINES

_GAP = ("m", "independence", "structure", "activation", "radius", "loss")
_SHELL = ("m", "independence", "zero_one")
_PAC_BAYES = (*_SHELL, "anchors", "sigma", "random")
_SAMPLE = ("counted", "sample")
#: The keys of `LINES` that the ledger of a theorem must hold, in any order.
REQUIRED: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        FIXED_RANK.name: (*_GAP, "idealized"),
        ALL_RANKS.name: (*_GAP, "idealized"),
        LAYER_RANKS.name: (*_GAP, "idealized"),
        STORED.name: (*_GAP, "stored"),
        OCCAM.name: (*_SAMPLE, "structure", "code"),
        ANCHORS.name: _PAC_BAYES,
        MIXTURE.name: _PAC_BAYES,
        PINSKER.name: _PAC_BAYES,
        KL.name: (*_SAMPLE, "structure", "anchors", "sigma", "random", "draws"),
        POSTERIOR.name: (
            *_SAMPLE,
            "structure",
            "prior",
            "deviations",
            "tried",
            "random",
            "draws",
        ),
        DRAWN.name: (
            *_SAMPLE,
            "structure",
            "prior",
            "deviations",
            "tried",
            "drawn_network",
            "seed",
        ),
        EXPECTED.name: _SHELL,
        MARKOV.name: _SHELL,
        PRINTED.name: _SHELL,
        CLOPPER_PEARSON.name: ("seen", "not_chosen", "holdout"),
        DISAGREEMENT.name: (
            "pair",
            "fresh",
            "unlabelled",
            "surrogate_seen",
            "surrogate_not_chosen",
            "surrogate_holdout",
        ),
    }
)
#: What the ledger of a coded run must hold instead.
REQUIRED_OF_CODED: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        OCCAM.name: (*_SAMPLE, "code", "family"),
        POSTERIOR.name: (*_SAMPLE, "prior", "family", "random", "draws"),
    }
)
#: Where the structure is violated nothing was evaluated, and these lines have no numbers to hold.
_EVALUATED = {"idealized", "stored", "code", "change", "width"}


def check_ledger(bound: Fields, report: Fields, own: int) -> Iterator[Mismatch]:
    """Every line that the theorem needs is there, with the status that its evidence gives it.

    Args:
        bound: as recorded.
        report: as recorded; its numbers are those that the lines name.
        own: the lines at the end that the theorem itself wrote; they are recomputed.

    Yields:
        A line that is missing, or that says something else than the report.
    """
    lines = read_assumptions(bound)
    lines = lines[: len(lines) - own]
    numbers = named_numbers(bound, report)
    found = set()
    is_withheld = any(
        line.status == "violated" and match_line(line, numbers) == "structure" for line in lines
    )
    for index, line in enumerate(lines):
        key = match_line(line, numbers)
        if key is None:
            yield Mismatch(
                where=f"{bound.path('assumptions')}[{index}]",
                recorded=f"{line.status}: {line.statement} {line.evidence}",
                recomputed="a line that the ledger of this report can hold",
            )
        found.add(key)
    if "counted" in found and "excluded" not in found and not is_withheld:
        yield from _check_count(bound)
    if "features" in found:
        yield from _check_features(bound, report)
    for key in required_lines(bound, report):
        if key not in found and not (is_withheld and key in _EVALUATED):
            expected = next(line.statement for line in LINES if line.key == key)
            yield Mismatch(
                where=bound.path("assumptions"), recorded="no such line", recomputed=expected
            )


def _check_features(bound: Fields, report: Fields) -> Iterator[Mismatch]:
    """Each file of features that the settings name has its line, with its columns and digest."""
    lines = [(line.statement, line.evidence) for line in read_assumptions(bound)]
    for row in report.fields("settings").rows("features"):
        statement = f"What computed {row.text('name')} was fixed without a look at these examples."
        told = (
            f"{row.count('columns'):,} features of each example, sha256 {row.text('sha256')[:12]}"
        )
        if not any(one.endswith(statement) and f": {told}." in two for one, two in lines):
            where = bound.path("assumptions")
            yield Mismatch(where=where, recorded="no such line", recomputed=f"{statement} {told}")


def _check_count(bound: Fields) -> Iterator[Mismatch]:
    """Where no example left the sample, the bound is evaluated on all that were counted."""
    terms, told = bound.fields("terms"), evidence_of(bound, "counted")
    counted = re.match(r"([\d,]+) examples", told)
    found = terms.get("examples")
    if counted and found is not None and counted[1] != format(found, ","):
        yield Mismatch(where=terms.path("examples"), recorded=found, recomputed=told)


def required_lines(bound: Fields, report: Fields) -> Sequence[str]:
    """The keys of the lines that a theorem of this report needs."""
    theorem, settings = bound.text("theorem"), report.fields("settings")
    if is_evaluated_elsewhere(report):
        return ("evaluated", "unseen", "drawn")
    made = ["features"] if settings.get("features") else []
    is_coded = "coded" in (report.get("results") or {})
    needed = list((REQUIRED_OF_CODED if is_coded else REQUIRED).get(theorem, ()))
    if theorem == OCCAM.name and settings.get("base"):
        needed = [*_SAMPLE, "structure", "base", "change"]
    needed += made if {"counted", "holdout", "pair"} & set(needed) else []
    if theorem == POSTERIOR.name and "cells" in bound.fields("terms").values:
        needed[needed.index("draws")] = "integral"
    if theorem in (OCCAM.name, KL.name) and not is_coded and _is_run(report):
        needed.append("trained_on")
    if "code" in needed and not is_coded and settings.get("b") != "auto":
        needed.append("width")
    if theorem == KL.name and settings.get("relative_sigma"):
        needed.append("relative")
    if theorem == KL.name and settings.get("freeze"):
        needed += ["frozen", "frozen_before"]
    return needed


def is_evaluated_elsewhere(report: Fields) -> bool:
    """Whether no checkpoint was read: the predictor's errors or losses were given."""
    named = report.fields("settings").values.keys() & {"errors", "predictions"}
    return report.get("command") == "certify" and report.get("provenance") is None and bool(named)


def match_line(line: Assumption, numbers: Mapping[str, str]) -> str | None:
    """The key of a line; None where no line may say this."""
    known = tuple(sorted(numbers.items()))
    for one in LINES:
        if _pattern(one.statement, known).fullmatch(line.statement):
            for evidence in getattr(one, line.status):
                if _pattern(evidence, known).fullmatch(line.evidence):
                    return one.key
    return None


def evidence_of(bound: Fields, key: str) -> str:
    """What speaks for the line of this key; empty where there is none."""
    statements = [_pattern(one.statement, ()) for one in LINES if one.key == key]
    for line in read_assumptions(bound):
        if any(one.fullmatch(line.statement) for one in statements):
            return line.evidence
    return ""


def named_numbers(bound: Fields, report: Fields) -> dict[str, str]:
    """The numbers that a ledger names, as it writes them."""
    settings, terms = report.fields("settings"), bound.fields("terms")
    results = report.get("results") or {}
    provenance = report.get("provenance") or {}
    numbers: dict[str, str] = {}

    def add(name: str, value: object, written: str) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[name] = format(value, written)

    add("m", settings.get("m"), ",")
    add("examples", terms.get("examples"), ",")
    is_run = _is_run(report)
    add("sample", results.get("sample_examples", settings.get("m") if is_run else None), ",")
    add("gamma", settings.get("gamma"), "g")
    add("radius", settings.get("radius"), "g")
    add("beta", settings.get("beta"), ".6g")
    add("given_beta", settings.get("beta"), "g")
    add("margin", settings.get("margin"), "g")
    add("bits", terms.get("bits_per_parameter"), "d")
    add("code_bits", terms.get("bits"), ",")
    add("draws", settings.get("draws"), ",")
    add("cells", settings.get("cells"), ",")
    add("b", settings.get("b"), "d")
    add("tried_nats", settings.get("tried_nats"), "g")
    add("nats", settings.get("nats"), "g")
    add("surrogate_examples", terms.get("surrogate_examples"), ",")
    add("errors", terms.get("errors"), ",")
    add("tried", settings.get("tried"), ",")
    if isinstance(results.get("coordinates"), list):
        add("tensors", len(results["coordinates"]), ",")
    drawn = results.get("drawn_network") or {}
    numbers["drawn_file"], numbers["drawn_sha256"] = (
        str(drawn.get(name))[:length] for name, length in (("file", None), ("sha256", 12))
    )
    numbers["architecture"] = str(provenance.get("architecture"))
    numbers["arch"] = str(settings.get("arch"))
    return numbers


def _is_run(report: Fields) -> bool:
    provenance = report.get("provenance") or {}
    return "recorded_errors" in provenance and provenance.get("format") == "run"


@cache
def _pattern(template: str, known: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    numbers = dict(known)
    parts = re.split(r"\{([*#]|\w+)\}", template)
    texts = []
    for index, part in enumerate(parts):
        if index % 2 == 0:
            texts.append(re.escape(part))
        elif part == "#":
            texts.append(r"[\d,]+")
        else:
            texts.append(re.escape(numbers[part]) if part in numbers else ".+")
    return re.compile("".join(texts), re.DOTALL)
