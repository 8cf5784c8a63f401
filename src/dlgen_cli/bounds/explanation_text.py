"""The texts on theorems: each fact is written once, and stands where a reader needs it.

A list may point at that of another theorem, ``- The others are those of `X`.``, or at some of its
symbols, ``- `a`, `b`: those of `X`.``; what it points at is put in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

_ALL = re.compile(r"- (?:The others are those|Those) of `([\w.]+)`\.")
_SOME = re.compile(r"- ((?:`[^`]+`(?:, )?)+): those of `([\w.]+)`\.")


def explanation_of(name: str) -> str:
    """The text on a theorem, with what its lists point at.

    Args:
        name: of the theorem.
    """
    lines: list[str] = []
    for heading, entries in _sections(_read(name)):
        lines += [heading] if heading else []
        lines += [line for entry in entries for line in _resolve(entry, heading)]
    return "\n".join(lines).strip()


def _read(name: str) -> str:
    text = files("dlgen_cli.bounds").joinpath("explanations", f"{name}.md")
    return text.read_text(encoding="utf-8")


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each heading with its lines; an entry of a list is one with those that continue it."""
    heading, entries = "", list[str]()
    for line in text.splitlines():
        if line.startswith("## "):
            yield heading, entries
            heading, entries = line, []
        elif line.startswith("  ") and entries and entries[-1].startswith("- "):
            entries[-1] += f"\n{line}"
        else:
            entries.append(line)
    yield heading, entries


def _resolve(entry: str, heading: str) -> list[str]:
    """An entry, or what it points at in the section of the same heading."""
    if found := _ALL.fullmatch(entry):
        return _list_of(found[1], heading)
    if found := _SOME.fullmatch(entry):
        symbols = "|".join(map(re.escape, re.findall(r"`[^`]+`", found[1])))
        defined = re.compile(rf"(?:{symbols})(?=:| = |, `)")
        return [one for one in _list_of(found[2], heading) if defined.search(one)]
    return [entry]


def _list_of(name: str, heading: str) -> list[str]:
    """The entries of a section of another theorem, themselves resolved."""
    entries = next(found for one, found in _sections(_read(name)) if one == heading)
    return [line for entry in entries if entry for line in _resolve(entry, heading)]
