"""Where the state dicts lie in what a torch file holds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from dlgen_cli.checkpoints.checkpoint import LeftAside
from dlgen_cli.checkpoints.pickles.torch_names import TensorView
from dlgen_cli.checkpoints.stored import MOST_TENSORS, StoredTensor, brief

StateDict = dict[str, StoredTensor]

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
_MOST_LEVELS = 32
_MOST_VALUES = 4 * MOST_TENSORS
_MOST_NAME = 1 << 16  # characters of one name, and of all together
_MOST_NAMES = 50_000_000


def flatten(tree: Mapping[Any, Any], prefix: str = "") -> StateDict:
    """Collect the tensors of nested dictionaries under dotted names.

    Raises:
        ValueError: dictionaries are nested too deep or repeated without end, two tensors have one
            name, or one is larger than its storage.
    """
    tensors: StateDict = {}
    for name, found in _walk(tree, prefix):
        if name in tensors:
            raise ValueError(f"two tensors are called {brief(name)}")
        tensors[name] = found.place() if isinstance(found, TensorView) else found
    return tensors


def _walk(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each tensor of nested dictionaries, as the pickle describes it, in order."""
    seen = letters = 0
    levels = [(prefix, iter(tree.items()))]
    while levels:
        prefix, items = levels[-1]
        for key, value in items:
            seen += 1
            if seen > _MOST_VALUES:
                raise ValueError(f"more than {_MOST_VALUES:,} values")
            if not (is_tensor(value) or isinstance(value, Mapping)):
                continue
            name = f"{prefix}{key}"
            letters += len(name)
            if len(name) > _MOST_NAME or letters > _MOST_NAMES:
                raise ValueError(f"names of {letters:,} characters")
            if is_tensor(value):
                yield name, value
            else:
                if len(levels) >= _MOST_LEVELS:
                    raise ValueError(f"dictionaries nested more than {_MOST_LEVELS} deep")
                levels.append((f"{name}.", iter(value.items())))
                break
        else:
            levels.pop()


def is_tensor(value: object) -> bool:
    """Whether a value of a tree stands for a tensor."""
    return isinstance(value, TensorView | StoredTensor)


def holds_tensors(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a value is a dictionary with a tensor somewhere in it."""
    return isinstance(value, Mapping) and next(_walk(value), None) is not None


def is_other(key: str) -> bool:
    """Whether a key names an optimizer, a schedule or the like."""
    return _OTHER_KEYS.search(key) is not None


def find_network(
    tree: Mapping[Any, Any],
) -> tuple[StateDict, tuple[str, ...], tuple[LeftAside, ...]]:
    """Find the network's state dict.

    Tensors at the top level are the network. Otherwise the first usual key is opened, and
    what it holds searched in the same way; otherwise every dictionary that is not an optimizer's
    (or the like) belongs to the network, under dotted names.

    Returns:
        The tensors by name, notes on what was opened, and what was left aside with its reason.

    Raises:
        ValueError: as `flatten`.
    """
    for _ in _walk(tree):  # bounds all that follows
        pass
    return _find(tree)


def _find(
    tree: Mapping[Any, Any],
) -> tuple[StateDict, tuple[str, ...], tuple[LeftAside, ...]]:
    if any(is_tensor(value) for value in tree.values()):
        return flatten(tree), (), ()
    inside = {str(key): value for key, value in tree.items() if holds_tensors(value)}
    usual = next((key for key in _NETWORK_KEYS if key in inside), None)
    others = [key for key in inside if is_other(key)]
    kept = [usual] if usual is not None else [key for key in inside if key not in others]
    left = _left_aside({key: value for key, value in inside.items() if key not in kept})
    if len(kept) == 1:
        tensors, notes, deeper = _find(inside[kept[0]])
        return tensors, (f"read from '{kept[0]}'", *notes), (*left, *deeper)
    notes = (f"read from {', '.join(kept)}",) if kept else ()
    return flatten({key: inside[key] for key in kept}), notes, left


def _left_aside(left: Mapping[str, Mapping[Any, Any]]) -> tuple[LeftAside, ...]:
    found = []
    for key, value in sorted(left.items()):
        tensors = [one for _, one in _walk(value)]
        count = len(tensors)
        held = "1 tensor" if count == 1 else f"{count:,} tensors"
        kind = "kept for training" if is_other(key) else "beside the network"
        entries = sum(math.prod(one.shape) for one in tensors)
        found.append(LeftAside(name=key, reason=f"{held} {kind}", entries=entries))
    return tuple(found)
