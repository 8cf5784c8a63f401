"""What sets the kinds of weighted layers apart, in one table.

A `LayerKind` says which operator a weight is (its norm), how it is applied, how it is applied with
weights of their own for each example (sampling), and whether it is stored whole. To add one: a row
in `LAYER_KINDS`, and in `dlgen_cli.networks.linear_maps` what makes a `GraphLayer` of its name. An
operator that no other kind has gets its norm in `dlgen_cli.spectra.operator_norms`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from dlgen_cli.networks.graph import GraphLayer
from dlgen_cli.records import NodeKind

#: Entries of the inputs that one convolution with weights for each example takes on the CPU.
_ENTRIES_SIDE_BY_SIDE = 1 << 18

_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)

#: The operator that a weight is: a matrix at each position, a convolution with a kernel, or a
#: factor for each channel, or a value of its own.
Operator = Literal["matrix", "kernel", "factors", "vector"]


@dataclass(frozen=True, slots=True)
class LayerKind(ABC):
    """One layer ``x -> W x + c``, as the layers of its kind are handled.

    Attributes:
        layer: its facts.
        operator: whose norm it has.
        node: the rule by which distances are propagated through its calls.
        is_diagonal: whether W is diagonal: nothing can be cut off, and it is stored whole.
        is_table: whether its rows are looked up one by one.
    """

    layer: GraphLayer
    operator: ClassVar[Operator]
    node: ClassVar[NodeKind] = "linear"
    is_diagonal: ClassVar[bool] = False
    is_table: ClassVar[bool] = False

    @abstractmethod
    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``W x + c``.

        Args:
            x: shape ``(n, *layer.input_shape)``; spatial sizes may differ.
            weight: shape ``layer.weight_shape``.
            bias: ``layer.channels`` entries, or None.
        """

    def apply_own(self, x: Tensor, own: Tensor) -> Tensor:
        """``W_j x_j``, with a weight for each example; by its patches where it has them.

        Args:
            x: shape ``(n, *layer.input_shape)``; spatial sizes may differ.
            own: shape ``(n, *layer.weight_shape)``.
        """
        return self.from_positions(x, torch.bmm(self.patches(x), own.flatten(2).mT))

    def align_bias(self, bias: Tensor, output: Tensor) -> Tensor:
        """A bias, or one for each example, shaped to be added to the output."""
        return along_channels(bias, output)

    @property
    def has_patches(self) -> bool:
        """Whether each position of the output is one matrix times a patch of the input."""
        return False

    def patches(self, x: Tensor) -> Tensor:
        """What each position reads, shape ``(n, positions, entries)``; where `has_patches`."""
        raise NotImplementedError

    def to_positions(self, output: Tensor) -> Tensor:
        """The output as shape ``(n, positions, channels)``; where `has_patches`."""
        raise NotImplementedError

    def from_positions(self, x: Tensor, output: Tensor) -> Tensor:
        """The reverse of `to_positions`, for the input ``x``."""
        raise NotImplementedError


class Matrix(LayerKind):
    """A matrix that is applied along the last axis."""

    __slots__ = ()
    operator = "matrix"

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``W x + c`` at every position."""
        return functional.linear(x, weight, bias)

    def align_bias(self, bias: Tensor, output: Tensor) -> Tensor:
        """Along the last axis."""
        return bias.reshape(-1, *[1] * (output.ndim - 2), bias.shape[-1])

    @property
    def has_patches(self) -> bool:
        """Always: what is along the last axis."""
        return True

    def patches(self, x: Tensor) -> Tensor:
        """The vectors along the last axis."""
        return x.reshape(len(x), -1, x.shape[-1])

    def to_positions(self, output: Tensor) -> Tensor:
        """All axes between the first and the last as one."""
        return output.reshape(len(output), -1, output.shape[-1])

    def from_positions(self, x: Tensor, output: Tensor) -> Tensor:
        """All axes of ``x`` but the last, which is the output's."""
        return output.reshape(*x.shape[:-1], output.shape[-1])


class Table(Matrix):
    """A matrix whose rows indices choose."""

    __slots__ = ()
    is_table = True
    node = "embedding"

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The rows that indices name; of vectors, as of any matrix."""
        if x.is_floating_point():
            return functional.linear(x, weight, bias)
        return functional.embedding(x, weight)


class Convolution(LayerKind):
    """A convolution or a transposed one, with stride, padding, dilation and groups."""

    __slots__ = ()
    operator = "kernel"

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution."""
        return _convolve(self.layer, x, weight, bias, copies=1)

    def apply_own(self, x: Tensor, own: Tensor) -> Tensor:
        """Examples as the groups of one convolution on an input of many channels."""
        together = len(x)
        if x.device.type == "cpu":  # a few at a time keep to its cache
            together = max(1, _ENTRIES_SIDE_BY_SIDE // max(1, x[0].numel()))
        first = _side_by_side(self.layer, x[:together], own[:together])
        if together >= len(x):
            return first
        result = first.new_empty((len(x), *first.shape[1:]))
        if x.ndim == 4:
            result = torch.empty_like(result, memory_format=torch.channels_last)
        result[:together] = first
        for start in range(together, len(x), together):
            part = slice(start, start + together)
            result[part] = _side_by_side(self.layer, x[part], own[part])
        return result

    @property
    def has_patches(self) -> bool:
        """Over images, without groups."""
        return self.layer.kind == "conv2d" and self.layer.groups == 1

    def patches(self, x: Tensor) -> Tensor:
        """What the kernel covers at each position."""
        layer, kernel = self.layer, self.layer.weight_shape[2:]
        x, padding = _pad(layer, x)
        if math.prod(kernel) == 1 and not any(padding):
            return x[:, :, :: layer.stride[0], :: layer.stride[1]].flatten(2).mT
        return functional.unfold(x, kernel, layer.dilation, padding, layer.stride).mT

    def to_positions(self, output: Tensor) -> Tensor:
        """Both spatial axes as one, before the channels."""
        return output.permute(0, 2, 3, 1).reshape(len(output), -1, output.shape[1])

    def from_positions(self, x: Tensor, output: Tensor) -> Tensor:
        """Images of the size that ``x`` gives."""
        layer = self.layer
        size = [
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, padding, dilation, kernel, stride in zip(
                x.shape[2:],
                layer.padding,
                layer.dilation,
                layer.weight_shape[2:],
                layer.stride,
                strict=True,
            )
        ]
        return output.reshape(len(x), *size, output.shape[2]).permute(0, 3, 1, 2)


class Diagonal(LayerKind):
    """A factor for each channel: a batch normalization that is not folded, or a layer scale."""

    __slots__ = ()
    operator: ClassVar[Operator] = "factors"
    node: ClassVar[NodeKind] = "diagonal"
    is_diagonal = True

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Each channel times its factor."""
        scaled = x * along_channels(weight, x)
        return scaled if bias is None else scaled + along_channels(bias, x)

    def apply_own(self, x: Tensor, own: Tensor) -> Tensor:
        """Each channel of each example times its factor."""
        return x * along_channels(own, x)


class Normalized(Diagonal):
    """A factor and a shift for each channel or entry, after a normalization without either."""

    __slots__ = ()
    node = "normalization"

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Normalize, multiply, shift."""
        scaled = self._normalized(x) * self._aligned(weight, x)
        return scaled if bias is None else scaled + self._aligned(bias, x)

    def apply_own(self, x: Tensor, own: Tensor) -> Tensor:
        """The same with factors of each example's own."""
        return self._normalized(x) * self._aligned(own, x)

    def align_bias(self, bias: Tensor, output: Tensor) -> Tensor:
        """As the factors are aligned."""
        return self._aligned(bias, output)

    def _normalized(self, x: Tensor) -> Tensor:
        how, shape = self.layer.normalization, self.layer.weight_shape
        if how is None:
            return x
        match how.form:
            case "layer_norm":
                return functional.layer_norm(x, shape, eps=how.epsilon)
            case "rms_norm":
                return functional.rms_norm(x, shape, eps=how.epsilon)
            case "group_norm":
                return functional.group_norm(x, how.groups, eps=how.epsilon)
            case "instance_norm":
                return functional.instance_norm(x, eps=how.epsilon)

    def _aligned(self, entries: Tensor, x: Tensor) -> Tensor:
        """Entries, or those of each example, along the axes that they belong to."""
        how = self.layer.normalization
        if how is None or how.form in {"group_norm", "instance_norm"}:
            return along_channels(entries, x)
        own = entries.shape[: entries.ndim - how.axes]
        return entries.reshape(
            *own, *[1] * (x.ndim - len(own) - how.axes), *entries.shape[-how.axes :]
        )


class Slopes(Diagonal):
    """A slope for each channel that negative entries meet: ``nn.PReLU``."""

    __slots__ = ()
    node = "prelu"

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``max(x, 0) + a min(x, 0)``; it has no bias."""
        del bias
        return functional.prelu(x, weight)

    def apply_own(self, x: Tensor, own: Tensor) -> Tensor:
        """The same with slopes of each example's own."""
        return torch.where(x > 0, x, x * along_channels(own, x))


class Constant(Diagonal):
    """A stored tensor that is a value itself: a class token, a table of positions."""

    __slots__ = ()
    operator = "vector"
    node = "constant"


#: By the name that a `GraphLayer` and the reports bear.
LAYER_KINDS: Mapping[str, type[LayerKind]] = {
    **dict.fromkeys(("linear", "recurrent", "attention", "lora", "stacked"), Matrix),
    "embedding": Table,
    **{f"conv{axes}d": Convolution for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": Convolution for axes in (1, 2, 3)},
    "diagonal": Diagonal,
    "layer_scale": Diagonal,
    **dict.fromkeys(("layer_norm", "rms_norm", "group_norm", "instance_norm"), Normalized),
    "prelu": Slopes,
    "constant": Constant,
}


def kind_of(layer: GraphLayer) -> LayerKind:
    """The layer as its kind is handled."""
    return LAYER_KINDS[layer.kind](layer)


def apply_map(layer: GraphLayer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``W x + c``; see `LayerKind.apply`."""
    return kind_of(layer).apply(x, weight, bias)


def along_channels(entries: Tensor, x: Tensor) -> Tensor:
    """One entry for each channel, or for each example and channel, shaped to multiply ``x``."""
    shape = (1, *entries.shape) if entries.ndim == 1 else entries.shape
    return entries.reshape(*shape, *[1] * (x.ndim - 2))


def _convolve(
    layer: GraphLayer, x: Tensor, weight: Tensor, bias: Tensor | None, *, copies: int
) -> Tensor:
    """A convolution, or ``copies`` of it side by side with weights of their own.

    Args:
        layer: its geometry.
        x: shape ``(n, copies * channels, ...)``.
        weight: ``copies`` kernels, one after another on the first axis.
        bias: for all outputs, or None.
        copies: at least 1.
    """
    groups = layer.groups * copies
    if layer.transposed:
        transpose = _TRANSPOSED[len(layer.stride) - 1]
        return transpose(
            x,
            weight,
            bias,
            layer.stride,
            layer.padding,
            layer.output_padding,
            groups,
            layer.dilation,
        )
    x, padding = _pad(layer, x)
    plain = _CONVOLUTIONS[len(layer.stride) - 1]
    return plain(x, weight, bias, layer.stride, padding, layer.dilation, groups)


def _pad(layer: GraphLayer, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Pad where it is not with zeros; the input, and the zero padding that is left to do."""
    if layer.padding_mode == "zeros":
        return x, layer.padding
    widths = [width for padding in reversed(layer.padding) for width in (padding, padding)]
    return functional.pad(x, widths, mode=layer.padding_mode), (0,) * len(layer.padding)


def _side_by_side(layer: GraphLayer, x: Tensor, own: Tensor) -> Tensor:
    """Examples as the groups of one convolution."""
    count = len(x)
    if x.ndim == 4:
        # channels last in memory, where such convolutions are fast
        joined = x.permute(2, 3, 0, 1).flatten(2)[None].permute(0, 3, 1, 2)
    else:
        joined = x.flatten(0, 1)[None]
    result = _convolve(layer, joined, own.flatten(0, 1), None, copies=count)[0]
    return result.view(count, layer.channels, *result.shape[1:])
