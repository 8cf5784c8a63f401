"""What the parts of a report must say of each other: settings, shares of delta, layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from dlgen_cli.bounds import margin_lipschitz
from dlgen_cli.bounds.compression import FIXED_RANK
from dlgen_cli.bounds.holdout import CLOPPER_PEARSON
from dlgen_cli.bounds.layered_network import rows_and_columns
from dlgen_cli.bounds.pac_bayes_drawn import DRAWN, draw_seed
from dlgen_cli.bounds.pac_bayes_posterior import POSTERIOR, posterior_name
from dlgen_cli.bounds.recorded_fields import Fields, is_first
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.bounds.verdict import verdict
from dlgen_cli.records import ADAPTER_KIND, DIAGONAL_KINDS
from dlgen_cli.verification.comparison import Mismatch
from dlgen_cli.verification.line_up import is_altered

#: Shares of delta are rounded to floats.
_ROUNDING = 1e-12
#: Norms come with brackets; an estimate of a ratio is this close to that of their ends.
_ESTIMATE = 1e-6
#: How far the squares of singular values may be from the sum of squares of the entries.
_FROBENIUS = 1e-9
#: Term by setting, for the theorems that take it.
_SHARED = {
    "examples": "m",
    "loss_lipschitz": "beta",
    "radius": "radius",
    "epsilon": "epsilon",
}


def check_settings(bound: Fields, settings: Fields) -> Iterator[Mismatch]:
    """The settings in force are those that the bound was evaluated at."""
    terms, theorem = bound.fields("terms"), bound.text("theorem")
    sample = THEOREMS[theorem].sample if theorem in THEOREMS else "whole"
    for name, setting in _SHARED.items():
        if name not in terms.values or setting not in settings.values:
            continue
        if name == "examples" and sample == "apart":
            continue
        if name == "examples" and sample == "part":
            if terms.number(name) > settings.number(setting):
                yield _odd(terms, name, f"at most m = {settings.number(setting)}")
            continue
        yield from _equal(terms, name, settings.number(setting))
    if "bits_per_parameter" in terms.values and settings.get("b") not in (None, "auto"):
        yield from _equal(terms, "bits_per_parameter", settings.number("b"))
    if theorem == FIXED_RANK.name and terms.get("rank") is not None:
        yield from _equal(terms, "rank", settings.number("r"))
    if "sigmas" in terms.values and "sigma" in settings.values:
        recorded = [row.get("sigma") for row in terms.rows("sigmas")]
        if recorded != settings.items("sigma"):
            yield Mismatch(
                where=settings.path("sigma"), recorded=settings.get("sigma"), recomputed=recorded
            )
    yield from _check_activations(bound, settings)


def check_anchors(bound: Fields) -> Iterator[Mismatch]:
    """The squared distance to an anchor is the sum of those of its tensors, rounded upward."""
    terms = bound.fields("terms")
    if "anchors" not in terms.values:
        return
    for row in terms.rows("anchors"):
        parts = [part.number("squared_distance") for part in row.rows("layers")]
        total = row.number("squared_distance_upper")
        least = math.fsum(parts)
        if min(parts, default=0) < 0 or not least <= total <= least * (1 + _ESTIMATE):
            yield Mismatch(where=row.path("layers"), recorded=least, recomputed=total)


def check_margin(settings: Fields) -> Iterator[Mismatch]:
    """Beta is that of the margin, where one was given."""
    margin = settings.optional_number("margin")
    if margin is not None:
        yield from _equal(settings, "beta", margin_lipschitz(margin))


def _check_activations(bound: Fields, settings: Fields) -> Iterator[Mismatch]:
    """Gamma bounds the activations, and only a default may be below that of a known one."""
    terms = bound.fields("terms")
    applies = bound.get("status") != "not_applicable"
    if "gamma" not in settings.values or "network" not in terms.values or not applies:
        return
    gamma = settings.number("gamma")
    for row in terms.fields("network").rows("nodes"):
        if row.get("kind") != "lipschitz":
            continue
        factor = row.number("factor_upper") if "factor_upper" in row.values else 1.0
        if factor < gamma or (factor > gamma and gamma != 1.0):
            yield Mismatch(where=settings.path("gamma"), recorded=gamma, recomputed=factor)


def check_delta(
    bound: Fields, settings: Fields, widths: int, *, may_share: bool
) -> Iterator[Mismatch]:
    """The bound's failure probability is delta, or its share of it.

    Args:
        bound: as recorded.
        settings: as recorded.
        widths: widths of b that there were to choose from; an idealized compression bound gets
            one share for each.
        may_share: several bounds may divide delta among them.
    """
    terms = bound.fields("terms")
    if "delta" not in terms.values:
        return  # withheld: nothing was evaluated
    spent = terms.number("delta") + (terms.optional_number("delta_monte_carlo") or 0.0)
    whole = settings.number("delta")
    idealized = "bits_per_parameter" in terms.values and "widths" not in terms.values
    if idealized:
        spent *= widths
    too_much = spent > whole * (1 + _ROUNDING)
    if too_much or (not may_share and spent < whole * (1 - _ROUNDING)):
        yield Mismatch(where=terms.path("delta"), recorded=spent, recomputed=whole)


def check_layers(report: Fields) -> Iterator[Mismatch]:
    """Norms of a layer agree with each other and with those that the bounds were made of."""
    layers = {row.text("name"): row for row in report.rows("layers")}
    settings = report.fields("settings")
    for row in layers.values():
        yield from _check_layer(row, settings)
        yield from _check_singular_values(row)
    for bound in report.rows("bounds"):
        terms = bound.fields("terms")
        if "network" not in terms.values:
            continue
        for used in terms.fields("network").rows("layers"):
            measured = layers.get(used.text("name"))
            if measured is None:
                yield _odd(used, "name", "a layer of the report")
                continue
            yield from _check_used(used, measured)
            if bound.get("theorem") == FIXED_RANK.name and not _is_folded(measured):
                yield from _check_truncation(used, measured)


def _check_layer(row: Fields, settings: Fields) -> Iterator[Mismatch]:
    shape = [int(one) for one in row.numbers("shape")]
    if row.get("kind") != ADAPTER_KIND:
        yield from _equal(row, "parameters", math.prod(shape))
    for name in ("spectral_norm", "folded_norm"):
        if name in row.values:
            bracket = row.fields(name)
            if not 0 <= bracket.number("lower") <= bracket.number("upper"):
                yield _odd(bracket, "lower", "at most the upper end")
    norm = row.fields("spectral_norm")
    stable, frobenius = row.optional_number("stable_rank"), row.number("frobenius_norm")
    matrix_norm = row.optional_number("reshaped_norm") or norm.number("upper")
    if matrix_norm:
        yield from _near(row, "stable_rank", (frobenius / matrix_norm) ** 2, stable)
    cut = row.fields("truncation") if "truncation" in row.values else None
    relative = cut.optional_number("relative_error_upper") if cut else None
    if cut is not None:
        yield from _equal(cut, "rank", settings.number("r"))
    if cut is not None and relative is not None:
        lower = norm.number("lower")
        expected = cut.number("error_upper") / lower if lower else None
        yield from _near(cut, "relative_error_upper", expected, relative)
    if row.get("geometry") is None:
        yield from _near(norm, "lower", norm.number("upper"), norm.number("lower"))


def _check_singular_values(row: Fields) -> Iterator[Mismatch]:
    """They are narrow brackets, descending, and their squares add up to the Frobenius norm's."""
    if "singular_values" not in row.values:
        return
    values = row.fields("singular_values")
    upper, lower = values.numbers("upper"), values.numbers("lower")
    width = _ESTIMATE * max(upper, default=0.0)
    if len(upper) != len(lower) or any(
        not 0 <= high - low <= width for high, low in zip(upper, lower, strict=False)
    ):
        yield _odd(values, "lower", "narrow brackets")
    if upper != sorted(upper, reverse=True):
        yield _odd(values, "upper", "descending")
    total, frobenius = (
        math.sqrt(math.fsum(one * one for one in upper)),
        row.number("frobenius_norm"),
    )
    if not math.isclose(total, frobenius, rel_tol=_FROBENIUS):
        yield Mismatch(where=values.path("upper"), recorded=total, recomputed=frobenius)


def _check_used(used: Fields, measured: Fields) -> Iterator[Mismatch]:
    norm = measured.fields("folded_norm" if _is_folded(measured) else "spectral_norm")
    yield from _equal(used, "norm_upper", norm.number("upper"))
    shape = [int(one) for one in measured.numbers("shape")]
    rows, columns = rows_and_columns(str(measured.get("kind")), shape)
    yield from _equal(used, "rows", rows)
    yield from _equal(used, "columns", columns)
    if not _is_folded(measured):
        yield from _check_bias(used, measured)
    if used.flag("is_diagonal") != (measured.get("kind") in DIAGONAL_KINDS):
        yield _odd(used, "is_diagonal", f"that of a {measured.get('kind')}")


def _check_bias(used: Fields, measured: Fields) -> Iterator[Mismatch]:
    """The bias is that of the layer; what is stored of it may be larger by its error."""
    bias = measured.fields("bias") if "bias" in measured.values else None
    norm = bias.number("norm_upper") if bias else 0.0
    yield from _equal(used, "bias_parameters", bias.count("parameters") if bias else 0)
    moved, error = used.number("moved_bias_norm_upper"), used.number("bias_error_upper")
    if moved not in (norm, math.nextafter(norm + error, math.inf)):
        yield _odd(used, "moved_bias_norm_upper", f"the norm {norm}, or it plus the error")
    if bias is None and error:
        yield _odd(used, "bias_error_upper", "0, for there is no bias")


def _check_truncation(used: Fields, measured: Fields) -> Iterator[Mismatch]:
    if "truncation" in measured.values:
        cut = measured.fields("truncation")
        yield from _equal(cut, "error_upper", used.number("error_upper"))


def _is_folded(measured: Fields) -> bool:
    return "folded_norm" in measured.values


def check_parameters(report: Fields) -> Iterator[Mismatch]:
    """The checkpoint holds at least the parameters of the layers."""
    if report.get("provenance") is None:
        return
    provenance = report.fields("provenance")
    weights = sum(row.count("parameters") for row in report.rows("layers"))
    count = len(list(report.rows("layers")))
    stored = provenance.count("parameters")
    coverage = provenance.fields("coverage") if provenance.get("coverage") is not None else None
    is_whole = coverage is not None and ("counted" in coverage.values or not is_first(report))
    if coverage is not None and count and is_whole:  # older reports lack the parts
        yield from _equal(coverage, "matrices", count)
        parts = sum(coverage.count(name) for name in ("parameters", "counted", "unknown"))
        yield from _equal(coverage, "of", parts)
        yield from _equal(coverage, "entries", parts + coverage.count("aside"))
        stored = max(stored, parts)  # quantised entries are parameters of a layer alone
    if stored < weights:
        yield _odd(provenance, "parameters", f"at least {weights}, those of the layers")


def check_certificates(report: Fields) -> Iterator[Mismatch]:
    """What `dlgen certify` shows side by side is what its bounds say."""
    if report.get("results") is None or "certificates" not in report.fields("results").values:
        return
    results = report.fields("results")
    bounds = {row.text("theorem"): row for row in report.rows("bounds")}
    shown = []
    for row in results.rows("certificates"):
        shown.append(row.text("theorem"))
        bound = bounds.get(row.text("theorem"))
        if bound is None:
            yield _odd(row, "theorem", "one of the report's bounds")
            continue
        terms = bound.fields("terms")
        for name, expected in (
            ("risk_upper", bound.get("value")),
            ("status", bound.get("status")),
            ("empirical_risk", terms.get("empirical_risk")),
            ("examples", terms.get("examples")),
        ):
            if row.get(name) != expected:
                yield Mismatch(where=row.path(name), recorded=row.get(name), recomputed=expected)
    values = {
        name: bounds[name].get("value")
        for name in shown
        if name in bounds and bounds[name].get("status") != "refuted"
    }
    altered = not is_first(report) and is_altered(report)
    for row in results.rows("certificates"):
        is_real = row.get("theorem") == CLOPPER_PEARSON.name
        labels = ("real" if is_real else "altered") if altered else None
        if row.get("labels") != labels:
            yield Mismatch(where=row.path("labels"), recorded=row.get("labels"), recomputed=labels)
    expected = verdict(values, altered=altered)
    if results.get("verdict") != expected:
        recorded = results.get("verdict")
        yield Mismatch(where=results.path("verdict"), recorded=recorded, recomputed=expected)
    headline = report.get("headline")
    best = None if headline is None else report.fields("headline").get("theorem")
    if results.get("best") != best:
        yield Mismatch(where=results.path("best"), recorded=results.get("best"), recomputed=best)


def check_results(report: Fields) -> Iterator[Mismatch]:
    """What `dlgen compress` says it wrote is what its bound speaks of."""
    if report.get("command") != "compress":
        return
    results = report.fields("results")
    for bound in report.rows("bounds"):
        terms = bound.fields("terms")
        for name in ("ranks", "bits"):
            if results.get(name) != terms.get(name):
                expected = terms.get(name)
                yield Mismatch(
                    where=results.path(name), recorded=results.get(name), recomputed=expected
                )


def check_posteriors(report: Fields) -> Iterator[Mismatch]:
    """Trained posteriors are those of the settings; the coordinates' nats add up to the bound's."""
    settings = report.fields("settings")
    for bound in report.rows("bounds"):
        if bound.get("theorem") != POSTERIOR.name:
            continue
        terms = bound.fields("terms")
        if "shrink" in settings.values:
            expected = [posterior_name(one) for one in settings.numbers("shrink")]
            found = [row.text("name") for row in terms.rows("posteriors")]
            if found != expected:
                where = settings.path("shrink")
                yield Mismatch(where=where, recorded=expected, recomputed=found)
        yield from _check_coordinates(report, terms)


def check_drawn(report: Fields) -> Iterator[Mismatch]:
    """The network that was drawn is the one of the settings, and its seed that of the run."""
    settings = report.fields("settings")
    for bound in report.rows("bounds"):
        if bound.get("theorem") != DRAWN.name:
            continue
        found = report.fields("results").fields("drawn_network")
        model = report.fields("provenance").text("sha256")
        seed = draw_seed(model, found.text("posterior_sha256"))
        names = {settings.text("draw_network")}
        expected = {"name": found.text("file"), "seed": seed}
        rows = list(bound.fields("terms").rows("networks"))
        for row in (bound.fields("terms"), *rows):
            for name, one in expected.items():
                if row.get(name) != one:
                    yield Mismatch(where=row.path(name), recorded=row.get(name), recomputed=one)
        if len(rows) != 1 or names != {found.text("file")}:
            where = settings.path("draw_network")
            yield Mismatch(where=where, recorded=sorted(names), recomputed=found.text("file"))
        if not 0 <= found.number("test_error") <= 1:
            yield _odd(found, "test_error", "a share")


def _check_coordinates(report: Fields, terms: Fields) -> Iterator[Mismatch]:
    results = report.get("results")
    if results is None or "coordinates" not in report.fields("results").values:
        return
    rows = list(report.fields("results").rows("coordinates"))
    for name in ("distance_nats_upper", "spread_nats_upper"):
        parts = [row.number(name) for row in rows]
        least, total = math.fsum(parts), terms.number(name)
        if min(parts, default=0.0) < 0 or not least <= total <= least * (1 + _ROUNDING):
            where = f"results.coordinates.{name}"
            yield Mismatch(where=where, recorded=least, recomputed=total)


def check_theorems(names: Sequence[str], known: Sequence[str]) -> Iterator[Mismatch]:
    """Each theorem is known and stands in the report once."""
    for index, name in enumerate(names):
        if name not in known or name in names[:index]:
            expected = "a theorem that dlgen knows, once"
            yield Mismatch(where=f"bounds[{index}].theorem", recorded=name, recomputed=expected)


def _equal(fields: Fields, name: str, expected: float) -> Iterator[Mismatch]:
    found = fields.get(name)
    if isinstance(found, bool) or found != expected:
        yield Mismatch(where=fields.path(name), recorded=found, recomputed=expected)


def _near(
    fields: Fields, name: str, expected: float | None, found: float | None
) -> Iterator[Mismatch]:
    if expected is None or found is None or not math.isclose(found, expected, rel_tol=_ESTIMATE):
        yield Mismatch(where=fields.path(name), recorded=found, recomputed=expected)


def _odd(fields: Fields, name: str, expected: str) -> Mismatch:
    return Mismatch(where=fields.path(name), recorded=fields.get(name), recomputed=expected)
