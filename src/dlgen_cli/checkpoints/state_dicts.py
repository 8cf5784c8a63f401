"""Where the network lies in what a torch file holds, and what the rest of the file is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlgen_cli.checkpoints.checkpoint import LeftAside
from dlgen_cli.checkpoints.conservation import Reached
from dlgen_cli.checkpoints.pickles.torch_names import Storage
from dlgen_cli.checkpoints.stored import StoredTensor, brief
from dlgen_cli.checkpoints.tree import FoundLeaf, children, collect, is_leaf, is_module
from dlgen_cli.errors import CheckpointError, UsageError

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
_OPTIMIZER = {"optim", "optims", "optimizer", "optimizers", "optimiser", "optimisers"}
_SCHEDULE = {"sched", "scheduler", "schedulers", "scaler", "amp"}
_RANDOM = {"rng", "random", "seed"}
_AVERAGED = {"ema", "swa", "averaged"}
_RECORDS = {"loss", "losses", "history", "metric", "metrics", "score", "scores", "callbacks"}
#: What optimizers keep for a parameter; the second kind is no evidence on its own.
_MOMENTS = {
    *("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg"),
    *("acc_delta", "exp_inf", "exp_avg_sq_row", "exp_avg_sq_col", "exp_avg_diff"),
}
_BESIDE_MOMENTS = {"step", "sum", "eta", "ax", "mu", "prev", "step_size", "state1", "state2"}
_GENERATOR_STATES = {16, 5056}  # bytes of torch's generators, on a GPU and on a CPU
_WHOLE_NUMBERS = {"int64", "uint64", "bool"}
_SHOWN_PARTS = 12


@dataclass(slots=True, kw_only=True)
class NetworkParts:
    """A file's tensors, sorted.

    Attributes:
        network: its tensors by name, in order.
        notes: on where they were found.
        left_aside: what is known to be no part of the network.
        not_understood: what may be one.
    """

    network: StateDict = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_aside: tuple[LeftAside, ...] = ()
    not_understood: tuple[LeftAside, ...] = ()


def find_network(
    tree: Any, path: Path, storages: Mapping[str, Storage], part: str | None = None
) -> NetworkParts:
    """Find the network's tensors, and say what the others are.

    The first usual key that holds tensors is opened, and what it holds searched in the same way.
    Without one, every part that is not an optimizer's state or the like belongs to the network,
    under dotted names. An averaged copy is the network where there is no other.

    Args:
        tree: what the file holds.
        path: for messages.
        storages: of the file, by name; each entry of each is accounted for.
        part: dotted keys of the part that the user chose.

    Raises:
        ValueError: containers are nested too deep or repeated without end, or a tensor is larger
            than its storage.
        CheckpointError: the file holds an optimizer's state and no network.
        UsageError: it has no such part.
    """
    sorting = _Sorting(path)
    found = collect(tree)
    if part is None:
        sorting.sort(tree, found, ())
    else:
        sorting.choose(tree, found, part)
    parts = sorting.result(storages)
    if _is_zero3(tree, parts.network):
        raise CheckpointError(
            f"{path} holds placeholders: DeepSpeed's ZeRO stage 3 keeps the weights partitioned in "
            "the optim_states files beside it.",
            remedy="Put them together with zero_to_fp32.py, which lies in the same folder.",
        )
    return parts


def script_network(
    module: Any, constants: Any, path: Path, storages: Mapping[str, Storage]
) -> NetworkParts:
    """The tensors of a TorchScript archive under the names of its state dict.

    Args:
        module: its tree of objects.
        constants: of the program: the network only where a frozen module has nothing else.
        path: for messages.
        storages: of the archive.

    Raises:
        ValueError: as `find_network`.
    """
    found = collect(module)
    named = {one.leaf for one in found if not one.path[-1].isdecimal()}
    sorting = _Sorting(path)
    # modules such as LSTM list their parameters once more
    sorting.keep([one for one in found if not (one.path[-1].isdecimal() and one.leaf in named)])
    sorting.keep_constants(collect({"CONSTANTS": {f"c{i}": c for i, c in enumerate(constants)}}))
    return sorting.result(storages)


def is_training_state(key: str, value: object) -> bool:
    """Whether a part of a tree is an optimizer's state or the like, and no network."""
    found = collect(value)
    return bool(found) and _training_state(key, value, found) is not None


class _Sorting:
    """Tensors as they are sorted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._network: list[tuple[str, FoundLeaf]] = []
        self._aside: list[tuple[str, str, Sequence[FoundLeaf]]] = []
        self._unknown: list[tuple[str, str, Sequence[FoundLeaf]]] = []
        self._notes: list[str] = []

    def sort(self, node: Any, found: Sequence[FoundLeaf], at: tuple[str, ...]) -> None:
        """Sort the tensors of the node that the keys ``at`` lead to; their names start below it."""
        if _is_optimizer(node, found):
            raise CheckpointError(
                f"{self._path} holds the state of an optimizer ({brief(found[0].path[-1])}, ...) "
                "and no network.",
                remedy="Pass the file with the weights: model.state_dict().",
            )
        if not (_is_open(node) or (not at and isinstance(node, list | tuple))):
            self.keep(found, len(at))
            return
        groups = _by_key(found, len(at))
        nodes = dict(children(node))
        reasons = {
            key: reason
            for key, held in groups.items()
            if (reason := _training_state(key, nodes.get(key), held)) is not None
        }
        plain = [key for key in groups if key not in reasons]
        reasons |= self._averaged(groups, plain)
        plain = [key for key in plain if key not in reasons]
        usual = next(
            (k for k in _NETWORK_KEYS if k in plain and isinstance(nodes.get(k), Mapping)), None
        )
        if usual is not None:
            self._notes.append(f"read from '{usual}'")
            for key in plain:
                if key != usual:
                    self._beside(".".join((*at, key)), groups[key])
            self.sort(nodes[usual], groups[usual], (*at, usual))
        elif len(plain) == 1 and isinstance(nodes.get(plain[0]), Mapping):
            self._notes.append(f"read from '{plain[0]}'")
            self.sort(nodes[plain[0]], groups[plain[0]], (*at, plain[0]))
        elif plain:
            self._several(nodes, {key: groups[key] for key in plain}, at)
        else:
            self._only_average(nodes, groups, reasons, at)
        for key, reason in reasons.items():
            self._aside.append((".".join((*at, key)), reason, groups[key]))

    def choose(self, tree: Any, found: Sequence[FoundLeaf], part: str) -> None:
        """Sort the tensors of the part that the user chose; the others are left aside."""
        chosen = [one for one in found if _is_below(one.path, part)]
        if not chosen:
            names = list(_by_key(found, 0))
            shown = ", ".join(map(brief, names[:_SHOWN_PARTS]))
            raise UsageError(
                f"{self._path} has no part {brief(part)}; its parts with tensors are {shown}.",
                remedy="Name one of them with --part, or a part of one with dots between the keys.",
            )
        depth = _depth_of(chosen[0].path, part)
        node = tree
        for key in chosen[0].path[:depth]:
            node = dict(children(node)).get(key) if not is_module(node) else None
        self._notes.append(f"read from '{part}', as --part says")
        self.sort(node, chosen, chosen[0].path[:depth])
        kept = {id(one) for one in chosen}
        others = [one for one in found if id(one) not in kept]
        for key, held in _by_key(others, 0).items():
            self._aside.append((key, f"{_count(held)} beside the part that --part chose", held))

    def result(self, storages: Mapping[str, Storage]) -> NetworkParts:
        """The tensors with the entries that each of them reaches."""
        reached = Reached(storages)
        parts = NetworkParts(notes=tuple(self._notes))
        for name, one in self._network:
            placed = one.place()
            entries = reached.claim(name, one.leaf)
            if isinstance(one.leaf, StoredTensor):
                entries = placed.entries if placed.entries is not None else _size(placed.shape)
            free = f"{name} ({len(parts.network)})" if name in parts.network else name
            parts.network[free] = replace(placed, entries=entries, is_buffer=one.role == "buffer")

        def counted(key: str, reason: str, held: Sequence[FoundLeaf]) -> LeftAside:
            entries = sum(
                _size(one.leaf.shape)
                if isinstance(one.leaf, StoredTensor)
                else reached.claim(key, one.leaf)
                for one in held
            )
            return LeftAside(name=key, reason=reason, entries=entries)

        aside = [counted(*one) for one in sorted(self._aside, key=lambda one: one[0])]
        unknown = [counted(*one) for one in self._unknown]
        rests, wholes = reached.rest()
        parts.left_aside = (*aside, *rests)
        parts.not_understood = (*unknown, *wholes)
        return parts

    def keep(self, found: Sequence[FoundLeaf], depth: int = 0) -> None:
        """Take tensors for the network's, but for those that no state dict would hold."""
        known = {one.leaf for one in found if one.role != "attribute"}
        for one in found:
            name = ".".join(one.path[min(depth, len(one.path) - 1) :])
            if one.role == "attribute" and one.leaf in known:
                continue  # modules such as LSTM list their parameters once more
            if one.role == "attribute" and known:
                reason = "an attribute of a module, neither parameter nor buffer"
                self._unknown.append((name, reason, [one]))
            else:
                self._network.append((name, one))

    def keep_constants(self, constants: Sequence[FoundLeaf]) -> None:
        """Take the constants of a program for the network's, where there is nothing else."""
        if all(one.place().reason for _, one in self._network):
            self.keep(constants)
            if constants:
                self._notes.append("a frozen module: its constants are the network")
            return
        for one in constants:
            name = ".".join(one.path)
            if one.shape and one.dtype not in _WHOLE_NUMBERS:
                reason = "a constant of the program, which may be a weight"
                self._unknown.append((name, reason, [one]))
            else:
                self._aside.append((name, "a constant of the program, no parameter", [one]))

    def _beside(self, name: str, held: Sequence[FoundLeaf]) -> None:
        """Sort what stands beside a usual key."""
        kinds = {one.dtype for one in held}
        axes = max(len(one.shape) for one in held)
        words = _words(name.rsplit(".", 1)[-1])
        if axes == 0:
            self._aside.append((name, f"{_count(held)} of one number beside the network", held))
        elif kinds <= _WHOLE_NUMBERS:
            self._aside.append((name, f"{_count(held)} of whole numbers beside the network", held))
        elif axes == 1 and words & _RECORDS:
            self._aside.append((name, f"{_count(held)}: a record of training, by its name", held))
        else:
            reason = f"{_count(held)} beside the network: --part chooses what is audited"
            self._unknown.append((name, reason, held))

    def _several(
        self,
        nodes: Mapping[str, Any],
        groups: Mapping[str, Sequence[FoundLeaf]],
        at: tuple[str, ...],
    ) -> None:
        """Several parts are one network under dotted names, without their optimizers' states."""
        parts = [key for key in groups if not is_leaf(nodes.get(key))]
        if len(parts) == len(groups) and len(parts) > 1:
            self._notes.append(f"read from {', '.join(map(brief, parts[:_SHOWN_PARTS]))}")
        for key, held in groups.items():
            self._cleaned(nodes.get(key), held, len(at), (*at, key))

    def _cleaned(
        self, node: Any, found: Sequence[FoundLeaf], depth: int, at: tuple[str, ...]
    ) -> None:
        if not (_is_open(node) or isinstance(node, list | tuple)):
            self.keep(found, depth)
            return
        nodes = dict(children(node))
        for key, held in _by_key(found, len(at)).items():
            if _is_optimizer(nodes.get(key), held):
                reason = f"{_count(held)}: an optimizer's state, by what it holds"
                self._aside.append((".".join((*at, key)), reason, held))
            else:
                self._cleaned(nodes.get(key), held, depth, (*at, key))

    def _averaged(
        self, groups: Mapping[str, Sequence[FoundLeaf]], plain: Sequence[str]
    ) -> dict[str, str]:
        """Averaged copies by name, whose matrices have the shapes of those beside them.

        Of names with dots the copy is a prefix, under which the names of the others stand again.
        """
        prefixes = {key: prefix for key in plain if (prefix := _averaged_prefix(key))}
        named = [key for key, at in prefixes.items() if at == key and _matrices(groups[key])]
        others = [key for key in plain if key not in prefixes]
        there = sum((_matrices(groups[key]) for key in others), Counter[tuple[int, ...]]())
        found = [key for key in named if not others or _matrices(groups[key]) <= there]
        shapes = {_squeezed(key): groups[key][0].shape for key in others}
        for prefix in {at for key, at in prefixes.items() if at != key}:
            copies = [key for key, at in prefixes.items() if at == prefix != key]
            if not others or _repeat(prefix, {key: groups[key][0].shape for key in copies}, shapes):
                found += copies
        return {
            key: f"{_count(groups[key])}: an averaged copy (EMA), by its name and its shapes"
            for key in found
        }

    def _only_average(
        self,
        nodes: Mapping[str, Any],
        groups: Mapping[str, Sequence[FoundLeaf]],
        reasons: dict[str, str],
        at: tuple[str, ...],
    ) -> None:
        average = next((key for key in reasons if "averaged copy" in reasons[key]), None)
        if average is not None:
            del reasons[average]
            reason = "an averaged copy (EMA): it is the network, as the file holds no other"
            self._notes.append(f"read from '{average}', {reason}")
            self._aside.append((".".join((*at, average)), reason, ()))
            self.sort(nodes[average], groups[average], (*at, average))
        elif reasons:
            key, reason = next(iter(reasons.items()))
            raise CheckpointError(
                f"{self._path} holds no network: {brief(key)} holds {reason}.",
                remedy="Pass the file with the weights: model.state_dict().",
            )


def _training_state(key: str, node: Any, held: Sequence[FoundLeaf]) -> str | None:
    """What a part is that trainers keep beside the network, with the evidence; None elsewhere."""
    words = _words(key)
    reason = None
    if all(one.dtype == "uint8" and one.shape in _STATES for one in held):
        reason = "the state of a random generator, by its size"
    elif words & _RANDOM and not any("float" in one.dtype for one in held):
        reason = "the state of a random generator, by its name"
    elif is_leaf(node):
        return None
    elif _is_optimizer(node, held):
        reason = "an optimizer's state, by what it holds"
    elif words & _OPTIMIZER:
        reason = "an optimizer's state, by its name"
    elif words & _SCHEDULE and all(not one.shape for one in held):
        reason = "kept for training, by its name"
    elif words & _RECORDS and all(len(one.shape) <= 1 for one in held):
        reason = "a record of training, by its name"
    return reason and f"{_count(held)}: {reason}"


_STATES = {(size,) for size in _GENERATOR_STATES}


def _is_optimizer(node: Any, held: Sequence[FoundLeaf]) -> bool:
    """Whether tensors are an optimizer's state by what they are called there."""
    if not held or is_leaf(node):
        return False
    if isinstance(node, Mapping) and "param_groups" in node and "state" in node:
        return True
    last = {one.path[-1].rsplit(".", 1)[-1] for one in held}
    return bool(last & _MOMENTS) and last <= _MOMENTS | _BESIDE_MOMENTS


def _is_open(node: Any) -> bool:
    """Whether a node is a dictionary or an object, and no module or tensor with attributes."""
    return isinstance(node, Mapping) and not (is_module(node) or "" in node)


def _is_zero3(tree: Any, network: StateDict) -> bool:
    """Whether DeepSpeed left shapes without entries."""
    is_recorded = isinstance(tree, Mapping) and "param_shapes" in tree
    return is_recorded and bool(network) and not any(_size(t.shape) for t in network.values())


def _by_key(found: Sequence[FoundLeaf], depth: int) -> dict[str, list[FoundLeaf]]:
    groups: dict[str, list[FoundLeaf]] = {}
    for one in found:
        groups.setdefault(one.path[min(depth, len(one.path) - 1)], []).append(one)
    return groups


def _words(key: str) -> set[str]:
    """The words of a key: between dots, dashes and underscores, and at capitals."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", key)}


def _averaged_prefix(key: str) -> str | None:
    """The name up to the first part, between dots, that is called an average."""
    parts = key.split(".")
    for at, part in enumerate(parts, 1):
        if _words(part) & _AVERAGED:
            return ".".join(parts[:at])
    return None


def _squeezed(key: str) -> str:
    """A name without its dots, which some copies lack, and without what wrappers add."""
    return key.removeprefix("module.").replace(".", "")


def _repeat(
    prefix: str,
    copies: Mapping[str, tuple[int, ...]],
    others: Mapping[str, tuple[int, ...]],
) -> bool:
    """Whether each name below a prefix stands among the others too, with its shape.

    A copy is one of a whole network: it repeats two names or more, and a quarter of the others.
    """
    wanted = {
        _squeezed(key.removeprefix(f"{prefix}.")): shape for key, shape in copies.items() if shape
    }
    if len(wanted) < max(2, len(others) / 4):
        return False
    first = next(iter(wanted))
    starts = [one.removesuffix(first) for one in others if one.endswith(first)]
    return any(
        all(others.get(start + one) == shape for one, shape in wanted.items()) for start in starts
    )


def _matrices(held: Sequence[FoundLeaf]) -> Counter[tuple[int, ...]]:
    return Counter(one.shape for one in held if len(one.shape) > 1)


def _count(held: Sequence[FoundLeaf]) -> str:
    return "1 tensor" if len(held) == 1 else f"{len(held):,} tensors"


def _size(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _is_below(path: Sequence[str], part: str) -> bool:
    return _depth_of(path, part) > 0


def _depth_of(path: Sequence[str], part: str) -> int:
    """How many keys of a path make the part's name; 0 where they do not."""
    name = ""
    for depth, key in enumerate(path, 1):
        name = f"{name}.{key}" if name else key
        if name == part:
            return depth
        if not part.startswith(name):
            break
    return 0
