"""A device that is not the CPU, where there is no other: torch's ``meta`` device, watched.

Tensors there have shapes but no entries, and an operation that mixes them with tensors of the CPU
fails, as it would on a GPU. Whatever asks for an entry gets a one and is counted: on a GPU the
host would wait there.
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
_ENTRY = torch.ops.aten._local_scalar_dense.default  # noqa: SLF001  an operator's name
_COPY = torch.ops.aten._to_copy.default  # noqa: SLF001


class HostCopies(TorchDispatchMode):
    """Counts the copies from the device to the host while it is entered.

    Attributes:
        count: of copies so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run one operation, a copy to the host as one of ones."""
        kwargs = dict(kwargs or {})
        is_there = args and isinstance(args[0], torch.Tensor) and args[0].device == DEVICE
        if is_there and function is _ENTRY:
            self.count += 1
            return 1.0 if args[0].is_floating_point() else 1
        target = kwargs.get("device")
        if is_there and function is _COPY and target not in {None, DEVICE}:
            self.count += 1
            kept = kwargs.get("dtype") or args[0].dtype
            return torch.ones(args[0].shape, dtype=kept, device=target)
        if is_there and kwargs.get("generator") is not None:
            kwargs["generator"] = None  # no generator lives there
        return function(*args, **kwargs)


class Generator(torch.Generator):
    """A generator that says it lives on the device."""

    device = DEVICE
