"""What a pickle holds as a tree: every container walked, every tensor under a dotted name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from dlgen_cli.checkpoints.pickles.arrays import Array
from dlgen_cli.checkpoints.pickles.machine import Bag, key_text
from dlgen_cli.checkpoints.pickles.torch_names import (
    Leaf,
    PartedTensor,
    StorageView,
    TensorView,
)
from dlgen_cli.checkpoints.stored import MOST_TENSORS, StoredTensor

_MOST_LEVELS = 32
_MOST_VALUES = 4 * MOST_TENSORS
_MOST_NAME = 1 << 16  # characters of one name, and of all together
_MOST_NAMES = 50_000_000
#: Where a module keeps what its state dict holds.
_STATE = _PARAMETERS, _BUFFERS, _MODULES = "_parameters", "_buffers", "_modules"

#: What a tensor is to the object that holds it: an attribute is neither parameter nor buffer of
#: the module that it is found in.
Role = Literal["tensor", "buffer", "attribute"]


@dataclass(frozen=True, slots=True)
class FoundLeaf:
    """A tensor of a tree.

    Attributes:
        path: the keys that lead to it.
        leaf: the tensor.
        role: what a module that was saved whole says of it.
    """

    path: tuple[str, ...]
    leaf: Leaf
    role: Role = "tensor"

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its axes."""
        return self.leaf.whole.shape if isinstance(self.leaf, StorageView) else self.leaf.shape

    @property
    def dtype(self) -> str:
        """Torch's name of the type of its entries, or the format's own."""
        leaf = self.leaf
        if isinstance(leaf, StorageView):
            return leaf.storage.kind.name
        if isinstance(leaf, TensorView | Array):
            return leaf.kind.name
        return leaf.dtype

    def place(self) -> StoredTensor:
        """The tensor as one that can be read.

        Raises:
            ValueError: its entries are not all there.
        """
        return self.leaf if isinstance(self.leaf, StoredTensor) else self.leaf.place()


def is_leaf(value: object) -> TypeGuard[Leaf]:
    """Whether a value of a tree stands for a tensor."""
    if isinstance(value, Array):
        return value.kind.holds_numbers
    return isinstance(value, TensorView | PartedTensor | StorageView | StoredTensor)


def is_container(value: object) -> TypeGuard[Mapping[Any, Any] | Sequence[Any] | Array]:
    """Whether a value may hold tensors."""
    if isinstance(value, Array):
        return value.kind.code[:1] == "O"
    return isinstance(value, Mapping | list | tuple)


def is_module(value: object) -> TypeGuard[Bag]:
    """Whether an object is a module of torch that was saved whole."""
    return (
        isinstance(value, Bag)
        and isinstance(value.get(_PARAMETERS), dict)
        and isinstance(value.get(_MODULES), dict)
    )


def children(node: Any) -> Iterator[tuple[str, Any]]:
    """What a container holds, by key or index; of an object also what it was made with."""
    if isinstance(node, Array):
        node = node.data
    if isinstance(node, Mapping):
        yield from ((key if isinstance(key, str) else key_text(key), node[key]) for key in node)
    if isinstance(node, Bag):
        yield from ((str(at), one) for at, one in enumerate(node.listed))
        yield from ((f"args.{at}", one) for at, one in enumerate(node.arguments))
    if isinstance(node, list | tuple):
        yield from ((str(at), one) for at, one in enumerate(node))


def collect(tree: Any) -> list[FoundLeaf]:
    """Every tensor of a tree, in order; an object that is there twice is walked once.

    Of a module that was saved whole come first what its state dict holds, under the same names,
    then, after all such names, the tensors among its other attributes.

    Raises:
        ValueError: containers are nested too deep or repeated without end, or names are too long.
    """
    if is_leaf(tree):
        return [FoundLeaf(("tensor",), tree)]
    return list(_Walk().run(tree))


_Item = tuple[str, Any, Role]


class _Walk:
    """A walk with its limits."""

    def __init__(self) -> None:
        self._values = self._letters = 0
        self._objects: set[int] = set()
        self._later: list[tuple[tuple[str, ...], list[_Item]]] = []

    def run(self, tree: Any) -> Iterator[FoundLeaf]:
        yield from self._from((), self._items(tree, (), "tensor"))
        while self._later:
            path, items = self._later.pop(0)
            yield from self._from(path, iter(items))

    def _items(self, node: Any, path: tuple[str, ...], role: Role) -> Iterator[_Item]:
        if isinstance(node, Bag):
            if id(node) in self._objects:
                return iter(())
            self._objects.add(id(node))
        if not is_module(node):
            return ((key, one, role) for key, one in children(node))
        named = {key: node[key] for key in _STATE if key in node}
        others: list[_Item] = [
            (key, one, "attribute") for key, one in children(node) if key not in named
        ]
        self._later.append((path, others))
        return (
            (name, one, "buffer" if key == _BUFFERS else "tensor")
            for key, held in named.items()
            for name, one in children(held)
        )

    def _from(self, start: tuple[str, ...], items: Iterator[_Item]) -> Iterator[FoundLeaf]:
        levels = [(start, items)]
        while levels:
            path, items = levels[-1]
            for key, value, role in items:
                self._values += 1
                if self._values > _MOST_VALUES:
                    raise ValueError(f"more than {_MOST_VALUES:,} values")
                found = is_leaf(value)
                if not found and not is_container(value):
                    continue
                below = (*path, key) if key else path
                self._count_letters(below)
                if found:
                    yield FoundLeaf(below, value, role)
                    continue
                if len(levels) + len(start) >= _MOST_LEVELS:
                    raise ValueError(f"containers nested more than {_MOST_LEVELS} deep")
                levels.append((below, self._items(value, below, role)))
                break
            else:
                levels.pop()

    def _count_letters(self, path: tuple[str, ...]) -> None:
        letters = sum(map(len, path)) + len(path)
        self._letters += letters
        if letters > _MOST_NAME or self._letters > _MOST_NAMES:
            raise ValueError(f"names of {self._letters:,} characters")
