"""Factored weights in a safetensors file: written packed, read back as the weights they stand for.

Each part of a stored weight is a uint8 tensor ``NAME.left``, ``NAME.right`` or ``NAME.whole``; the
header's metadata tells shapes, bits and scales under `METADATA_KEY`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlgen_cli.checkpoints.runs.low_rank import Factors, Whole
from dlgen_cli.checkpoints.runs.quantizer import Quantized
from dlgen_cli.checkpoints.stored import as_shape
from dlgen_cli.errors import CheckpointError
from dlgen_cli.records import MOST_STORED_BITS

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

METADATA_KEY = "dlgen_factors"
_MOST_ENTRIES = 1 << 29  # of a weight that small factors stand for


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
            self.shapes = {name: _shape_of(fact) for name, fact in self._facts.items()}
            self.stored = {
                f"{name}.{part}" for name, fact in self._facts.items() for part in fact["parts"]
            }
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise _not_understood(f"the header of {path}", error) from error

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
        try:
            parts = {
                part: _decode_part(entries, read(f"{name}.{part}"))
                for part, entries in fact["parts"].items()
            }
            shape = tuple(fact["shape"])
            if set(parts) == {"whole"} and parts["whole"].shape == shape:
                return Whole(entries=parts["whole"])
            left, right = parts["left"], parts["right"]
            _require_fit(left, right, shape)
        except Exception as error:  # a damaged header fails in any way
            raise _not_understood(f"weight {name}", error) from error
        return Factors(left=left, right=right, shape=shape)


def _shape_of(fact: Mapping[str, Any]) -> tuple[int, ...]:
    shape, count = as_shape(fact["shape"])
    if not shape or not 0 < count <= _MOST_ENTRIES:
        raise ValueError(f"a weight of {count:,} entries")
    return shape


def _require_fit(left: Quantized, right: Quantized, shape: tuple[int, ...]) -> None:
    fits = left.shape == (shape[0], left.shape[1])
    if not fits or right.shape != (math.prod(shape[1:]), left.shape[1]):
        raise ValueError("the factors do not fit the weight")


def _decode_part(entries: Mapping[str, Any], payload: torch.Tensor) -> Quantized:
    bits, shape = entries["bits"], tuple(entries["shape"])
    scale = float.fromhex(entries["scale"])
    is_shape = all(isinstance(size, int) and size > 0 for size in shape)
    if not (isinstance(bits, int) and 1 <= bits <= MOST_STORED_BITS and is_shape and shape):
        raise ValueError(f"{bits} bits in shape {shape}")
    size = -(-bits * math.prod(shape) // 8)
    is_bytes = payload.element_size() == 1 and not payload.is_floating_point()
    if not (math.isfinite(scale) and is_bytes and payload.numel() == size):
        raise ValueError(f"{payload.numel()} entries where {size} bytes belong")
    return Quantized(bits=bits, shape=shape, payload=payload, scale=scale)


def _not_understood(what: str, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())[:120]
    return CheckpointError(
        f"Factored weights cannot be understood: {what} ({type(error).__name__}: {reason}).",
        remedy="Write the file again with dlgen compress.",
    )
