"""One weight of a bare state dict, before its kind is known, and what is no weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dlgen_cli.networks.layouts.recipe import Recipe

#: What a tensor that no layer reads is: a parameter that bounds count, known to be no parameter,
#: or not understood, which withholds every bound.
Role = Literal["parameter", "aside", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A tensor that no layer reads.

    Attributes:
        reason: why, with the evidence.
        role: what it is.
    """

    reason: str
    role: Role = "parameter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A weight and how it is made of stored tensors.

    Attributes:
        name: what the network calls it: ``X.weight`` for ``X.weight_g`` and ``X.weight_v``.
        shape: of the whole weight, as it is stored; ``(outputs, inputs)`` of a product.
        recipe: how it is made; its bias is not known yet.
        kind: where the names alone tell it.
        note: what a reader should know of how it was taken.
    """

    name: str
    shape: tuple[int, ...]
    recipe: Recipe
    kind: Literal["lora"] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Stored tensors that belong together.

    Attributes:
        weight: what they make; None where that is not known.
        names: the tensors.
        leftovers: those of them that no layer reads, by name.
    """

    weight: Weight | None
    names: tuple[str, ...]
    leftovers: Mapping[str, Leftover] = field(default_factory=dict)

    @classmethod
    def without_weight(cls, names: tuple[str, ...], leftover: Leftover) -> Match:
        """Tensors of which no weight can be made, all for one reason."""
        return cls(weight=None, names=names, leftovers=dict.fromkeys(names, leftover))
