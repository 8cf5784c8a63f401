"""A checkpoint as the other rooms see it: named tensors, read when they are needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dlgen_cli.errors import CheckpointError, TensorError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from dlgen_cli.checkpoints.run_config import RunConfig

#: Wrappers (data parallel, compiled modules) put these before every name.
_WRAPPERS = ("module.", "_orig_mod.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """What is known of a tensor before it is read.

    Attributes:
        name: as the audit reports it, wrapper prefixes stripped.
        stored_name: as the file has it.
        shape: sizes of its axes.
        is_floating: whether its entries are real floating-point numbers.
    """

    name: str
    stored_name: str
    shape: tuple[int, ...]
    is_floating: bool

    @property
    def numel(self) -> int:
        """Number of entries."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Named tensors with a lazy reader.

    Attributes:
        path: as the user gave it.
        format: how the bytes are laid out.
        sha256: hexadecimal digest of the file that holds the tensors.
        tensors: by name, in the order in which a chain takes them.
        reader: reads one tensor by its stored name.
        config: what `dlgen train` recorded; None in a checkpoint of another origin.
        examples: training examples that the checkpoint records; None where it does not.
        architecture: name of the architecture that it records; None where it does not.
        is_initial: whether it records that its tensors are those before the first step.
        notes: what a reader should know of how the tensors were found.
    """

    path: Path
    format: Literal["safetensors", "torch", "run", "sharded"]
    sha256: str
    tensors: Mapping[str, TensorInfo]
    reader: Callable[[str], torch.Tensor]
    config: RunConfig | None = None
    examples: int | None = None
    architecture: str | None = None
    is_initial: bool = False
    notes: tuple[str, ...] = ()

    def read(self, name: str) -> torch.Tensor:
        """Read one tensor.

        Returns:
            A tensor on the CPU, in its stored type.

        Raises:
            TensorError: a floating-point entry is NaN or infinite; the tensor is named.
        """
        import torch

        tensor = self.reader(self.tensors[name].stored_name)
        if tensor.layout != torch.strided or tensor.is_quantized:
            kind = "quantized" if tensor.is_quantized else str(tensor.layout).split(".")[-1]
            raise TensorError(
                f"Tensor {name} in {self.path} is {kind}; a dense tensor was expected.",
                remedy="Save it dense: tensor.to_dense() or tensor.dequantize().",
            )
        if tensor.is_floating_point():
            # float8 types lack isfinite; float32 holds them exactly
            wide = tensor if tensor.dtype.itemsize > 1 else tensor.float()
            if not bool(torch.isfinite(wide).all()):
                bad = int((~torch.isfinite(wide)).sum())
                raise TensorError(
                    f"Tensor {name} in {self.path} holds {bad} NaN or infinite "
                    f"{'entry' if bad == 1 else 'entries'}; finite numbers were expected.",
                    remedy="Take a checkpoint from before the training diverged.",
                )
        return tensor

    @property
    def floating(self) -> list[TensorInfo]:
        """The floating-point tensors, in order."""
        return [info for info in self.tensors.values() if info.is_floating]

    @property
    def unreadable(self) -> list[TensorInfo]:
        """Tensors that may be weights, but not floating-point ones: no bound can ignore them.

        A number on its own that is not floating point counts something, such as batches.
        """
        return [info for info in self.tensors.values() if not info.is_floating and info.shape]

    @property
    def parameters(self) -> int:
        """Entries of all floating-point tensors."""
        return sum(info.numel for info in self.floating)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``layers.2`` before ``layers.10``."""
    return [
        (0, len(part.lstrip("0")), part.lstrip("0")) if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]


def index_tensors(
    described: list[tuple[str, tuple[int, ...], bool]], path: Path
) -> dict[str, TensorInfo]:
    """Index tensors by name with the prefixes of wrappers stripped.

    Args:
        described: stored name, shape, and whether it is floating-point, in order.
        path: for the message.

    Raises:
        CheckpointError: there is no tensor at all.
    """
    if not described:
        raise CheckpointError(
            f"{path} holds no tensor; a state dict with weights was expected.",
            remedy="Save model.state_dict() and pass that file.",
        )
    names = [name for name, _, _ in described]
    stripped = True
    while stripped:
        stripped = False
        for wrapper in _WRAPPERS:
            if all(name.startswith(wrapper) for name in names):
                names = [name.removeprefix(wrapper) for name in names]
                stripped = True
    return {
        name: TensorInfo(name=name, stored_name=stored, shape=shape, is_floating=is_floating)
        for name, (stored, shape, is_floating) in zip(names, described, strict=True)
    }
