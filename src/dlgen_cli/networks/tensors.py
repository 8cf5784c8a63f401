"""Tensors as mappings that read each one when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.errors import TensorError

if TYPE_CHECKING:
    from torch import Tensor


class CheckpointTensors(Mapping[str, "Tensor"]):
    """Tensors by name, never more than one in memory on its account.

    That one is a tensor of three axes or more: each matrix of a stack asks for the whole.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._last: tuple[str, Tensor] | None = None  # replaced as a whole, by any thread

    def __getitem__(self, name: str) -> Tensor:
        """Read one tensor; NaN and infinity are refused by name."""
        if name not in self._checkpoint.tensors:
            raise KeyError(name)
        last = self._last
        if last is not None and last[0] == name:
            return last[1]
        tensor = self._checkpoint.read(name)
        if tensor.ndim >= 3:
            self._last = (name, tensor)
        return tensor

    def __iter__(self) -> Iterator[str]:
        """The names, in the checkpoint's order."""
        return iter(self._checkpoint.tensors)

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self._checkpoint.tensors)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tensor of this name; nothing is read."""
        return name in self._checkpoint.tensors


def read_tensor(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """Read a tensor that the network needs; float8 comes as float32.

    Raises:
        TensorError: there is none of this name.
    """
    if name not in tensors:
        raise TensorError(
            f"There is no tensor {name}, which the network reads.",
            remedy="Give a state dict of the same architecture.",
        )
    tensor = tensors[name].detach()
    if tensor.is_floating_point() and tensor.itemsize == 1:
        return tensor.float()  # float8 has no arithmetic; float32 holds it exactly
    return tensor
