"""Anchors files: one state dict, a list or dict of them, or a stacked tensor ``(K, p)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dlgen_cli.checkpoints.checkpoint import (
    Checkpoint,
    TensorInfo,
    index_tensors,
    prefix_remedy,
    without_prefix,
)
from dlgen_cli.checkpoints.formats.detection import is_torch
from dlgen_cli.checkpoints.formats.torch_file import load_tree
from dlgen_cli.checkpoints.pickles.archive import Contents, guarded
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.checkpoints.state_dicts import find_network, is_training_state
from dlgen_cli.checkpoints.stored import StoredTensor, why_unread
from dlgen_cli.checkpoints.tree import children, collect, is_leaf, is_module
from dlgen_cli.errors import AnchorError

_MOST_LEVELS = 3  # lists of lists
_MOST_ANCHORS = 10_000
_MOST_COMPARED = 8  # tensors of one shape


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorTensors:
    """One anchor, matched to a checkpoint: the same names, the same shapes.

    Attributes:
        name: file name, with a key or an index where the file holds several.
        source: a checkpoint that reads the tensors by the checkpoint's names.
    """

    name: str
    source: Checkpoint

    @property
    def label(self) -> str:
        """The name, with what the file records of how it was made."""
        record = self.source.anchor
        return self.name if record is None else f"{self.name} ({record.description})"

    def read(self, name: str) -> torch.Tensor:
        """Read one tensor; NaN and infinity are refused by name."""
        return self.source.read(name)


def open_anchors(
    paths: Sequence[Path],
    checkpoint: Checkpoint,
    ties: Mapping[str, str] | None = None,
    *,
    prefix: str = "",
) -> list[AnchorTensors]:
    """Open every anchor of every file and match it to the checkpoint.

    A stacked tensor is cut in the checkpoint's order of tensors: the order of definition for a
    torch file, the natural order of names for safetensors.

    Args:
        paths: files or directories.
        checkpoint: what the anchors must match.
        ties: tensors of the checkpoint that are another one under a second name; an anchor may
            lack either name.
        prefix: taken off the names of an anchor that has it.

    Returns:
        At least one anchor for each path, in order.

    Raises:
        AnchorError: a tensor is missing, surplus or of another shape; it is named.
        CheckpointError: a file cannot be read.
    """
    anchors = [anchor for path in paths for anchor in _open(path, checkpoint)]
    anchors = [
        replace(one, source=without_prefix(one.source, checkpoint.tensors, prefix))
        for one in anchors
    ]
    tied = ties or {}
    matched = [_with_both_names(anchor, tied) for anchor in anchors]
    for anchor in matched:
        _require_match(anchor, checkpoint, tied)
    return matched


def _open(path: Path, checkpoint: Checkpoint) -> list[AnchorTensors]:
    if path.is_file() and is_torch(path):
        contents = load_tree(path)
        return list(guarded(path, lambda: _from_tree(path.name, contents, path, checkpoint)))
    opened = open_checkpoint(path)
    only = next(iter(opened.tensors.values()))
    if len(opened.tensors) == 1 and _is_stack(only.shape, checkpoint):
        return _from_stack(path.name, _held(opened.read(only.name)), path, checkpoint)
    return [AnchorTensors(name=path.name, source=opened)]


def _from_tree(
    name: str, contents: Contents, path: Path, checkpoint: Checkpoint, level: int = 0
) -> list[AnchorTensors]:
    tree = contents.tree
    found = collect(tree)
    if is_leaf(tree):
        return _from_stack(name, found[0].place(), path, checkpoint)
    if isinstance(tree, list | tuple) and tree and level < _MOST_LEVELS:
        if len(tree) > _MOST_ANCHORS:
            raise AnchorError(f"{name} holds {len(tree):,} items; at most {_MOST_ANCHORS:,} are.")
        return [
            anchor
            for at, item in enumerate(tree)
            for anchor in _from_tree(
                f"{name}[{at}]", replace(contents, tree=item), path, checkpoint, level + 1
            )
        ]
    if not found:
        raise AnchorError(
            f"{name} holds a {type(tree).__name__} without tensors; a state dict, a list or dict "
            "of state dicts, or a stacked tensor (K, p) was expected."
        )
    if len(found) == 1 and _is_stack(found[0].shape, checkpoint):
        return _from_stack(name, found[0].place(), path, checkpoint)
    flat = {".".join(one.path): one.place() for one in found}
    is_one = set(index_tensors(flat, path)) == set(checkpoint.tensors)
    parts = find_network(tree, path, contents.storages)
    nodes = {key: one for key, one in children(tree) if not is_training_state(key, one)}
    has_top_level = any(map(is_leaf, nodes.values()))
    if is_one or has_top_level or any("'" in note for note in parts.notes) or is_module(tree):
        return [_from_state_dict(name, flat if is_one else parts.network, path)]
    return [
        _from_state_dict(f"{name}[{key}]", find_network(one, path, contents.storages).network, path)
        for key, one in nodes.items()
        if collect(one)
    ]


def _from_state_dict(name: str, tensors: Mapping[str, StoredTensor], path: Path) -> AnchorTensors:
    source = Checkpoint(
        path=path,
        sha256="",
        tensors=index_tensors(tensors, path),
        reader=lambda one: tensors[one].load(),
    )
    return AnchorTensors(name=name, source=source)


def _is_stack(shape: tuple[int, ...], checkpoint: Checkpoint) -> bool:
    if len(checkpoint.tensors) == 1 and shape == next(iter(checkpoint.tensors.values())).shape:
        return False
    return 1 <= len(shape) <= 2 and shape[-1] == _stacked(checkpoint)


def _stacked(checkpoint: Checkpoint) -> int:
    """Entries of one anchor in a stack: of all floating-point tensors, buffers among them."""
    return sum(info.numel for info in checkpoint.floating)


def _from_stack(
    name: str, stack: StoredTensor, path: Path, checkpoint: Checkpoint
) -> list[AnchorTensors]:
    if not _is_stack(stack.shape, checkpoint):
        raise AnchorError(
            f"{name} holds a tensor of shape {stack.shape}; a stack of anchors of shape "
            f"(K, {_stacked(checkpoint)}) was expected.",
            remedy="Stack all floating-point entries of each state dict, batch statistics too, in "
            "order; or save a list of state dicts.",
        )
    rows = stack.load().reshape(-1, stack.shape[-1])
    anchors = []
    for index, row in enumerate(rows):
        parts = row.split([info.numel for info in checkpoint.floating])
        tensors = {
            info.name: _held(part.reshape(info.shape))
            for info, part in zip(checkpoint.floating, parts, strict=True)
        }
        label = f"{name}[{index}]" if len(rows) > 1 else name
        anchors.append(_from_state_dict(label, tensors, path))
    return anchors


def _held(tensor: torch.Tensor) -> StoredTensor:
    """A tensor in memory as one that can be read."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    return StoredTensor(
        shape=tuple(tensor.shape), dtype=dtype, reason=why_unread(dtype), load=lambda: tensor
    )


def _with_both_names(anchor: AnchorTensors, ties: Mapping[str, str]) -> AnchorTensors:
    """An anchor that has a tied tensor under one of its names, under the other too."""
    tensors = dict(anchor.source.tensors)
    for second, first in ties.items():
        for here, there in ((first, second), (second, first)):
            if here not in tensors and there in tensors:
                tensors[here] = replace(tensors[there], name=here, entries=0)
    if len(tensors) == len(anchor.source.tensors):
        return anchor
    return replace(anchor, source=replace(anchor.source, tensors=tensors))


def _require_match(anchor: AnchorTensors, checkpoint: Checkpoint, ties: Mapping[str, str]) -> None:
    wanted = {info.name: info for info in checkpoint.floating}
    found = {name: info for name, info in anchor.source.tensors.items() if info.is_floating}
    remedy = (
        prefix_remedy(wanted, found)
        or "Anchors need the tensors of the checkpoint, by name and shape."
    )
    for name, info in wanted.items():
        if name not in found and (name in ties or info.is_view):
            continue
        if name not in found:
            raise AnchorError(
                f"Anchor {anchor.name} has no tensor {name} of shape {info.shape}.", remedy=remedy
            )
        if found[name].shape != info.shape:
            raise AnchorError(
                f"Anchor {anchor.name}: tensor {name} has shape {found[name].shape}; the "
                f"checkpoint's has {info.shape}.",
                remedy=remedy,
            )
    for name, info in found.items():
        if name not in wanted and not _is_second_name(info, anchor, wanted):
            raise AnchorError(
                f"Anchor {anchor.name} has a tensor {name} of shape {info.shape} that the "
                "checkpoint lacks.",
                remedy=remedy,
            )


def _is_second_name(
    info: TensorInfo, anchor: AnchorTensors, wanted: Mapping[str, TensorInfo]
) -> bool:
    """Whether a tensor of an anchor is one that the checkpoint has too, under a second name."""
    if info.is_view:
        return True
    alike = [name for name, one in wanted.items() if one.shape == info.shape and info.numel > 1]
    if not alike or len(alike) > _MOST_COMPARED:
        return False
    entries = anchor.read(info.name)
    return any(torch.equal(entries, anchor.read(name)) for name in alike)
