"""Recipes carried out in float64, with their rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dlgen_cli.errors import TensorError
from dlgen_cli.networks.layouts.recipe import Recipe
from dlgen_cli.networks.reparametrization import (
    UNIT_ROUNDOFF,
    resolve_spectral_norm,
    resolve_weight_norm,
    weight_norm_roundings,
)
from dlgen_cli.networks.tensors import read_tensor

#: Side of the square blocks that share one entry of a ``weight_scale_inv``.
BLOCK = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluated:
    """What a recipe gives, in float64.

    Attributes:
        weight: the weight, in its stored type where it is applied as it is stored, else float64;
            without entries where there are ``factors``.
        factors: ``(B, A)`` of a product ``B A``; None elsewhere.
        bias: None without one.
        rounding_upper: every entry of ``weight``, or of B, is within this relative error.
    """

    weight: Tensor
    factors: tuple[Tensor, Tensor] | None
    bias: Tensor | None
    rounding_upper: float


def evaluate(recipe: Recipe, tensors: Mapping[str, Tensor]) -> Evaluated:
    """Compute a weight and its bias.

    Args:
        recipe: how they are made.
        tensors: stored tensors by name.

    Raises:
        TensorError: a tensor is missing, or the recipe divides by zero.
    """
    bias = None if recipe.bias is None else read_tensor(recipe.bias, tensors)
    if bias is not None:
        bias = _taken(bias, recipe.bias_rows, axis=0).double()
    if recipe.form == "product":
        left, right = (read_tensor(name, tensors).double().flatten(1) for name in recipe.sources)
        scaled = recipe.factor != 1.0
        return Evaluated(
            weight=torch.empty(0, dtype=torch.float64),
            factors=(left * recipe.factor if scaled else left, right),
            bias=bias,
            rounding_upper=UNIT_ROUNDOFF if scaled else 0.0,
        )
    axis = 1 if recipe.is_transposed else 0
    if recipe.form == "plain":  # in its stored type, not copied
        weight = _taken(read_tensor(recipe.sources[0], tensors), recipe.rows, axis=axis)
        rounding = 0.0
    else:
        weight, rounding = _made(recipe, tensors)
        weight = _taken(weight, recipe.rows, axis=axis)
    if recipe.is_transposed:
        weight = weight.mT.contiguous()
    return Evaluated(weight=weight, factors=None, bias=bias, rounding_upper=rounding)


def _taken(tensor: Tensor, rows: tuple[int, int] | None, *, axis: int) -> Tensor:
    return tensor if rows is None else tensor.narrow(axis, rows[0], rows[1] - rows[0])


def _made(recipe: Recipe, tensors: Mapping[str, Tensor]) -> tuple[Tensor, float]:
    parts = [read_tensor(name, tensors).double() for name in recipe.sources]
    if recipe.form == "weight_norm":
        return resolve_weight_norm(*parts), weight_norm_roundings(*parts) * UNIT_ROUNDOFF
    if recipe.form == "spectral_norm":
        try:
            return resolve_spectral_norm(*parts)
        except TensorError as error:
            raise TensorError(f"{recipe.sources[0]}: {error.message}") from error
    quantised, scale, *zero = parts
    centred = quantised - _spread(zero[0], quantised) if zero else quantised
    return centred * _spread(scale, quantised) * recipe.factor, 4 * UNIT_ROUNDOFF


def _spread(scale: Tensor, weight: Tensor) -> Tensor:
    """A scale for the whole matrix, for each row or for each square block, for every entry."""
    if scale.numel() in {1, weight.shape[0]}:
        return scale.reshape(-1, 1)
    rows, columns = weight.shape
    spread = scale.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    return spread[:rows, :columns]
