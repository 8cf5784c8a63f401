"""Every choice is paid for: unions follow from the settings, the layers and the ledger's words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from dlgen_cli.bounds.compression_occam import OCCAM
from dlgen_cli.bounds.compression_stored import STORED
from dlgen_cli.bounds.pac_bayes import ANCHORS, MIXTURE, PINSKER
from dlgen_cli.bounds.pac_bayes_drawn import DRAWN
from dlgen_cli.bounds.pac_bayes_kl import KL
from dlgen_cli.bounds.pac_bayes_posterior import POSTERIOR
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.verification.comparison import Mismatch
from dlgen_cli.verification.ledger import evidence_of, is_evaluated_elsewhere

#: What ``--b auto`` chooses from.
WIDTHS = 9
#: The deviations that each tensor of a prior chooses from, and those of a coded run's prior.
EXPONENTS = 49
_ROUNDING = 1e-12
#: The ledger tells nats with one decimal.
_TOLD = 0.051
_MOST_NAMED = 4


def check_unions(bound: Fields, report: Fields) -> Iterator[Mismatch]:
    """What a bound pays for choices, draws and anchors is what the report says there were."""
    theorem, terms = bound.text("theorem"), bound.fields("terms")
    if "delta" not in terms.values:
        return  # withheld
    if theorem == STORED.name:
        expected = WIDTHS if report.fields("settings").get("b") == "auto" else 1
        yield from _same(terms, "widths", expected)
    if theorem == OCCAM.name and not is_evaluated_elsewhere(report):
        yield from _check_code(bound, report)
    if theorem in (POSTERIOR.name, DRAWN.name):
        yield from _check_prior(bound, report)
    if theorem in (KL.name, POSTERIOR.name):
        rows = "sigmas" if theorem == KL.name else "posteriors"
        for row in terms.rows(rows):
            yield from _check_risk(row, report.fields("settings"))
    if theorem in (ANCHORS.name, MIXTURE.name, PINSKER.name, KL.name):
        yield from _check_named(bound)


def _check_risk(row: Fields, settings: Fields) -> Iterator[Mismatch]:
    """The risk on the sample was drawn, or integrated, as often as the settings say."""
    if "cells" in settings.values:
        yield from _same(row, "cells", settings.count("cells"))
        if settings.get("draws") is not None:
            where, recorded = settings.path("draws"), settings.get("draws")
            yield Mismatch(where=where, recorded=recorded, recomputed="none: there is an integral")
        return
    for name in ("draws", "trials"):
        yield from _same(row, name, settings.count("draws"))


def check_sisters(report: Fields) -> Iterator[Mismatch]:
    """Theorems that speak of the same anchors hold the same anchors at the same distances."""
    first: dict[str, object] = {}
    for row in report.rows("bounds"):
        if row.get("theorem") not in (ANCHORS.name, MIXTURE.name, PINSKER.name, KL.name):
            continue
        anchors = list(row.fields("terms").rows("anchors"))
        measured = {
            "names": [one.text("name") for one in anchors],
            "distances": [one.number("squared_distance_upper") for one in anchors],
            "layers": [one.get("layers") for one in anchors],
        }
        if row.get("theorem") == KL.name:  # in units of its deviations, over the folded network
            del measured["distances"], measured["layers"]
        for name, found in measured.items():
            if first.setdefault(name, found) != found:
                where = row.fields("terms").path("anchors")
                yield Mismatch(where=where, recorded=found, recomputed=first[name])


def _check_code(bound: Fields, report: Fields) -> Iterator[Mismatch]:
    """The code's bits, and the logarithm of how many codes there were to choose from."""
    terms, results = bound.fields("terms"), report.get("results") or {}
    if "base" in report.fields("settings").values:  # every choice is a part of the code
        yield from _same(terms, "union_nats", 0)
        return
    if "coded" in results:
        coded = report.fields("results").fields("coded")
        yield from _same(coded, "bits", terms.count("bits"))
        choices = _family(bound)
    else:
        widths = WIDTHS if report.fields("settings").get("b") == "auto" else 1
        shapes = [row.numbers("shape") for row in report.rows("layers")]
        ranks = [min(int(one[0]), int(math.prod(one[1:]))) for one in shapes if one]
        choices = (max(ranks, default=1).bit_length() + 1) * widths
        told = re.search(r"one of (\d+) codes", evidence_of(bound, "code"))
        if told is None or int(told[1]) != choices:
            where = bound.path("assumptions")
            yield Mismatch(where=where, recorded=told and told[1], recomputed=choices)
    yield from _nats(terms, "union_nats", math.log(choices))


def _check_prior(bound: Fields, report: Fields) -> Iterator[Mismatch]:
    """The logarithm of how many priors there were to choose from."""
    terms, settings = bound.fields("terms"), report.fields("settings")
    if "coded" in (report.get("results") or {}):
        told = re.search(r"with the (\d+) bits", evidence_of(bound, "prior"))
        bits = int(told[1]) if told else 0
        expected = math.log(EXPONENTS * _family(bound)) + bits * math.log(2)
        yield from _nats(terms, "choice_nats", expected)
        return
    told = re.search(r": ([\d,.]+) nats for ([\d,]+) tensors", evidence_of(bound, "deviations"))
    nats, tensors = (float(one.replace(",", "")) for one in told.groups()) if told else (0.0, 0.0)
    tried = settings.number("tried_nats") or math.log(settings.count("tried"))
    paid = terms.number("choice_nats") - tried
    yield from _check_search(bound, settings)
    if not abs(paid - nats) <= _TOLD or (tensors and paid <= 0):
        where, recorded = terms.path("choice_nats"), terms.get("choice_nats")
        yield Mismatch(where=where, recorded=recorded, recomputed=f"{nats} nats, and those tried")


def _check_search(bound: Fields, settings: Fields) -> Iterator[Mismatch]:
    """The line on what was tried is the one that the settings ask for."""
    evidence = evidence_of(bound, "tried")
    is_none = settings.number("tried_nats") == 0 and settings.count("tried") == 1
    if is_none != evidence.startswith("No other"):
        where = settings.path("tried")
        yield Mismatch(where=where, recorded=settings.get("tried"), recomputed=evidence)


def _check_named(bound: Fields) -> Iterator[Mismatch]:
    """The anchors are those that the ledger names."""
    names = [row.text("name") for row in bound.fields("terms").rows("anchors")]
    evidence = evidence_of(bound, "anchors")
    if evidence.startswith("The initialization"):
        is_told = len(names) == 1
    else:
        described = r"(?: \([^()]*(?:\([^()]*\)[^()]*)*\))?"
        listed = ", ".join(re.escape(name) + described for name in names[:_MOST_NAMED])
        more = len(names) - _MOST_NAMED
        suffix = f" and {more} more" if more > 0 else ""
        is_told = bool(re.fullmatch(f"Given with --anchors: {listed}{suffix}\\.", evidence))
    if not is_told:
        where = bound.fields("terms").path("anchors")
        yield Mismatch(where=where, recorded=names, recomputed=evidence)


def _family(bound: Fields) -> int:
    told = re.search(r"among at most ([\d,]+) settings", evidence_of(bound, "family"))
    return int(told[1].replace(",", "")) if told else 1


def _same(fields: Fields, name: str, expected: int) -> Iterator[Mismatch]:
    if fields.get(name) != expected:
        yield Mismatch(where=fields.path(name), recorded=fields.get(name), recomputed=expected)


def _nats(terms: Fields, name: str, expected: float) -> Iterator[Mismatch]:
    """A logarithm that was rounded upward."""
    found = terms.number(name)
    if (
        not expected * (1 - _ROUNDING)
        <= found
        <= expected * (1 + _ROUNDING) + _ROUNDING * bool(expected)
    ):
        yield Mismatch(where=terms.path(name), recorded=found, recomputed=expected)
