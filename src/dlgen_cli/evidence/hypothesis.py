"""The parameters of the hypothesis that PAC-Bayes and Rademacher bounds speak of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from dlgen_cli.checkpoints.anchors import AnchorTensors
from dlgen_cli.errors import CheckpointError
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.networks import Recipe, effective_tensors, evaluate
from dlgen_cli.records import Assumption


def hypothesis(inputs: Inputs, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The parameters that the predictor really has, by name.

    A traced network's are its effective ones: batch normalization folded, weight normalization
    resolved. Otherwise they are all floating-point tensors of the checkpoint, running statistics
    and other buffers among them, tied ones once, read one by one; quantised and masked weights
    stand there as they are applied, in place of their entries, scales and masks.

    Args:
        inputs: the checkpoint and its network.
        tensors: the checkpoint's, or those of another that has the same names.

    Raises:
        TensorError: a tensor of a traced network is missing, not finite, or has another shape.
    """
    read = inputs.read
    if _is_traced(inputs):
        found = effective_tensors(read.network, tensors)
        folded = {one.weight_name for one in read.network.layers.values() if one.is_folded}
        again = {
            name
            for name, first in read.tied.items()
            if name in found and first in found and not {name, first} & folded
        }
        return {name: tensor for name, tensor in found.items() if name not in again}
    fixed = set(fixed_tensors(inputs))
    parts = {name for recipe in read.applied.values() for name in recipe.sources}
    names = [
        info.name
        for info in inputs.checkpoint.floating
        if not (info.name in read.tied or info.is_view or info.name in fixed | parts)
    ]
    return _AppliedTensors(tensors, [*names, *read.applied], read.applied)


class _AppliedTensors(Mapping[str, Tensor]):
    """Some of a mapping's tensors, read one by one; some are made of several."""

    def __init__(
        self, tensors: Mapping[str, Tensor], names: Sequence[str], recipes: Mapping[str, Recipe]
    ) -> None:
        self._tensors = tensors
        self._names = names
        self._recipes = recipes

    def __getitem__(self, name: str) -> Tensor:
        """Read one tensor, or make it."""
        recipe = self._recipes.get(name)
        return self._tensors[name] if recipe is None else evaluate(recipe, self._tensors).weight

    def __iter__(self) -> Iterator[str]:
        """The names, in their order."""
        return iter(self._names)

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self._names)


def fixed_tensors(inputs: Inputs) -> list[str]:
    """Tensors that the predictor may read and that are no parameters.

    They are indices and masks: whole numbers and truth values with axes, and tables by their names
    whose entries are infinite or one finite number.
    """
    checkpoint, read = inputs.checkpoint, inputs.read
    found = []
    for name, role in read.roles.items():
        info = checkpoint.tensors[name]
        if role != "aside" or not info.shape or not info.numel or info.is_view:
            continue
        if not info.is_floating or _is_infinite_mask(inputs, info.stored_name):
            found.append(name)
    return found


def _is_infinite_mask(inputs: Inputs, stored: str) -> bool:
    try:
        entries = inputs.checkpoint.reader(stored).float()
    except (OSError, ValueError, RuntimeError, MemoryError):
        return False  # reading it as a parameter says so
    finite = entries[torch.isfinite(entries)]
    is_mask = len(finite) < entries.numel() and not bool(entries.isnan().any())
    return is_mask and bool((finite == finite[:1]).all())


def parameter_lines(inputs: Inputs) -> list[Assumption]:
    """Whether every tensor that may be a weight is a parameter, and which others are."""
    lines = ledger.parameter_lines(inputs.checkpoint, inputs.read)
    if _is_traced(inputs):
        return lines
    fixed, roles = set(fixed_tensors(inputs)), inputs.read.roles
    buffers = [
        info
        for info in inputs.checkpoint.floating
        if (info.is_statistic or info.is_buffer or roles.get(info.name) == "aside")
        and not (info.is_view or info.name in fixed)
    ]
    return [*lines, *ledger.buffer_lines([(one.name, one.numel) for one in buffers])]


def fixed_lines(anchor: AnchorTensors, inputs: Inputs) -> list[Assumption]:
    """A violated line where indices or masks differ from the anchor's: no distance counts them."""
    own, other = inputs.checkpoint, anchor.source
    for name in fixed_tensors(inputs):
        if name not in other.tensors:
            continue
        try:
            one = own.reader(own.tensors[name].stored_name)
            two = other.reader(other.tensors[name].stored_name)
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            raise CheckpointError(
                f"Tensor {name} of {own.path} or of the anchor {anchor.name} cannot be read.",
                remedy="Check that both files are whole.",
            ) from error
        if one.shape != two.shape or not torch.equal(one.double(), two.double()):
            return [ledger.fixed_line(name, anchor.name)]
    return []


def _is_traced(inputs: Inputs) -> bool:
    return inputs.read.structure == "graph" and inputs.read.network.unsupported is None
