"""Factored weights in a safetensors file: written packed, read back as the weights they stand for.

Each part of a stored weight is a uint8 tensor ``NAME.left``, ``NAME.right`` or ``NAME.whole``; the
header's metadata tells shapes, bits and scales under `METADATA_KEY`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlgen_cli.errors import CheckpointError
from dlgen_cli.factors import Factors, Quantized, Whole

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

METADATA_KEY = "dlgen_factors"


def encode(
    weights: Mapping[str, Factors | Whole],
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and header metadata of stored weights, by the names of the weights."""
    tensors: dict[str, torch.Tensor] = {}
    facts: dict[str, Any] = {}
    for name, weight in weights.items():
        parts = _parts(weight)
        for part, entries in parts.items():
            tensors[f"{name}.{part}"] = entries.payload
        facts[name] = {
            "shape": list(weight.shape),
            "parts": {
                part: {
                    "bits": entries.bits,
                    "shape": list(entries.shape),
                    "scale": entries.scale.hex(),
                }
                for part, entries in parts.items()
            },
        }
    return tensors, {METADATA_KEY: json.dumps(facts, sort_keys=True)}


def _parts(weight: Factors | Whole) -> dict[str, Quantized]:
    if isinstance(weight, Whole):
        return {"whole": weight.entries}
    return {"left": weight.left, "right": weight.right}


class FactoredIndex:
    """What a header says of its factored weights.

    Attributes:
        shapes: of the weights that the parts stand for, by name.
        stored: names of the tensors that hold the parts.
    """

    def __init__(self, metadata: Mapping[str, str], path: str) -> None:
        try:
            self._facts: dict[str, Any] = json.loads(metadata.get(METADATA_KEY, "{}"))
            self.shapes = {name: tuple(fact["shape"]) for name, fact in self._facts.items()}
            self.stored = {
                f"{name}.{part}" for name, fact in self._facts.items() for part in fact["parts"]
            }
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"The header of {path} describes factored weights that cannot be understood "
                f"({type(error).__name__}: {error}).",
                remedy="Write the file again with dlgen compress.",
            ) from error

    def __contains__(self, name: str) -> bool:
        """Whether a weight is stored in parts."""
        return name in self._facts

    def decode(self, name: str, read: Callable[[str], torch.Tensor]) -> Factors | Whole:
        """Read the parts of one weight.

        Args:
            name: of the weight.
            read: reads a stored tensor by its name in the file.
        """
        fact = self._facts[name]
        parts = {
            part: Quantized(
                bits=entries["bits"],
                shape=tuple(entries["shape"]),
                payload=read(f"{name}.{part}"),
                scale=float.fromhex(entries["scale"]),
            )
            for part, entries in fact["parts"].items()
        }
        if "whole" in parts:
            return Whole(entries=parts["whole"])
        return Factors(left=parts["left"], right=parts["right"], shape=tuple(fact["shape"]))
