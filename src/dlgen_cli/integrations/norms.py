"""Spectral norms of a module in training, as numbers for its logger."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dlgen_cli import api


def spectral_norms(
    module: nn.Module,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    prefix: str = "spectral_norm/",
) -> dict[str, float]:
    """Upper ends of the spectral norms of all layers.

    The module is not traced: a convolution is measured with the geometry that its kernel suggests.

    Args:
        module: on any device; its weights are whole in this process.
        include: glob patterns of weights to measure; empty takes all.
        exclude: glob patterns of weights to leave out.
        prefix: put before the name of each weight.

    Returns:
        A number for each layer, by ``prefix`` and the name of its weight.

    Raises:
        DlgenError: no layer can be measured.
    """
    weights = {
        name: value.detach()
        for name, value in module.state_dict().items()
        if isinstance(value, Tensor)
    }
    report = api.measure(weights, include=include, exclude=exclude)
    return {f"{prefix}{layer.name}": layer.spectral_norm.upper for layer in report.layers}
