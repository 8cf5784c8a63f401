"""Weights that are stored as a norm and a direction, or are divided by their spectral norm."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from dlgen_cli.errors import TensorError

UNIT_ROUNDOFF = 2.0**-53
_NORMS = re.compile(
    r"(?P<weight>.+)_g|(?P<module>.*\.)?parametrizations\.(?P<name>[^.]+)\.original0"
)


def weight_norm_names(weight: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """The names of g and v of a weight under weight normalization, in both forms of torch.

    ``M.W_g`` and ``M.W_v`` by ``nn.utils.weight_norm``; ``M.parametrizations.W.original0`` and
    ``M.parametrizations.W.original1`` by ``nn.utils.parametrizations.weight_norm``.
    """
    module, dot, name = weight.rpartition(".")
    stem = f"{module}{dot}parametrizations.{name}.original"
    return (f"{weight}_g", f"{weight}_v"), (f"{stem}0", f"{stem}1")


def normalized_weight(g: str) -> str | None:
    """The weight whose norms the name ``g`` stands for in `weight_norm_names`; None for others."""
    found = _NORMS.fullmatch(g)
    return found and (found["weight"] or f"{found['module'] or ''}{found['name']}")


def resolve_weight_norm(g: Tensor, v: Tensor) -> Tensor:
    """The weight ``g v / ||v||`` of weight normalization.

    Args:
        g: the norms; its shape has one entry on every axis that ``||v||`` is taken over.
        v: the direction.

    Raises:
        TensorError: ``g`` does not fit, or a direction is zero.
    """
    over = [axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1]
    fits = g.ndim in {0, v.ndim}
    fits = fits and all(
        g.shape[axis] == v.shape[axis] for axis in range(v.ndim) if axis not in over
    )
    norm = torch.linalg.vector_norm(v, dim=over, keepdim=True) if over else v.abs()
    if not fits or not bool((norm > 0).all()):
        raise TensorError(
            f"Weight normalization with g of shape {tuple(g.shape)} and v of shape "
            f"{tuple(v.shape)} cannot be resolved, or a row of v is zero."
        )
    return v * (g / norm)


def weight_norm_roundings(g: Tensor, v: Tensor) -> int:
    """How many roundings an entry of `resolve_weight_norm` has seen: one norm sums this many."""
    return v.numel() // max(1, g.numel()) + 8


def resolve_spectral_norm(weight: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, float]:
    """The weight ``W / sigma`` of spectral normalization in evaluation mode.

    ``sigma = u^T M v``, M the weight with the axis of its outputs first: axis 0, or axis 1 of a
    transposed convolution. Where both fit, the axis is the one of the larger sigma: u and v are
    near the leading singular vectors of the right M.

    Args:
        weight: the stored weight, float64.
        u: the left vector.
        v: the right vector.

    Returns:
        The weight, and the relative error of its entries.

    Raises:
        TensorError: u and v fit no axis, or sigma is zero or lost in rounding.
    """
    candidates = []
    for axis in (0, 1):
        matrix = weight.movedim(axis, 0).flatten(1)
        if (u.numel(), v.numel()) == tuple(matrix.shape):
            sigma = float(u.flatten() @ (matrix @ v.flatten()))
            magnitude = float(u.flatten().abs() @ (matrix.abs() @ v.flatten().abs()))
            candidates.append((abs(sigma), sigma, magnitude))
    if not candidates:
        raise TensorError(
            f"Spectral normalization with u of {u.numel()} and v of {v.numel()} entries does not "
            f"fit a weight of shape {tuple(weight.shape)}."
        )
    size, sigma, magnitude = max(candidates)
    terms = (u.numel() + v.numel() + 4) * UNIT_ROUNDOFF
    if not size > 2 * terms * magnitude:
        raise TensorError(f"Spectral normalization divides by {sigma:g}; a norm was expected.")
    return weight / sigma, (2 * terms * magnitude / size + 2 * UNIT_ROUNDOFF) * (1 + 2.0**-40)
