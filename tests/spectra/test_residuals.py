"""What a computed weight leaves of a layer's own, against mpmath and dense matrices."""

import numpy as np
import pytest
import torch

from dlgen_cli.networks import EffectiveLayer, GraphLayer
from dlgen_cli.spectra import residual


def a_layer(weight, rounding=0.0, **facts):
    sizes = {"input_shape": (weight.shape[1],), "output_shape": (weight.shape[0],)} | facts
    layer = GraphLayer(
        name="W",
        module="W",
        kind=sizes.pop("kind", "linear"),
        weight_shape=tuple(weight.shape),
        has_own_bias=False,
        **sizes,
    )
    return EffectiveLayer(layer=layer, weight=weight, bias=None, rounding_upper=rounding)


def factors(rank, rows, columns):
    source = torch.Generator().manual_seed(rank)
    left = torch.randn(rows, rank, dtype=torch.float64, generator=source)
    return left, torch.randn(columns, rank, dtype=torch.float64, generator=source)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_norm_of_the_difference_is_bounded_tightly(rank):
    weight = torch.randn(12, 9, generator=torch.Generator().manual_seed(0))
    left, right = factors(rank, 12, 9)
    rest = residual(a_layer(weight), left @ right.mT, left.abs() @ right.abs().mT, products=rank)
    exact = np.linalg.norm(weight.double().numpy() - left.numpy() @ right.numpy().T, 2)
    assert exact * (1 - 1e-13) <= rest.norm_upper(geometry="known") <= exact * (1 + 1e-11)


def test_a_product_that_rounded_to_the_weight_is_not_taken_for_it():
    """One rounding: the exact product 1 + 2^-29 + 2^-60 is no float64."""
    factor = torch.full((1, 1), 1 + 2.0**-30, dtype=torch.float64)
    product = factor @ factor.mT
    rest = residual(a_layer(product), product, product, products=1)
    assert rest.difference.item() == 0.0
    assert rest.norm_upper(geometry="known") >= 2.0**-60


def test_the_rounding_of_folding_is_a_part_of_it():
    weight = torch.eye(3, dtype=torch.float64)
    still = residual(a_layer(weight), weight, weight, products=1).norm_upper(geometry="known")
    folded = residual(a_layer(weight, 0.25), weight, weight, products=1)
    assert folded.norm_upper(geometry="known") >= 0.25 * np.sqrt(3) > still


def test_a_kernel_meets_its_error_at_several_places():
    """On a long signal the kernel (1, 1) has a norm close to 2, its matrix one of sqrt(2)."""
    kernel, place = torch.ones(1, 1, 2, dtype=torch.float64), {"stride": (1,), "dilation": (1,)}
    shapes = {"input_shape": (1, 64), "output_shape": (1, 63), "padding": (0,), "kind": "conv1d"}
    zero = torch.zeros_like(kernel)
    rest = residual(a_layer(kernel, **place, **shapes), zero, zero, products=1)
    exact = 2 * np.cos(np.pi / 128)
    assert exact <= rest.norm_upper(geometry="known") <= 2 * 1.02
