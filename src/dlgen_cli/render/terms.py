"""Reading the numbers that a bound is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.bounds.theorem import Family
from dlgen_cli.records import Bound
from dlgen_cli.render import numbers


def of_family(bounds: Iterable[Bound], family: Family) -> list[Bound]:
    """The bounds by theorems of a family."""
    return [
        bound
        for bound in bounds
        if bound.theorem in THEOREMS and THEOREMS[bound.theorem].family == family
    ]


def short_name(bound: Bound) -> str:
    """The identifier without its family: ``pac_bayes.pinsker`` is ``pinsker``."""
    return bound.theorem.partition(".")[2] or bound.theorem


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether ``value`` is a number and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(values: Mapping[str, Any], name: str) -> float | None:
    """The entry ``name`` as a float; None where it is missing, no number or not finite."""
    value = values.get(name)
    if not is_number(value):
        return None
    try:
        converted = float(value)
    except OverflowError:
        return None
    return converted if math.isfinite(converted) else None


def has(values: Mapping[str, Any], name: str) -> bool:
    """Whether the entry ``name`` or its ``log10_`` companion is a number."""
    return number(values, name) is not None or number(values, f"log10_{name}") is not None


def upper(values: Mapping[str, Any], name: str) -> str:
    """The entry ``name``, rounded up, from its ``log10_`` companion where need be."""
    return numbers.upper(number(values, name), number(values, f"log10_{name}"))


def count(values: Mapping[str, Any], name: str) -> str:
    """The entry ``name`` as a count."""
    value = values.get(name)
    return numbers.integer(value) if isinstance(value, int) else numbers.MISSING


def rows(values: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The entry ``name`` as a list of mappings; empty where it is anything else."""
    value = values.get(name)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [row for row in value if isinstance(row, Mapping)]


def magnitude(values: Mapping[str, Any], name: str) -> float:
    """The decimal logarithm of the entry ``name``, to sort by; infinite where unknown."""
    value = number(values, name)
    if value is not None and value > 0:
        return math.log10(value)
    logarithm = number(values, f"log10_{name}")
    if logarithm is not None:
        return logarithm
    return math.inf if value is None else -math.inf
