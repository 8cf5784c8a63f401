"""What a layer's record says, against numpy and Eckart-Young."""

import numpy as np
import pytest
import torch

from dlgen_cli.errors import TensorError
from dlgen_cli.networks import EffectiveLayer, GraphLayer
from dlgen_cli.records import Interval
from dlgen_cli.spectra import measure_layer, scaled_norm


def measured(weight, bias=None, rank=None, *, rounding=0.0, bias_rounding=0.0, **facts):
    layer = GraphLayer(
        **{
            "name": "W",
            "module": "W",
            "kind": "linear",
            "weight_shape": tuple(weight.shape),
            "has_own_bias": bias is not None,
            "input_shape": (weight.shape[-1],),
            "output_shape": (weight.shape[0],),
        }
        | facts
    )
    effective = EffectiveLayer(
        layer=layer,
        weight=weight,
        bias=bias,
        rounding_upper=rounding,
        bias_rounding_upper=bias_rounding,
    )
    return measure_layer(effective, geometry="known", rank=rank)


def test_numbers_agree_with_numpy():
    weight = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    bias = torch.randn(20, generator=torch.Generator().manual_seed(1))
    values = np.linalg.svd(weight.double().numpy(), compute_uv=False)
    found = measured(weight, bias, rank=8)
    assert found.parameters == 600
    assert found.bias_parameters == 20
    assert found.bias_norm_upper == pytest.approx(float(np.linalg.norm(bias.double())), rel=1e-9)
    assert found.spectral_norm.upper == pytest.approx(values[0], rel=1e-11)
    assert found.frobenius_norm.upper == pytest.approx(np.sqrt(np.sum(values**2)), rel=1e-11)
    assert found.stable_rank == pytest.approx(np.sum(values**2) / values[0] ** 2, rel=1e-10)
    assert found.truncation.error_upper == pytest.approx(values[8], rel=1e-11)
    assert found.truncation.relative_error_upper == pytest.approx(values[8] / values[0], rel=1e-10)
    assert len(found.truncation_errors_upper) == 21
    assert found.truncation_errors_upper[-1] == 0.0


def test_the_norm_of_a_bias_carries_its_rounding():
    weight, bias = torch.eye(4), torch.zeros(4)
    assert measured(weight, bias).bias_norm_upper == 0.0
    assert measured(weight, bias, bias_rounding=0.5).bias_norm_upper >= 0.5


@pytest.mark.parametrize("rank", [1, 5, 11, 12, 50])
def test_no_approximation_of_that_rank_is_better_and_the_truncation_is_as_good(rank):
    weight = torch.randn(12, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    left, values, right = np.linalg.svd(weight.numpy(), full_matrices=False)
    cut = (left[:, :rank] * values[:rank]) @ right[:rank]
    reached = np.linalg.norm(weight.numpy() - cut, 2)
    assert measured(weight, rank=rank).truncation.error_upper >= reached - 1e-13


def test_a_zero_matrix_has_no_stable_rank():
    found = measured(torch.zeros(3, 4), rank=1)
    assert found.stable_rank is None
    assert found.truncation.relative_error_upper is None
    assert found.spectral_norm.upper == 0.0


def test_a_norm_beyond_the_floats_is_refused_by_name():
    with pytest.raises(TensorError, match="W"):
        measured(torch.full((4, 4), 1e308, dtype=torch.float64))


def test_a_diagonal_layer_is_its_largest_entry():
    found = measured(torch.tensor([0.5, -3.0, 1.0]), kind="diagonal")
    assert (found.spectral_norm.lower, found.spectral_norm.upper >= 3.0) == (3.0, True)
    assert found.truncation_errors_upper == ()


def test_a_convolution_has_both_norms_and_the_bias_of_a_whole_map():
    kernel = torch.randn(
        4, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
    )
    found = measured(
        kernel,
        torch.ones(4),
        rank=2,
        kind="conv2d",
        input_shape=(3, 6, 5),
        output_shape=(4, 6, 5),
        stride=(1, 1),
        padding=(1, 1),
        dilation=(1, 1),
    )
    units = torch.eye(3 * 6 * 5, dtype=torch.float64).reshape(-1, 3, 6, 5)
    columns = torch.nn.functional.conv2d(units, kernel, padding=1).flatten(start_dim=1)
    exact = torch.linalg.svdvals(columns)[0].item()
    assert found.spectral_norm.lower <= exact * (1 + 1e-12)
    assert exact * (1 - 1e-12) <= found.spectral_norm.upper <= exact * (1 + 1e-9)
    matrix = kernel.flatten(start_dim=1)
    assert found.reshaped_norm.upper == pytest.approx(torch.linalg.svdvals(matrix)[0].item())
    assert found.bias_norm_upper == pytest.approx(np.sqrt(4 * 30))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    rest = (left[:, 2:] * values[2:] @ right[2:]).reshape(kernel.shape)
    cut = torch.nn.functional.conv2d(units, rest, padding=1).flatten(start_dim=1)
    exact_cut = torch.linalg.svdvals(cut)[0].item()
    assert exact_cut <= found.truncation.error_upper <= exact_cut * (1 + 1e-9)
    assert found.truncation.reshaped_error_upper == pytest.approx(values[2].item())
    for tail, rank in zip(found.truncation_errors_upper[1:], range(1, 5), strict=True):
        rest = (left[:, rank:] * values[rank:] @ right[rank:]).reshape(kernel.shape)
        cut = torch.nn.functional.conv2d(units, rest, padding=1).flatten(start_dim=1)
        assert torch.linalg.svdvals(cut)[0].item() <= tail + 1e-12


def test_the_rounding_of_folding_widens_both_ends():
    weight = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    plain, folded = measured(weight), measured(weight, rounding=1e-6)
    assert folded.spectral_norm.upper >= plain.spectral_norm.upper + 1e-6
    assert folded.spectral_norm.lower <= plain.spectral_norm.lower - 1e-6
    assert folded.frobenius_norm.lower <= plain.frobenius_norm.lower * (1 - 1e-6)


def test_the_largest_row_is_what_a_one_hot_vector_sees():
    table = torch.randn(30, 8, generator=torch.Generator().manual_seed(7))
    found = measured(table, kind="embedding")
    exact = table.double().norm(dim=1).max().item()
    assert found.row_norm.lower <= exact <= found.row_norm.upper
    assert found.row_norm.upper <= exact * (1 + 1e-10)
    assert found.spectral_norm.upper >= exact


@pytest.mark.parametrize("factor", [0.3, -2.0, 1 / 3])
def test_a_weight_times_a_number_has_its_norm_times_that(factor):
    weight = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    layer = GraphLayer(
        name="W",
        module="W",
        kind="linear",
        weight_shape=(5, 4),
        has_own_bias=False,
        input_shape=(4,),
        output_shape=(5,),
    )
    effective = EffectiveLayer(layer=layer, weight=weight, bias=None, rounding_upper=0.0)
    norm = Interval(lower=1.0, upper=2.0)
    found = scaled_norm(norm, effective, weight * factor)
    assert found.lower <= abs(factor) <= found.lower * (1 + 1e-13)
    assert found.upper * (1 - 1e-13) <= 2 * abs(factor) <= found.upper
    moved = weight * factor
    moved[2, 1] *= 1 + 1e-14
    assert scaled_norm(norm, effective, moved) is None
    assert scaled_norm(norm, effective, weight * torch.rand(5, 1)) is None
