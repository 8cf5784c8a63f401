"""Recipes carried out in float64, with their rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dlgen_cli.errors import TensorError
from dlgen_cli.networks.layouts.quantised import blocks_of
from dlgen_cli.networks.layouts.recipe import Recipe
from dlgen_cli.networks.reparametrization import (
    UNIT_ROUNDOFF,
    resolve_spectral_norm,
    resolve_weight_norm,
    weight_norm_roundings,
)
from dlgen_cli.networks.tensors import read_tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluated:
    """What a recipe gives, in float64.

    Attributes:
        weight: the weight, in its stored type where it is applied as it is stored, else float64;
            without entries where there are ``factors``.
        factors: ``(B, A)`` of a product ``B A``; None elsewhere.
        bias: None without one.
        rounding_upper: the Frobenius norm of the error of ``weight``, or of B, is at most this
            share of its own Frobenius norm; of all but ``hadamard`` and ``kronecker`` every entry
            is within this relative error.
        stored_entries: of factors that were multiplied out; None elsewhere.
    """

    weight: Tensor
    factors: tuple[Tensor, Tensor] | None
    bias: Tensor | None
    rounding_upper: float
    stored_entries: int | None = None


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
        factors, rounding = _factors(recipe, tensors)
        empty = torch.empty(0, dtype=torch.float64)
        return Evaluated(weight=empty, factors=factors, bias=bias, rounding_upper=rounding)
    if recipe.form in {"hadamard", "kronecker"}:
        parts = [read_tensor(name, tensors).double() for name in recipe.sources]
        weight, rounding = _combined(recipe, parts)
        entries = sum(part.numel() for part in parts)
        return Evaluated(
            weight=weight,
            factors=None,
            bias=bias,
            rounding_upper=rounding,
            stored_entries=entries,
        )
    axis = 1 if recipe.is_transposed else 0
    if recipe.form == "plain":  # in its stored type, not copied
        weight = read_tensor(recipe.sources[0], tensors)
        weight = _taken(weight[recipe.member] if recipe.member else weight, recipe.rows, axis=axis)
        rounding = 0.0
    else:
        weight, rounding = _made(recipe, tensors)
        weight = _taken(weight, recipe.rows, axis=axis)
    if recipe.is_transposed:
        weight = weight.mT.contiguous()
    return Evaluated(weight=weight, factors=None, bias=bias, rounding_upper=rounding)


def _factors(recipe: Recipe, tensors: Mapping[str, Tensor]) -> tuple[tuple[Tensor, Tensor], float]:
    """B, times a diagonal and the factor, and A; and how far an entry of B is rounded."""
    left, right, *diagonal = (read_tensor(name, tensors).double() for name in recipe.sources)
    left, right = left.flatten(1), right.flatten(1)
    roundings = 0
    for one in diagonal:
        left, roundings = left * one.reshape(1, -1), roundings + 1
    if recipe.factor != 1.0:
        left, roundings = left * recipe.factor, roundings + 2
    return (left, right), roundings * UNIT_ROUNDOFF


def _taken(tensor: Tensor, rows: tuple[int, int] | None, *, axis: int) -> Tensor:
    return tensor if rows is None else tensor.narrow(axis, rows[0], rows[1] - rows[0])


def _made(recipe: Recipe, tensors: Mapping[str, Tensor]) -> tuple[Tensor, float]:
    if recipe.form == "scaled":
        return _scaled(recipe, [read_tensor(name, tensors) for name in recipe.sources])
    parts = [read_tensor(name, tensors).double() for name in recipe.sources]
    if recipe.form == "weight_norm":
        return resolve_weight_norm(*parts), weight_norm_roundings(*parts) * UNIT_ROUNDOFF
    if recipe.form == "spectral_norm":
        try:
            return resolve_spectral_norm(*parts)
        except TensorError as error:
            raise TensorError(f"{recipe.sources[0]}: {error.message}") from error
    weight, mask = parts
    is_exact = bool(((mask == 0) | (mask == 1)).all())
    return weight * mask, 0.0 if is_exact else UNIT_ROUNDOFF


def _scaled(recipe: Recipe, parts: Sequence[Tensor]) -> tuple[Tensor, float]:
    """``(q - z) s``; of a stack only one matrix is computed."""
    entries, scale, *zero = parts
    is_whole = not entries.is_floating_point()
    member = recipe.member
    weight = entries[member].double() if member else entries.double()
    if zero:
        weight = weight - _spread(zero[0].double(), entries.shape, member, is_whole=is_whole)
    scale = _exponential(scale) if not is_whole else scale.double()
    spread = _spread(scale, entries.shape, member, is_whole=is_whole)
    return weight * spread * recipe.factor, 4 * UNIT_ROUNDOFF


def _exponential(scale: Tensor) -> Tensor:
    """A scale; bytes stand for powers of two, as in the formats of microscaling."""
    if scale.dtype == torch.uint8:
        return torch.exp2(scale.double() - 127)
    return scale.double()


def _spread(
    scale: Tensor, shape: Sequence[int], member: tuple[int, ...], *, is_whole: bool
) -> Tensor:
    """A scale for every entry of a weight, or of one matrix of a stack."""
    blocks = blocks_of(tuple(shape), tuple(scale.shape), is_whole=is_whole)
    if blocks is None:
        raise TensorError(
            f"Scales of shape {tuple(scale.shape)} do not fit a weight of shape {tuple(shape)}."
        )
    scale = scale.reshape([count for _, count in blocks])
    for place, (block, _) in zip(member, blocks, strict=False):
        scale = scale[place // block]
    inside, sizes = blocks[len(member) :], shape[len(member) :]
    for axis, ((block, count), size) in enumerate(zip(inside, sizes, strict=True)):
        if 1 < count < size:
            scale = scale.repeat_interleave(block, axis).narrow(axis, 0, size)
    return scale


def _combined(recipe: Recipe, parts: Sequence[Tensor]) -> tuple[Tensor, float]:
    """Factors of an adapter multiplied out, and the error in the Frobenius norm.

    An entry of a product of inner size r is within ``(r + 2) u`` of the exact one, relative to the
    product of the magnitudes; further products add one rounding each.
    """
    combine: Callable[[Tensor, Tensor], Tensor]
    if recipe.form == "hadamard":
        split, combine = 2, torch.mul
    else:
        split, combine = recipe.split, torch.kron
    factors = (parts[:split], parts[split:])
    inner = sum(one[0].shape[1] for one in factors if len(one) > 1)
    one, two = (_product([part.flatten(1) for part in factor]) for factor in factors)
    weight = combine(one, two) * recipe.factor
    sizes = [_product([part.flatten(1).abs() for part in factor]) for factor in factors]
    magnitude = float((combine(*sizes) * abs(recipe.factor)).norm()) * (1 + 1e-9)
    if magnitude == 0.0:
        return weight, 0.0
    norm = float(weight.norm()) * (1 - 1e-9)
    error = (inner + 12) * UNIT_ROUNDOFF * magnitude
    if not norm > 2 * error or not math.isfinite(magnitude):
        raise TensorError(
            f"The factors {recipe.sources[0]} and its partners cancel each other, or leave the "
            "range of floats.",
            remedy="Leave them out with --exclude.",
        )
    return weight, error / (norm - error)


def _product(factors: Sequence[Tensor]) -> Tensor:
    return factors[0] if len(factors) == 1 else factors[0] @ factors[1]
