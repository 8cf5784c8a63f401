"""A traced network: its nodes, and the linear maps that they name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dlgen_cli.networks.layouts import Recipe
from dlgen_cli.records import DIAGONAL_KINDS, GraphNode


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm:
    """A batch normalization in evaluation mode: ``x -> g (x - mean) / sqrt(var + epsilon) + b``.

    Attributes:
        module: its path; its tensors are ``{module}.running_mean`` and so on.
        features: number of channels.
        epsilon: the module's.
        affine: whether ``g`` and ``b`` are tensors; otherwise they are 1 and 0.
    """

    module: str
    features: int
    epsilon: float
    affine: bool

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """The tensors of the state dict that it reads."""
        kept = ("running_mean", "running_var", *(("weight", "bias") if self.affine else ()))
        return tuple(f"{self.module}.{name}" for name in kept)


NormalizationForm = Literal["layer_norm", "rms_norm", "group_norm", "instance_norm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization:
    """A normalization by statistics of its own input, before its factors and shifts.

    Attributes:
        form: ``layer_norm`` and ``rms_norm`` along the last axes, ``group_norm`` over channels in
            groups and all positions, ``instance_norm`` over the positions of each channel.
        epsilon: added to the variance or to the mean of squares, above 0.
        axes: how many last axes are normalized together.
        groups: of channels.
    """

    form: NormalizationForm
    epsilon: float
    axes: int = 1
    groups: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphLayer:
    """One map ``x -> W x + c``, batch normalization folded in, weight normalization resolved.

    A convolution that is called on inputs of several sizes gives one layer for each size: they
    share their tensors, but not their operator norms. Any other module gives one, of the size with
    most positions.

    Attributes:
        name: key of the layer in the network; the name of its weight, but for further sizes.
        module: path of the module.
        kind: ``linear``, ``conv1d`` to ``conv3d``, ``conv_transpose1d`` to
            ``conv_transpose3d``, ``diagonal``, a form of `Normalization` with factors,
            ``layer_scale``, ``prelu``, ``embedding``, or ``constant``, which is a tensor itself as
            the map that takes 1 to it; of a bare state dict also ``embedding``,
            ``recurrent``, ``attention``, ``lora`` and ``stacked``; see
            `dlgen_cli.networks.layer_kinds.LAYER_KINDS`.
        weight_shape: of the effective weight; ``(channels,)`` where diagonal.
        has_own_bias: whether the module itself has a bias.
        batch_norm: what is folded in, or what the layer consists of: `is_batch_norm`.
        input_shape: of one example.
        output_shape: of one example.
        stride: for each spatial axis; empty where the layer is no convolution.
        padding: entries added on both sides of each spatial axis (for a transposed convolution:
            cut off).
        dilation: for each spatial axis.
        groups: 1 where the layer is no convolution.
        transposed: whether the layer is a transposed convolution.
        output_padding: for each spatial axis of a transposed convolution; 0 elsewhere.
        padding_mode: ``zeros``, ``reflect``, ``replicate`` or ``circular``.
        normalization: what comes before the factors of a normalization.
        stored_weight: name of the weight, where it is not the module's ``weight``.
        stored_bias: the same of the bias.
        recipe: how weight and bias are made of the tensors of a bare state dict; None where they
            stand under their own names.
        note: what a reader should know of how the weight was taken.
    """

    name: str
    module: str
    kind: str
    weight_shape: tuple[int, ...]
    has_own_bias: bool
    batch_norm: BatchNorm | None = None
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    transposed: bool = False
    output_padding: tuple[int, ...] = ()
    padding_mode: str = "zeros"
    normalization: Normalization | None = None
    stored_weight: str | None = None
    stored_bias: str | None = None
    recipe: Recipe | None = None
    note: str = ""

    @property
    def weight_name(self) -> str:
        """Key of the effective weight; a matrix of a bare state dict may be its own module."""
        if self.stored_weight is not None:
            return self.stored_weight
        return self.name if self.name == self.module else f"{self.module}.weight"

    @property
    def bias_name(self) -> str | None:
        """Key of the effective bias; None without one."""
        has_bias = self.has_own_bias or self.batch_norm is not None
        return self.own_bias_name if has_bias else None

    @property
    def own_bias_name(self) -> str:
        """Name of the module's bias, if it has one."""
        return self.stored_bias or f"{self.module}.bias"

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Of the bias, if there is one."""
        return self.weight_shape if self.is_stored_whole else (self.channels,)

    @property
    def is_stored_whole(self) -> bool:
        """Whether it is diagonal, or a constant: there is no matrix that could be factored."""
        return self.kind in DIAGONAL_KINDS

    @property
    def is_batch_norm(self) -> bool:
        """Whether it consists of a batch normalization alone."""
        return self.batch_norm is not None and self.batch_norm.module == self.module

    @property
    def is_folded(self) -> bool:
        """Whether the batch normalization of another module is folded in."""
        return self.batch_norm is not None and not self.is_batch_norm

    @property
    def unfolded(self) -> GraphLayer:
        """The layer without the batch normalization that is folded in."""
        return replace(self, batch_norm=None) if self.is_folded else self

    @property
    def channels(self) -> int:
        """Entries of the bias, if there is one: output channels or features, or all factors."""
        if self.is_stored_whole:
            return math.prod(self.weight_shape)
        return self.weight_shape[1] * self.groups if self.transposed else self.weight_shape[0]

    @property
    def positions(self) -> int:
        """How often the bias stands in the output: ``||c||`` of the map is its root times."""
        return math.prod(self.output_shape) // self.channels

    @property
    def input_size(self) -> tuple[int, ...]:
        """Spatial size of the input of a convolution; empty elsewhere."""
        return self.input_shape[1:] if self.stride else ()

    @property
    def output_size(self) -> tuple[int, ...]:
        """Spatial size of the output of a convolution; empty elsewhere."""
        return self.output_shape[1:] if self.stride else ()

    @property
    def parameters(self) -> int:
        """Entries of the effective weight and the effective bias."""
        return math.prod(self.weight_shape) + (self.channels if self.bias_name else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A traced network in evaluation mode, for one input shape.

    Attributes:
        nodes: in the order of evaluation; the first is the input, the last the output. Nodes
            that the output does not depend on are left out.
        layers: by name, in the order of evaluation.
        input_shape: of one example.
        unused: floating-point tensors of the state dict that no layer reads, for example those
            of heads that serve in training alone.
    """

    nodes: Sequence[GraphNode]
    layers: Mapping[str, GraphLayer]
    input_shape: tuple[int, ...]
    unused: Sequence[str]

    @property
    def unsupported(self) -> GraphNode | None:
        """The first node without a rule; None where all have one."""
        return next((node for node in self.nodes if node.kind == "unsupported"), None)

    @property
    def parameters(self) -> int:
        """Entries of the effective tensors; those of a layer that is called twice count once."""
        return sum({layer.module: layer.parameters for layer in self.layers.values()}.values())

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output of one example."""
        return self.nodes[-1].shape
