"""What is typed behind an option, read: numbers as people write them, lists, words of a few.

Typer hands every value over as text. Reading it here gives the same line for the same mistake with
every version of Typer, and the same ways of writing a number behind every option.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from dlgen_cli.errors import UsageError

_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(?!\d|,)")
_LARGEST_EXPONENT = 30


@dataclass(frozen=True, slots=True)
class Choices:
    """The words that an option takes; metadata of its annotation.

    Attributes:
        words: all of them.
        is_open: whether it takes others too; these are then only offered.
        is_path: whether the others are paths, which are offered too.
    """

    words: Collection[str]
    is_open: bool = False
    is_path: bool = False

    def require(self, option: str, word: str) -> None:
        """Refuse a word that is none of them.

        Raises:
            UsageError: naming all, and the one that was probably meant.
        """
        known = list(self.words)
        if not self.is_open and word not in known:
            raise UsageError(
                f"{option} {word!r} is unknown.",
                remedy=f"{suggestion(word, known)} Choose one of: {', '.join(known)}.".strip(),
            )

    def complete(self, incomplete: str) -> list[str]:
        """The words that begin so, for the shell."""
        found = [word for word in self.words if word.startswith(incomplete)]
        return [*found, *_paths(incomplete)] if self.is_path else found


@dataclass(frozen=True, slots=True)
class Whole:
    """Metadata of a list whose values may hold commas: they are not split."""


def listed(words: Iterable[str]) -> str:
    """Words as in a sentence: ``a, b or c``."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def suggestion(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """A question after the word that was probably meant, if there is one."""
    bare = {one.lstrip("-").lower(): one for one in known}
    close = get_close_matches(word.lstrip("-").lower(), bare, n=1)
    return f"Did you mean {bare[close[0]]}?" if close else otherwise


def whole_number(text: str, option: str) -> int:
    """A whole number: ``50000``, ``50,000``, ``50_000`` or ``5e4``.

    Raises:
        UsageError: it is none.
    """
    number = _decimal(text)
    is_whole = (
        number is not None
        and number.is_finite()
        and number.adjusted() <= _LARGEST_EXPONENT
        and number == number.to_integral_value()
    )
    if number is None or not is_whole:
        raise UsageError(
            f"{option} is {text!r}; a whole number was expected.",
            remedy="50000, 50,000, 50_000 and 5e4 are all read.",
        )
    return int(number)


def real_number(text: str, option: str) -> float:
    """A number: also ``1%``, ``1e-2`` and ``50,000``.

    Raises:
        UsageError: it is none.
    """
    is_share = text.strip().endswith("%")
    number = _decimal(text.strip().removesuffix("%"))
    if number is None:
        raise UsageError(
            f"{option} is {text!r}; a number was expected.",
            remedy="0.01, 1% and 1e-2 are all read.",
        )
    return float(number.scaleb(-2) if is_share and number.is_finite() else number)


def read_value(hint: Any, typed: Any, option: str, metadata: Iterable[Any] = ()) -> Any:
    """A value as its annotation says.

    Args:
        hint: the type of the field: a flag, a number, a path, an enumeration, text, or a list.
        typed: what Typer hands over: text, a list of texts, or a flag.
        option: its name, for messages.
        metadata: of the annotation; `Choices` and `Whole` are heeded.

    Raises:
        UsageError: it cannot be read.
    """
    kind = bare_type(hint)
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
        is_split = kind is not Path and not any(isinstance(one, Whole) for one in metadata)
        words = (word for text in typed for word in (text.split(",") if is_split else [text]))
        return [_read(kind, word.strip(), option, metadata) for word in words]
    return _read(kind, typed, option, metadata)


def bare_type(hint: Any) -> Any:
    """A type without its ``| None``."""
    if get_origin(hint) in (Union, UnionType):
        return next(one for one in get_args(hint) if one is not type(None))
    return hint


def _read(kind: Any, typed: Any, option: str, metadata: Iterable[Any]) -> Any:
    if not isinstance(typed, str):
        return typed
    for one in metadata:
        if isinstance(one, Choices):
            one.require(option, typed)
    if kind is int:
        return whole_number(typed, option)
    if kind is float:
        return real_number(typed, option)
    if isinstance(kind, type) and issubclass(kind, Enum):
        Choices([one.value for one in kind]).require(option, typed)
    return kind(typed)


def _decimal(text: str) -> Decimal | None:
    bare = text.strip()
    if _GROUPED.match(bare):
        bare = bare.replace(",", "")
    try:
        return Decimal(bare)
    except InvalidOperation:
        return None


def _paths(incomplete: str) -> list[str]:
    """Files and folders that begin so; folders with a slash."""
    begun = Path(incomplete)
    folder = begun if incomplete.endswith("/") or not incomplete else begun.parent
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []
    texts = (f"{one}/" if one.is_dir() else str(one) for one in found)
    return [text for text in texts if text.startswith(incomplete) and "/." not in f"/{text}"]
