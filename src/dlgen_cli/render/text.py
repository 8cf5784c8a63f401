"""Text in cells and lines: made safe to print, kept together, folded to a width."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

#: Stands for a space at which a line must not be folded.
NO_BREAK = "\u00a0"

_NAME_JOINT = re.compile(r"(?<=[./_:\\-])")


def visible(text: str) -> str:
    r"""Write out what a terminal would act on: control characters become ``\xNN``.

    Names come from files that somebody else may have written.
    """
    return "".join(
        character
        if character.isprintable() or character == NO_BREAK
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def unbroken(text: str) -> str:
    """Keep the words of ``text`` on one line."""
    return text.replace(" ", NO_BREAK)


def kept_sign(header: str) -> str:
    """Keep the sign of a column's direction beside the word before it."""
    return header.replace(" ≤", f"{NO_BREAK}≤").replace(" ≥", f"{NO_BREAK}≥")


def spaced(text: str) -> str:
    """Turn the spaces of `unbroken` into plain ones."""
    return text.replace(NO_BREAK, " ")


def fold_words(text: str, width: int) -> list[str]:
    """Fold prose between words; a word longer than the width is cut.

    Args:
        text: words, some of them held together by `unbroken`; powers of ten always are.
        width: cells to a line, at least 1.

    Returns:
        The lines, at least one, with plain spaces.
    """
    lines, line = [], ""
    for word in text.replace(" × ", f"{NO_BREAK}×{NO_BREAK}").split(" "):
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *full, line = _cut(word, width)
        lines.extend(full)
    return [spaced(each) for each in [*lines, line]]


def fold_name(text: str, width: int) -> list[str]:
    """Fold a name after its dots, slashes and dashes; a part longer than the width is cut.

    Args:
        text: a layer's name or a path.
        width: cells to a line, at least 1.

    Returns:
        The lines, at least one; joined without spaces they are the name.
    """
    lines, line = [], ""
    for part in _NAME_JOINT.split(text):
        if cell_len(line + part) <= width:
            line += part
            continue
        if line:
            lines.append(line)
        *full, line = _cut(part, width)
        lines.extend(full)
    return [spaced(each) for each in [*lines, line]]


def _cut(word: str, width: int) -> list[str]:
    pieces = []
    while cell_len(word) > width:
        head = set_cell_size(word, width).rstrip() or word[:1]
        pieces.append(word[: len(head)])
        word = word[len(head) :]
    return [*pieces, word]
