"""Distances of two weights, against dense matrices."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgen_cli.networks import EffectiveLayer, GraphLayer
from dlgen_cli.spectra import distance, norms

CPU = torch.device("cpu")


def effective(weight, *, kind="linear", factors=None, rounding=0.0, **facts):
    shape = tuple(weight.shape)
    layer = GraphLayer(
        name="W",
        module="W",
        kind=kind,
        weight_shape=shape,
        has_own_bias=False,
        input_shape=(shape[-1],),
        output_shape=(shape[0],),
        **facts,
    )
    return EffectiveLayer(
        layer=layer, weight=weight, bias=None, rounding_upper=rounding, factors=factors
    )


def gaussian(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def apart(one, two):
    return distance(one, two, geometry="assumed", device=CPU)


@given(
    rows=st.integers(min_value=1, max_value=12),
    columns=st.integers(min_value=1, max_value=12),
    step=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
    seed=st.integers(min_value=0, max_value=99),
)
@settings(max_examples=60)
def test_the_distance_of_matrices_is_enclosed(rows, columns, step, seed):
    one = gaussian(rows, columns, seed=seed)
    two = one + step * gaussian(rows, columns, seed=seed + 1)
    found = apart(effective(one), effective(two))
    exact = torch.linalg.svdvals(one - two)[0].item()
    assert found.spectral.lower <= exact * (1 + 1e-12)
    assert exact * (1 - 1e-12) <= found.spectral.upper <= exact * (1 + 1e-9)
    whole = torch.linalg.norm(one - two).item()
    assert found.frobenius.lower <= whole * (1 + 1e-12)
    assert whole * (1 - 1e-12) <= found.frobenius.upper <= whole * (1 + 1e-9)


def test_equal_weights_are_exactly_zero_apart():
    weight = gaussian(5, 6)
    found = apart(effective(weight), effective(weight.clone()))
    assert (found.spectral.upper, found.frobenius.upper) == (0.0, 0.0)


def test_what_is_rounded_is_never_said_to_be_equal():
    weight = gaussian(5, 6)
    found = apart(effective(weight, rounding=1e-10), effective(weight))
    assert found.spectral.lower == 0.0
    assert found.spectral.upper >= 1e-10 * torch.linalg.norm(weight).item()


def test_kernels_are_apart_by_an_operator_norm():
    facts = {"kind": "conv1d", "stride": (1,), "padding": (0,), "dilation": (1,)}
    one, two = gaussian(3, 2, 4, seed=1), gaussian(3, 2, 4, seed=2)
    found = apart(effective(one, **facts), effective(two, **facts))
    exact = norms(effective(one - two, **facts), geometry="assumed", device=CPU)
    grid = torch.fft.fft(one - two, n=512, dim=2).permute(2, 0, 1)
    assert torch.linalg.matrix_norm(grid, 2).max().item() <= found.spectral.upper
    assert found.spectral.upper == pytest.approx(exact.spectral.upper, rel=1e-9)


def test_products_are_apart_like_the_products_that_are_formed():
    parts = [gaussian(9, 2, seed=3), gaussian(2, 7, seed=4), gaussian(9, 3, seed=5)]
    other = gaussian(3, 7, seed=6)
    first = effective(torch.empty(9, 7), kind="lora", factors=(parts[0], parts[1]))
    second = effective(torch.empty(9, 7), kind="lora", factors=(parts[2], other), rounding=1e-16)
    exact = torch.linalg.svdvals(parts[0] @ parts[1] - parts[2] @ other)[0].item()
    found = apart(first, second)
    assert found.spectral.lower <= exact <= found.spectral.upper <= exact * (1 + 1e-9)
    alone = norms(replace(first), geometry="assumed", device=CPU)
    assert alone.spectral.upper == pytest.approx(
        torch.linalg.svdvals(parts[0] @ parts[1])[0].item(), rel=1e-10
    )


def test_diagonal_layers_are_apart_by_their_largest_difference():
    found = apart(
        effective(torch.tensor([1.0, -2.0]), kind="diagonal"),
        effective(torch.tensor([0.5, 2.0]), kind="diagonal"),
    )
    assert found.spectral.lower <= 4.0 <= found.spectral.upper <= 4.0 + 1e-12
