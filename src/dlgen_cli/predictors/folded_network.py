"""A network that can be evaluated at any point of its parameter space, and at random ones.

The parameters are the coordinates of the audit: every weight and bias after batch normalization
was folded into the layer before it and weight normalization was resolved. A Gaussian over them
perturbs the map that is really applied, running statistics included.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.errors import TensorError, UsageError
from dlgen_cli.networks import GraphLayer, Network, ReadNetwork, effective_tensors
from dlgen_cli.networks.fx_recorder import record
from dlgen_cli.networks.layer_kinds import apply_map
from dlgen_cli.networks.loaded_module import build_for
from dlgen_cli.networks.programs.module import ProgramModule
from dlgen_cli.predictors.deviations import Deviation, is_zero, perturb
from dlgen_cli.predictors.graph_split import split
from dlgen_cli.predictors.sampling import LayerMap, WeightSampler, own_weight_entries

#: Entries of the largest tensor of a batch: what fits a processor's cache, and a device's memory.
_ENTRIES_ON_CPU = 1 << 22
_ENTRIES_ON_DEVICE = 1 << 27
_LARGEST_BATCH = 4096


class FoldedNetwork:
    """The folded network of a checkpoint, in float32 and in evaluation mode.

    Attributes:
        network: its traced graph.
        parameters: the coordinates in float32, by `GraphLayer.weight_name` and
            `GraphLayer.bias_name`: see `coordinates`. They are the mean of a posterior around
            this network, so distances that enter a KL divergence are to be taken from them.
        device: where they are.
    """

    def __init__(
        self,
        *,
        network: Network,
        module: fx.GraphModule,
        slot: _SamplerSlot,
        parameters: Mapping[str, Tensor],
    ) -> None:
        self.network = network
        self.parameters = {name: _in_layout(tensor) for name, tensor in parameters.items()}
        self.device = next(iter(self.parameters.values())).device
        self._module = module
        self._slot = slot

    @torch.no_grad()
    def logits(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Evaluate at a point of the parameter space.

        Args:
            parameters: float32, one tensor for each of the network's own.
            inputs: float32, shape ``(n, *network.input_shape)``.

        Returns:
            Shape ``(n, *network.output_shape)``.
        """
        result: Tensor = _evaluate(self._module, parameters, (_in_layout(inputs),))
        return result

    def __call__(self, inputs: Tensor) -> Tensor:
        """The logits at the network's own parameters."""
        return self.logits(self.parameters, inputs)

    def sampled_logits(self, sampler: WeightSampler, inputs: Tensor) -> Tensor:
        """Evaluate every example under Gaussian weights of its own around `parameters`.

        Args:
            sampler: the deviations and the noise of this batch.
            inputs: float32, shape ``(n, *network.input_shape)``.

        Returns:
            Logits, independent from example to example.
        """
        if _has_functions(self.network):
            return _each_alone(self._module, self.parameters, sampler, inputs)
        with self._slot.sampling(sampler):
            return self.logits(self.parameters, inputs)

    def split(self, moving: Collection[str]) -> SplitNetwork:
        """The network cut before its first layer with a parameter that moves.

        Args:
            moving: names of parameters; the others are the same in every evaluation.
        """
        paths = {
            layer.module
            for layer in self.network.layers.values()
            if {layer.weight_name, layer.bias_name} & set(moving)
        }
        is_whole = not moving or _has_functions(self.network)
        parts = None if is_whole else split(self._module, paths)
        backbone, head = parts or (None, self._module)
        return SplitNetwork(
            backbone=backbone,
            head=head,
            parameters=self.parameters,
            slot=self._slot,
            has_functions=_has_functions(self.network),
        )

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> FoldedNetwork:
        """The same graph with other parameters, on their device."""
        return FoldedNetwork(
            network=self.network, module=self._module, slot=self._slot, parameters=parameters
        )

    def to(self, device: torch.device) -> FoldedNetwork:
        """The same network on a device."""
        return self.with_parameters(
            {name: tensor.to(device) for name, tensor in self.parameters.items()}
        )

    def batch_size(
        self, *, own_weights: bool, deviations: Sequence[Mapping[str, Deviation]] = ()
    ) -> int:
        """How many examples to evaluate at a time.

        Args:
            own_weights: whether every example has weights of its own.
            deviations: of those weights; of all entries alike where none are given.
        """
        sizes = [math.prod(node.shape) for node in self.network.nodes]
        if own_weights:
            shared = _shared_modules(self.network)
            sizes += [
                own_weight_entries(
                    layer, one.get(layer.weight_name, 1.0), is_shared=layer.module in shared
                )
                for layer in self.network.layers.values()
                for one in deviations or ({},)
            ]
        room = _ENTRIES_ON_CPU if self.device.type == "cpu" else _ENTRIES_ON_DEVICE
        return max(1, min(_LARGEST_BATCH, room // max(1, *sizes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitNetwork:
    """A folded network in two parts: what several predictors share, and where they differ.

    Attributes:
        backbone: gives what the rest reads; None where the rest is the whole network.
        head: the rest.
        parameters: of the backbone.
        slot: of the network.
        has_functions: whether functions apply weights, or tensors are values; it is whole then.
    """

    backbone: nn.Module | None
    head: nn.Module
    parameters: Mapping[str, Tensor]
    slot: _SamplerSlot
    has_functions: bool = False

    @torch.no_grad()
    def features(self, inputs: Tensor) -> tuple[Any, ...]:
        """What the rest of the network reads, once for all predictors."""
        if self.backbone is None:
            return (_in_layout(inputs),)
        found: tuple[Any, ...] = _evaluate(self.backbone, self.parameters, (_in_layout(inputs),))
        return found

    @torch.no_grad()
    def logits(
        self,
        parameters: Mapping[str, Tensor],
        features: tuple[Any, ...],
        sampler: LayerMap | None = None,
    ) -> Tensor:
        """Evaluate the rest.

        Args:
            parameters: one tensor for each of the network's own, equal to `parameters` in the
                backbone.
            features: from `features`; they are kept as they are.
            sampler: gives every example weights of its own around the parameters, or applies
                something else in the place of the layers.
        """
        own = copy.deepcopy(features)  # the network may write on its inputs
        if sampler is not None and self.has_functions:
            return _each_alone(self.head, parameters, sampler, own[0])
        with self.slot.sampling(sampler):
            result: Tensor = _evaluate(self.head, parameters, own)
        return result


def _has_functions(network: Network) -> bool:
    """Whether a tensor is read where no module stands that could draw its noise."""
    return any(layer.stored_weight is not None for layer in network.layers.values())


def _each_alone(
    module: nn.Module, parameters: Mapping[str, Tensor], sampler: Any, inputs: Tensor
) -> Tensor:
    """Every example by itself, with all its tensors drawn: slow, and right for any network.

    Raises:
        UsageError: something else than drawn weights is asked for.
    """
    if not isinstance(sampler, WeightSampler):
        raise UsageError(
            "The layers of this network are functions: nothing stands in their place.",
            remedy="Audit a network of modules.",
        )
    rows = []
    for place in range(len(inputs)):
        drawn = {}
        for name, mean in parameters.items():
            deviation = sampler.deviations[name]
            if is_zero(deviation):
                drawn[name] = mean
                continue
            normals = sampler.noise.normal(f"{place}.{name}", tuple(mean.shape), keep=False)
            drawn[name] = perturb(mean, deviation, normals)
        rows.append(_evaluate(module, drawn, (_in_layout(inputs[place : place + 1]),)))
    return torch.cat(rows)


def _evaluate(module: nn.Module, parameters: Mapping[str, Tensor], inputs: tuple[Any, ...]) -> Any:
    """Call a part of a folded network with the parameters that it reads."""
    own = {name: parameters[name] for name, _ in module.named_parameters()}
    return torch.func.functional_call(module, own, inputs)


def coordinates(network: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The coordinates of a state dict: folded in float64, then rounded to float32.

    Checkpoint and anchors are to be taken through this one function. A tensor that needs no
    folding and is stored in float32 or less comes out as it is.

    Args:
        network: traced.
        tensors: a state dict with the network's names: the checkpoint's, or an anchor's.

    Raises:
        TensorError: a tensor is missing, has another shape, or is out of the range of float32.
    """
    found = effective_tensors(network, tensors)
    return {name: _to_float32(name, tensor) for name, tensor in found.items()}


def fold_network(
    module: nn.Module, network: Network, tensors: Mapping[str, Tensor]
) -> FoldedNetwork:
    """Make the folded network of a traced module.

    Args:
        module: what was traced, in evaluation mode; it is not changed.
        network: its graph.
        tensors: its state dict, or another one with its names.

    Raises:
        UsageError: the graph has an operation that is not understood.
        TensorError: see `coordinates`.
    """
    unsupported = network.unsupported
    if unsupported is not None:
        raise UsageError(
            "The network cannot be folded and evaluated: there is no rule for "
            f"{unsupported.operation} ({unsupported.reason}).",
            remedy="Leave out --data.",
        )
    _require_open_batch(module, network)
    slot = _SamplerSlot()
    folded = _folded_module(module, network, slot)
    return FoldedNetwork(
        network=network, module=folded, slot=slot, parameters=coordinates(network, tensors)
    )


def _require_open_batch(module: nn.Module, network: Network) -> None:
    """Refuse a program for one number of examples.

    Raises:
        UsageError: it takes no other.
    """
    if isinstance(module, ProgramModule) and not module.takes_batches(network.input_shape):
        raise UsageError(
            "The program in the checkpoint takes a fixed number of examples.",
            remedy="Export it with a dynamic batch: dynamic_shapes=({0: Dim('batch')},).",
        )


def open_folded(checkpoint: Checkpoint, read: ReadNetwork) -> FoldedNetwork:
    """Make the folded network of a checkpoint.

    Args:
        checkpoint: named tensors.
        read: what `read_network` returned for it.

    Raises:
        UsageError: its architecture is not known, or has an operation that is not understood.
    """
    if read.structure != "graph":
        raise UsageError(
            f"{checkpoint.path} does not record its architecture, so that it cannot be evaluated.",
            remedy="Give --arch NAME.",
        )
    module = read.module or build_for(checkpoint, read.architecture).module
    return fold_network(module, read.network, read.tensors)


def replace_parameters(network: FoldedNetwork, tensors: Mapping[str, Tensor]) -> FoldedNetwork:
    """The network with some parameters replaced, for example by those that b bits can store.

    Args:
        network: on any device.
        tensors: by the names of ``network.parameters``, of any floating-point type; they are
            rounded to float32.

    Raises:
        TensorError: there is no such parameter, or it has another shape.
    """
    changed = dict(network.parameters)
    for name, tensor in tensors.items():
        if name not in changed or tensor.shape != changed[name].shape:
            wanted = tuple(changed[name].shape) if name in changed else "no such parameter"
            raise TensorError(
                f"{name} of shape {tuple(tensor.shape)} cannot replace a parameter: the folded "
                f"network has {wanted}."
            )
        changed[name] = _to_float32(name, tensor).to(network.device)
    return network.with_parameters(changed)


class _SamplerSlot:
    """What the layers of one network ask for the weights of the pass that is under way."""

    sampler: LayerMap | None = None

    @contextmanager
    def sampling(self, sampler: LayerMap | None) -> Iterator[None]:
        """Give the pass that follows weights of its own, or none."""
        self.sampler = sampler
        try:
            yield
        finally:
            self.sampler = None


class _FoldedLayer(nn.Module):
    """One map; its parameters are given with each call."""

    def __init__(self, layer: GraphLayer, slot: _SamplerSlot, *, is_shared: bool) -> None:
        super().__init__()
        self._layer = layer
        self._slot = slot
        self._is_shared = is_shared
        self.weight = _placeholder()
        self.bias: nn.Parameter | None = None
        if layer.bias_name is not None:
            self.bias = _placeholder()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the map, or the one of each example's own weights."""
        sampler = self._slot.sampler
        if sampler is None:
            return apply_map(self._layer, x, self.weight, self.bias)
        return sampler.apply(self._layer, x, self.weight, self.bias, is_shared=self._is_shared)


def _folded_module(module: nn.Module, network: Network, slot: _SamplerSlot) -> fx.GraphModule:
    """The calls of a module with its layers replaced and its folded normalizations left out."""
    graph = record(module, network.input_shape)
    records = {node.name: node for node in network.nodes}
    shared = _shared_modules(network)
    folded = {
        layer.batch_norm.module
        for layer in network.layers.values()
        if layer.batch_norm is not None and layer.is_folded
    }
    layers = network.layers.values()
    names = {name for one in layers for name in (one.weight_name, one.bias_name)}
    targets: dict[str, Any] = {}
    for node in list(graph.nodes):
        if node.op not in {"call_module", "get_attr"}:
            continue
        path = str(node.target)
        known = records.get(node.name)
        if node.op == "get_attr":
            targets[path] = _placeholder() if path in names else _fixed(module, path)
        elif known is not None and known.layer is not None:
            layer = network.layers[known.layer]
            replacement = _FoldedLayer(layer, slot, is_shared=layer.module in shared)
            targets.setdefault(path, replacement)
        elif known is None and path in folded:
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.erase_node(node)
        else:
            targets[path] = _attribute(module, path)
    return fx.GraphModule(targets, graph).eval()


def _shared_modules(network: Network) -> set[str]:
    """The modules that the network calls more than once."""
    layers = [network.layers[node.layer] for node in network.nodes if node.layer is not None]
    calls = Counter(layer.module for layer in layers)
    return {module for module, count in calls.items() if count > 1}


def _placeholder() -> nn.Parameter:
    """What stands for a tensor that is given with each call."""
    return nn.Parameter(torch.empty(0, device="meta"), requires_grad=False)


def _fixed(module: nn.Module, path: str) -> Any:
    """A tensor that is no parameter of the network, or none that it reads in evaluation."""
    found = _attribute(module, path)
    return found.detach() if isinstance(found, Tensor) else found


def _attribute(module: nn.Module, path: str) -> Any:
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part)
    return copy.deepcopy(found).eval() if isinstance(found, nn.Module) else found


def _to_float32(name: str, tensor: Tensor) -> Tensor:
    rounded = tensor.to(torch.float32)
    if not bool(rounded.isfinite().all()):
        raise TensorError(f"{name} has an entry that float32 cannot hold.")
    return rounded


def _in_layout(tensor: Tensor) -> Tensor:
    """Images and kernels with their channels last in memory."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
