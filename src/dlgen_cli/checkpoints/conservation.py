"""Which entries of the storages of a file are reached by a tensor that was named."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

import numpy as np

from dlgen_cli.checkpoints.checkpoint import LeftAside
from dlgen_cli.checkpoints.pickles.arrays import Array
from dlgen_cli.checkpoints.pickles.torch_names import (
    Leaf,
    PartedTensor,
    Storage,
    StorageView,
    TensorView,
)
from dlgen_cli.checkpoints.stored import as_shape, brief

#: Bytes of a storage that are marked one by one, and of all marks of one file.
_MOST_MARKED = 1 << 28
_MOST_MARKS = 1 << 28


class Reached:
    """What was reached so far; tensors claim entries in the order in which they are named.

    Args:
        storages: of the file, by name.
    """

    def __init__(self, storages: Mapping[str, Storage]) -> None:
        self._storages = storages
        self._spans: dict[str, _Spans] = {}
        self._first: dict[str, str] = {}  # the first tensor of a storage
        self._arrays: set[int] = set()
        self._marks = _MOST_MARKS

    def claim(self, name: str, leaf: Leaf) -> int:
        """Stored entries that a tensor reaches and that none before it did.

        Args:
            name: of the tensor.
            leaf: the tensor.
        """
        if isinstance(leaf, PartedTensor):
            return sum(self.claim(name, part) for part in leaf.parts)
        if isinstance(leaf, Array):
            is_new = id(leaf) not in self._arrays
            self._arrays.add(id(leaf))
            return as_shape(leaf.shape)[1] if is_new else 0
        if isinstance(leaf, StorageView):
            leaf = leaf.whole
        if not isinstance(leaf, TensorView):
            return 0  # it has no entries
        storage, width = leaf.view.storage, leaf.kind.width
        spans = self._spans.setdefault(storage.name, _Spans(storage.size))
        self._first.setdefault(storage.name, name)
        start = (leaf.view.start + leaf.start) * width
        shape, steps = _without_repeats(leaf.shape, leaf.strides)
        count = as_shape(shape)[1]
        extent = 1 + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
        if not count:
            return 0
        end = start + extent * width
        if end > storage.size:
            raise ValueError(f"{brief(name)} is larger than its storage")
        apart = _are_apart(shape, steps)
        cost = count * width if apart else storage.size
        may_mark = storage.size <= _MOST_MARKED and cost <= self._marks
        if (apart and count == extent) or not may_mark:
            return spans.add(start, end) // width
        self._marks -= cost
        return spans.add_view(start, shape, steps, width, apart=apart) // width

    def rest(self) -> tuple[list[LeftAside], list[LeftAside]]:
        """What no tensor reaches: rests of storages that tensors view, and whole storages."""
        rests, wholes = [], []
        for name, storage in self._storages.items():
            spans = self._spans.get(name)
            left = storage.size - (spans.reached if spans is not None else 0)
            entries = left // storage.kind.width
            if spans is None or not spans.reached:
                if left:
                    reason = f"a storage that no tensor of the file reaches: {entries:,} entries"
                    wholes.append(LeftAside(name=name, reason=reason, entries=entries))
            elif entries:
                first = self._first[name]
                reason = f"{entries:,} entries beside the view that was saved of its storage"
                rests.append(LeftAside(name=f"{first} (rest)", reason=reason, entries=entries))
        return rests, wholes


class _Spans:
    """Bytes of one storage that were reached: ranges, or a mark for each byte."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._marks: np.ndarray | None = None
        self.reached = 0

    def add(self, begin: int, end: int) -> int:
        """Reach a range; returns how many of its bytes are new."""
        if self._marks is not None:
            part = self._marks[begin:end]
            return self._note(len(part) - int(np.count_nonzero(part)), part)
        first = bisect.bisect_left(self._ends, begin)
        last = bisect.bisect_right(self._begins, end)
        overlap = sum(
            max(0, min(end, self._ends[at]) - max(begin, self._begins[at]))
            for at in range(first, last)
        )
        low = min([begin, *self._begins[first:last][:1]])
        high = max([end, *self._ends[first:last][-1:]])
        self._begins[first:last], self._ends[first:last] = [low], [high]
        self.reached += end - begin - overlap
        return end - begin - overlap

    def add_view(
        self, start: int, shape: Sequence[int], steps: Sequence[int], width: int, *, apart: bool
    ) -> int:
        """Reach the entries of a view; returns how many bytes of them are new."""
        if self._marks is None:
            self._marks = np.zeros(self._size, bool)
            for begin, end in zip(self._begins, self._ends, strict=True):
                self._marks[begin:end] = True
        view = np.lib.stride_tricks.as_strided(
            self._marks[start:],
            (*shape, width),
            (*(step * width for step in steps), 1),
        )
        whole = view if apart else self._marks  # entries of a view may be the same
        before = int(np.count_nonzero(whole))
        view[...] = True
        new = int(np.count_nonzero(whole)) - before
        self.reached += new
        return new

    def _note(self, new: int, part: np.ndarray) -> int:
        part[...] = True
        self.reached += new
        return new


def _without_repeats(
    shape: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A view without its axes of size 1 and those that repeat entries."""
    if 0 in shape:
        return (0,), (0,)
    kept = [(n, step) for n, step in zip(shape, strides, strict=True) if n != 1 and step]
    return tuple(n for n, _ in kept), tuple(step for _, step in kept)


def _are_apart(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether no entry of a view is another one."""
    extent = 1
    for step, size in sorted(zip(strides, shape, strict=True)):
        if step < extent:
            return False
        extent += (size - 1) * step
    return True
