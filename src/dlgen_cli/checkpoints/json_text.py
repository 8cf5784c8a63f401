"""JSON from files of unknown origin, read in bounded memory."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from dlgen_cli.checkpoints.stored import brief

#: Bytes of one text, and commas and opening brackets in it: each value costs one of them.
MOST_BYTES = 25_000_000
_MOST_VALUES = 3_000_000


def parse_object(text: bytes) -> dict[str, Any]:
    """Parse an object.

    Raises:
        ValueError: the text is too large or too deep, is no JSON or no object, repeats a key, or
            names a number that JSON has not.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"{len(text):,} bytes of JSON; at most {MOST_BYTES:,} are read")
    values = sum(text.count(mark) for mark in (b",", b"[", b"{"))
    if values > _MOST_VALUES:
        raise ValueError(f"{values:,} values of JSON; at most {_MOST_VALUES:,} are read")
    try:
        found = json.loads(
            text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number
        )
    except RecursionError:
        raise ValueError("brackets nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError(f"{brief(found)} where an object was expected")  # noqa: TRY004 - of the text
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {brief(twice)} stands there twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
