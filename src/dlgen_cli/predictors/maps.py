"""The map of one layer, from its geometry and its tensors."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from dlgen_cli.networks import GraphLayer

_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)


def apply_map(layer: GraphLayer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``W x + c``.

    Args:
        layer: its geometry.
        x: shape ``(n, *layer.input_shape)``; spatial sizes may differ.
        weight: shape ``layer.weight_shape``.
        bias: ``layer.channels`` entries, or None.
    """
    if layer.kind == "linear":
        return functional.linear(x, weight, bias)
    if layer.kind == "diagonal":
        scaled = x * along_channels(weight, x)
        return scaled if bias is None else scaled + along_channels(bias, x)
    return convolve(layer, x, weight, bias, copies=1)


def convolve(
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
    x, padding = pad(layer, x)
    plain = _CONVOLUTIONS[len(layer.stride) - 1]
    return plain(x, weight, bias, layer.stride, padding, layer.dilation, groups)


def pad(layer: GraphLayer, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Pad where it is not with zeros; the input, and the zero padding that is left to do."""
    if layer.padding_mode == "zeros":
        return x, layer.padding
    widths = [width for padding in reversed(layer.padding) for width in (padding, padding)]
    return functional.pad(x, widths, mode=layer.padding_mode), (0,) * len(layer.padding)


def along_channels(entries: Tensor, x: Tensor) -> Tensor:
    """One entry for each channel, or for each example and channel, shaped to multiply ``x``."""
    shape = (1, *entries.shape) if entries.ndim == 1 else entries.shape
    return entries.reshape(*shape, *[1] * (x.ndim - 2))
