"""Writing a setting or a result of any kind as one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

from dlgen_cli.render import numbers


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Whether ``value`` is a sequence and not a text."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def line(value: object, write_float: Callable[[float], str], *, between: str = ", ") -> str:
    """Write a value in words and numbers; what is nested is written one after another.

    Args:
        value: a number, a text, or mappings and sequences of them.
        write_float: how numbers with a point are shown.
        between: stands between the items of a sequence.

    Returns:
        One line.
    """
    if is_list(value):
        items = [line(item, write_float, between=between) for item in value]
        return between.join(items) or numbers.MISSING
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return numbers.integer(value)
        case float():
            return write_float(value)
        case Mapping():
            items = [f"{key} {line(item, write_float)}" for key, item in value.items()]
            return between.join(items) or numbers.MISSING
        case _:
            return numbers.MISSING if value is None else str(value)
