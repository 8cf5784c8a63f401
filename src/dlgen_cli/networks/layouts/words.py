"""Names of tensors, cut in parts and words."""

from __future__ import annotations

import re

_WORD = re.compile(r"[a-z]+")


def last_part(name: str) -> str:
    """What stands after the last dot."""
    return name.rpartition(".")[2]


def module_of(name: str) -> str:
    """What stands before the last dot, the dot included; empty where there is none."""
    return name[: name.rfind(".") + 1]


def words(text: str) -> list[str]:
    """The words of a name in small letters: ``norm`` of ``norm1``, ``mask`` of ``attn.mask``.

    A word is whole: ``upsampler`` holds no ``amp``.
    """
    return _WORD.findall(text.lower())


def module_words(name: str) -> list[str]:
    """The words of the last part of a module's name that is no number."""
    parts = [part for part in module_of(name).split(".") if part and not part.isdecimal()]
    return words(parts[-1]) if parts else []
