"""Where the state dicts lie in what a torch file holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeGuard

import torch

StateDict = dict[str, torch.Tensor]

#: Keys under which trainers keep the network, the most usual first.
_NETWORK_KEYS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "network",
    "net",
    "params",
    "weights",
)
#: Keys that hold tensors which are not the network's.
_OTHER_KEYS = re.compile(r"optim|sched|scaler|rng|ema|loss|amp|history", re.IGNORECASE)


def flatten(tree: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> StateDict:
    """Collect the tensors of nested dictionaries under dotted names."""
    tensors: StateDict = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, torch.Tensor):
            tensors[name] = value.detach()
        elif isinstance(value, Mapping) and depth < 8:
            tensors.update(flatten(value, f"{name}.", depth + 1))
    return tensors


def holds_tensors(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a value is a dictionary with a tensor somewhere in it."""
    return isinstance(value, Mapping) and bool(flatten(value))


def describe(tensors: Mapping[str, torch.Tensor]) -> list[tuple[str, tuple[int, ...], bool]]:
    """Name, shape, and whether the entries are dense real floating-point numbers."""
    return [
        (name, tuple(one.shape), one.is_floating_point() and one.layout == torch.strided)
        for name, one in tensors.items()
    ]


def is_other(key: str) -> bool:
    """Whether a key names an optimizer, a schedule or the like."""
    return _OTHER_KEYS.search(key) is not None


def find_network(tree: Mapping[Any, Any]) -> tuple[StateDict, tuple[str, ...]]:
    """Find the network's state dict.

    Tensors at the top level are the network. Otherwise the first usual key is opened, and
    what it holds searched in the same way; otherwise every dictionary that is not an optimizer's
    (or the like) belongs to the network, under dotted names.

    Returns:
        The tensors by name, and notes on what was opened and what was left.
    """
    if any(isinstance(value, torch.Tensor) for value in tree.values()):
        return flatten(tree), ()
    inside = {str(key): value for key, value in tree.items() if holds_tensors(value)}
    usual = next((key for key in _NETWORK_KEYS if key in inside), None)
    if usual is not None:
        tensors, notes = find_network(inside[usual])
        left = sorted(set(inside) - {usual})
        return tensors, (_note(f"read from '{usual}'", left), *notes)
    kept = {key: value for key, value in inside.items() if not is_other(key)}
    left = sorted(set(inside) - set(kept))
    if len(kept) == 1:
        key, value = next(iter(kept.items()))
        tensors, notes = find_network(value)
        return tensors, (_note(f"read from '{key}'", left), *notes)
    return flatten(kept), ((_note("read from " + ", ".join(kept), left),) if kept else ())


def _note(found: str, left: list[str]) -> str:
    return found + (f"; left aside: {', '.join(left)}" if left else "")
