"""What a layer's record says, against numpy and Eckart-Young."""

import numpy as np
import pytest
import torch

from dlgen_cli.errors import TensorError
from dlgen_cli.networks import LinearLayer
from dlgen_cli.spectra import measure_layer


def measured(weight, bias=None, rank=None):
    layer = LinearLayer(name="W", bias_name=None, kind="linear", shape=tuple(weight.shape))
    return measure_layer(layer, weight, bias, rank=rank)


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
