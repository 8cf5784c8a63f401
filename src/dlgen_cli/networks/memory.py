"""Which values share memory, so that a change in place is seen by all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, UntypedStorage, fx

_STALE = "it reads a view of a tensor that was changed in place since"


@dataclass(slots=True)
class SharedMemory:
    """The node that holds each recorded value now.

    A change in place makes its result the value of every recorded name of the same tensor. A
    view of other shape, or a tuple of views, is stale from then on: no rule covers it.
    """

    _values: dict[fx.Node, Any] = field(default_factory=dict)
    _names: dict[fx.Node, str] = field(default_factory=dict)
    _stale: set[fx.Node] = field(default_factory=set)

    def add(self, node: fx.Node, value: Any, name: str) -> None:
        """Take in a new value, which the node ``name`` holds."""
        self._values[node] = value
        self._names[node] = name

    def knows(self, node: fx.Node) -> bool:
        """Whether the value depends on the network's input."""
        return node in self._names

    def current(self, node: fx.Node) -> tuple[str, str]:
        """Name of the node that holds the value, and why it is stale; empty where it is not."""
        return self._names[node], _STALE if node in self._stale else ""

    def overwrite(self, target: fx.Node, name: str) -> None:
        """The tensor of ``target`` was changed in place; the node ``name`` holds it now."""
        if target not in self._values:
            return
        changed = self._values[target]
        storages = _storages(changed)
        for node, value in self._values.items():
            if not any(one is other for one in _storages(value) for other in storages):
                continue
            if _is_same_tensor(value, changed):
                self._names[node] = name
            else:
                self._stale.add(node)


def _storages(value: Any) -> list[UntypedStorage]:
    if isinstance(value, tuple | list):
        return [storage for one in value for storage in _storages(one)]
    return [value.untyped_storage()] if isinstance(value, Tensor) else []


def _is_same_tensor(left: Any, right: Any) -> bool:
    if not isinstance(left, Tensor) or not isinstance(right, Tensor):
        return False
    layout = (left.shape, left.stride(), left.storage_offset())
    return layout == (right.shape, right.stride(), right.storage_offset())
