"""From few coordinates to all parameters of a network: a structured, seeded random projection.

``theta(z) = theta_init(seed) + scale * (P z)``. Every parameter reads a few coordinates, found by
a hash of its number, with random signs: P has `READS` entries ``±1/sqrt(READS)`` in each row, so
that memory and time are a few times those of the parameters, and ``P z`` has the variance of z's
entries. A group of parameters that gets as many coordinates as it has entries reads each its own.

Source of the idea: Li and others 2018, "Measuring the intrinsic dimension of objective
landscapes", https://arxiv.org/abs/1804.08838; signs and hashes as in Weinberger and others 2009,
"Feature hashing for large scale multitask learning", https://arxiv.org/abs/0902.2206.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.errors import UsageError
from dlgen_cli.philox import uniform, words

if TYPE_CHECKING:
    from torch import nn

#: Coordinates that a parameter reads where it has none of its own.
READS = 3
#: Deviation of a vector (a bias, or the gain of a normalization) for a coordinate of 1.
VECTOR_SCALE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Consecutive parameters that read the same coordinates.

    Attributes:
        names: of the tensors, in order.
        entries: of all of them.
        start: the first coordinate.
        size: how many coordinates; ``entries`` where each parameter reads its own.
    """

    names: Sequence[str]
    entries: int
    start: int
    size: int

    @property
    def is_own(self) -> bool:
        """Whether each parameter reads a coordinate of its own."""
        return self.size == self.entries


def allocate(shapes: Mapping[str, Sequence[int]], dim: int) -> tuple[Group, ...]:
    """Place coordinates where they count: the last matrix has its own, as far as they reach.

    The head (the last tensor with two axes or more, and all that follow) gets its own coordinates
    where its entries are at most half of ``dim``, or there is nothing else; half of ``dim``
    otherwise. The rest of the network gets what is left, and no more than it has entries.

    Args:
        shapes: of the parameters, in order.
        dim: D, from 1 (2 where there is a head and more) to the number of parameters.

    Returns:
        The rest of the network, if any, and the head. Depends on shapes and ``dim`` alone.

    Raises:
        UsageError: ``dim`` is out of its range.
    """
    names = list(shapes)
    last = max((i for i, name in enumerate(names) if len(shapes[name]) > 1), default=0)
    body, head = names[:last], names[last:]
    sizes = [sum(math.prod(shapes[name]) for name in part) for part in (body, head)]
    least = 2 if body else 1
    if not least <= dim <= sum(sizes):
        raise UsageError(
            f"--dim is {dim}; the network has {sum(sizes):,} parameters.",
            remedy=f"Give a number from {least} to {sum(sizes)}.",
        )
    of_head = min(sizes[1], dim // 2) if body else dim
    of_body = min(sizes[0], dim - of_head)
    of_head = dim - of_body
    groups = (
        Group(names=body, entries=sizes[0], start=0, size=of_body),
        Group(names=head, entries=sizes[1], start=of_body, size=of_head),
    )
    return tuple(group for group in groups if group.names)


def tensor_scale(shape: Sequence[int]) -> float:
    """What a coordinate of 1 moves a tensor's entries by: ``1/sqrt(fan_in)``, vectors by 0.5."""
    if len(shape) < 2:
        return VECTOR_SCALE
    return 1 / math.sqrt(math.prod(shape[1:]))


def initial_parameters(shapes: Mapping[str, Sequence[int]], seed: int) -> dict[str, Tensor]:
    """Where the parameters stand at ``z = 0``.

    Matrices and kernels are uniform in ``±sqrt(6/fan_in)`` (He and others 2015,
    https://arxiv.org/abs/1502.01852), the head is zero, and so are biases; gains are 1.

    Args:
        shapes: of the parameters, in order.
        seed: at least 0.
    """
    matrices = [name for name, shape in shapes.items() if len(shape) > 1]
    found = {}
    for name, shape in shapes.items():
        count = math.prod(shape)
        if len(shape) > 1 and name != matrices[-1]:
            limit = math.sqrt(6 / math.prod(shape[1:]))
            values = uniform(seed, f"initial/{name}", count) * limit
        elif len(shape) > 1 or name.endswith("bias"):
            values = np.zeros(count)
        else:
            values = np.ones(count)
        found[name] = torch.from_numpy(values.astype(np.float32)).reshape(*shape)
    return found


class Projection:
    """The map from coordinates to parameters; depends on shapes, seed and D alone.

    Attributes:
        shapes: of the parameters, in order.
        seed: of initialization and hashes.
        dim: D.
        groups: where the coordinates are.
        reads: for each group the coordinates that its parameters read, and the signs; None
            where each reads its own.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]], seed: int, dim: int) -> None:
        """Draw the initial parameters and the hashes.

        Raises:
            UsageError: ``dim`` is out of its range.
        """
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.seed, self.dim = seed, dim
        self.groups = allocate(self.shapes, dim)
        self._initial = initial_parameters(self.shapes, seed)
        self.reads = [_hashes(group, seed) for group in self.groups]

    def initial(self) -> dict[str, Tensor]:
        """The parameters at ``z = 0``, float32; the tensors are shared, not copied."""
        return dict(self._initial)

    def parameters(self, z: Tensor) -> dict[str, Tensor]:
        """``theta(z)``, differentiable in z.

        Args:
            z: float32, shape ``(D,)``.

        Returns:
            By name, in the order of the shapes. The same z gives the same bits: every entry is
            a sum of `READS` products in a fixed order.
        """
        found: dict[str, Tensor] = {}
        for group, reads in zip(self.groups, self.reads, strict=True):
            own = z[group.start : group.start + group.size]
            moved = own if reads is None else _read(own, *reads)
            found.update(self._split(group, moved))
        return found

    def _split(self, group: Group, moved: Tensor) -> Iterator[tuple[str, Tensor]]:
        start = 0
        for name in group.names:
            shape = self.shapes[name]
            count = math.prod(shape)
            part = moved[start : start + count].reshape(shape)
            yield name, self._initial[name] + part * tensor_scale(shape)
            start += count


def projection_of(module: nn.Module, seed: int, dim: int) -> Projection:
    """The projection for a module's parameters, in the order of their definition."""
    shapes = {name: tuple(one.shape) for name, one in module.named_parameters()}
    return Projection(shapes, seed, dim)


def _hashes(group: Group, seed: int) -> tuple[list[Tensor], list[Tensor]] | None:
    """Which coordinates the group's parameters read, and with which signs."""
    if group.is_own:
        return None
    buckets, signs = [], []
    for number in range(READS):
        raw = words(seed, f"hash/{group.start}/{number}", group.entries)
        low = raw & np.uint64(0xFFFFFFFF)
        # (word * size) >> 32 is in 0 .. size - 1
        bucket = (low * np.uint64(group.size)) >> np.uint64(32)
        sign = 1.0 - 2.0 * (raw >> np.uint64(63)).astype(np.float32)
        buckets.append(torch.from_numpy(bucket.astype(np.int64)))
        signs.append(torch.from_numpy((sign / np.float32(math.sqrt(READS))).astype(np.float32)))
    return buckets, signs


def _read(z: Tensor, buckets: Sequence[Tensor], signs: Sequence[Tensor]) -> Tensor:
    parts = [z[bucket] * sign for bucket, sign in zip(buckets, signs, strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
