"""Text for a terminal that cannot print every character: what it lacks is written in ASCII.

Importing this registers the ways to encode, by the names `READABLE` and `JSON_ESCAPES`.
"""

from __future__ import annotations

import codecs
import json
import unicodedata

#: An error handler of codecs: mathematics as a mail would write it.
READABLE = "dlgen-readable"
#: An error handler of codecs: escapes that JSON reads back.
JSON_ESCAPES = "dlgen-json"

_WRITTEN = {
    "−": "-", "–": "-", "─": "-", "━": "-", "·": "*", "×": "x", "‖": "||", "≤": "<=", "≥": ">=",
    "≠": "!=", "±": "+-", "√": "sqrt", "∞": "inf", "Σ": "Sum", "Π": "Prod", "∫": "Int", "½": "1/2",
    "²": "^2", "³": "^3", "⁻¹": "^-1", "⁺": "^+", "ᵀ": "^T", "₀": "_0", "₁": "_1",
    "′": "'", "″": "''",
    "∈": " in ", "⊥": "_perp", "∘": " o ", "∼": "~", "…": "...", "’": "'", "“": '"', "”": '"',
    "⌈": "ceil(", "⌉": ")", "⌊": "floor(", "⌋": ")", "\u00a0": " ", "•": "*", "│": "|",
}  # fmt: skip
_LONGEST = max(map(len, _WRITTEN))


def ascii_text(text: str) -> str:
    """Write text in ASCII, so that a reader still understands it.

    Args:
        text: any.

    Returns:
        Signs in words or in the ASCII signs that stand for them, Greek letters by name, accents
        left out, and ``?`` for what has no such form.
    """
    found, at = [], 0
    while at < len(text):
        sizes = range(_LONGEST, 0, -1)
        size = next((size for size in sizes if text[at : at + size] in _WRITTEN), 1)
        piece = text[at : at + size]
        found.append(_WRITTEN.get(piece) or _letter(piece))
        at += size
    return "".join(found)


def _letter(character: str) -> str:
    if character.isascii():
        return character
    words = unicodedata.name(character, "").split()
    if words[:1] == ["GREEK"]:
        letter = words[3] if words[2:3] == ["LETTER"] else words[-1]
        return letter.lower() if words[1:2] == ["SMALL"] else letter.capitalize()
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or ("" if unicodedata.combining(character) else "?")


def _readable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return ascii_text(error.object[error.start : error.end]), error.end


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(READABLE, _readable)
codecs.register_error(JSON_ESCAPES, _json_escapes)
