"""Compression bounds of a network that the theorem does not speak of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlgen_cli.bounds.assumptions import conclude
from dlgen_cli.bounds.compression import SOURCE
from dlgen_cli.records import Assumption, Bound

_COMMON: dict[str, Any] = {
    "bits": None,
    "complexity": None,
    "distance": None,
    "log10_distance": None,
    "approximation": None,
    "log10_approximation": None,
}
_TERMS: dict[str, tuple[str, dict[str, Any]]] = {
    "compression.fixed_rank": ("Compression to one rank", {"rank": None}),
    "compression.all_ranks": (
        "Compression to the best rank, all ranks at once",
        {"rank": None, "sweep": []},
    ),
    "compression.layer_ranks": (
        "Compression with a rank for every layer, all rank vectors at once",
        {"ranks": {}},
    ),
    "compression.stored": (
        "Compression to the factors that are really stored, every bit counted",
        {"ranks": {}, "layer_error_upper": {}},
    ),
    "compression.occam": (
        "Risk of the compressed network, by its errors and its code length",
        {"bounded": "risk", "errors": None, "examples": None, "empirical_risk": None},
    ),
}


def withheld(theorem: str, assumptions: Sequence[Assumption]) -> Bound:
    """A compression bound that does not apply: its terms are there and empty.

    They would be those of a smaller network, so they are not evaluated.

    Args:
        theorem: one of the compression theorems.
        assumptions: the ledger, with the line that is violated.
    """
    title, own = _TERMS[theorem]
    return conclude(
        theorem=theorem,
        title=title,
        value=None,
        terms={**own, **_COMMON},
        assumptions=assumptions,
        source=SOURCE,
    )
