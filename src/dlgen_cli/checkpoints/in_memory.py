"""A state dict in memory as a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from dlgen_cli.checkpoints.checkpoint import Checkpoint, index_tensors
from dlgen_cli.checkpoints.stored import StoredTensor
from dlgen_cli.errors import CheckpointError


def checkpoint_of(
    tensors: Mapping[str, Tensor], name: str, buffers: Collection[str] = ()
) -> Checkpoint:
    """Take a state dict for a checkpoint; nothing is written and nothing is copied.

    Args:
        tensors: by name, on any device; entries that are no tensors are refused.
        name: what the report calls it, in the place of a path.
        buffers: names of tensors that are buffers of a module, no parameters.

    Returns:
        A checkpoint that reads from the tensors. Its digest is that of names, types, shapes and
        entries, in the order of the names.

    Raises:
        CheckpointError: an entry is no tensor, or there is none.
    """
    for key, value in tensors.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{name}: the entry {key!r} is a {type(value).__name__}; a tensor was expected.",
                remedy="Give model.state_dict().",
            )
    path = Path(name)
    stored = {key: _stored(value, is_buffer=key in buffers) for key, value in tensors.items()}
    return Checkpoint(
        path=path,
        sha256=_digest(tensors),
        tensors=index_tensors(stored, path),
        reader=lambda key: stored[key].load(),
        format="memory",
        format_title="weights in memory",
    )


def _stored(tensor: Tensor, *, is_buffer: bool) -> StoredTensor:
    dtype = str(tensor.dtype).removeprefix("torch.")
    reason = "" if tensor.is_floating_point() else f"its entries are {dtype}"
    place = None
    if tensor.layout != torch.strided or tensor.is_quantized:
        reason = reason or "it is not dense"
    else:
        start = (tensor.untyped_storage().data_ptr(), tensor.storage_offset())
        place = (*start, tuple(tensor.shape), tensor.stride()) if tensor.numel() else None
    return StoredTensor(
        shape=tuple(tensor.shape),
        dtype=dtype,
        reason=reason,
        load=lambda: tensor.detach().cpu(),
        place=place,
        is_buffer=is_buffer,
    )


def _digest(tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        found.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        if tensor.layout == torch.strided and not tensor.is_quantized:
            flat = tensor.cpu().contiguous().reshape(-1)
            found.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return found.hexdigest()
