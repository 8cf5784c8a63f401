"""Gaussian weights in each form, against their covariances."""

import pytest
import torch

from dlgen_cli.predictors.deviations import Factor, is_zero, output_deviations, perturb, to_device

SOURCE = torch.Generator().manual_seed(4)
ENTRIES = torch.rand(3, 4, generator=SOURCE) + 0.1
ROWS = Factor(torch.randn(4, 4, generator=SOURCE))
FORMS = {"alike": 0.3, "entries": ENTRIES, "rows": ROWS}


def covariance(form):
    """Of a flattened weight of shape (3, 4)."""
    if form == "rows":
        return torch.block_diag(*[ROWS.matrix @ ROWS.matrix.T] * 3)
    return torch.diag((torch.full((3, 4), 0.3) if form == "alike" else ENTRIES).flatten() ** 2)


@pytest.mark.parametrize("form", FORMS)
def test_unit_vectors_of_noise_give_a_root_of_the_covariance(form):
    mean = torch.randn(3, 4, generator=SOURCE)
    units = torch.eye(12).reshape(12, 3, 4)
    root = (perturb(mean, FORMS[form], units) - mean).flatten(1)
    torch.testing.assert_close(root.T @ root, covariance(form), rtol=1e-5, atol=1e-6)
    assert torch.equal(perturb(mean, FORMS[form], torch.zeros(3, 4)), mean)


@pytest.mark.parametrize("form", FORMS)
def test_outputs_deviate_as_the_covariance_says(form):
    x = torch.randn(5, 4, generator=SOURCE)
    blocks = covariance(form).reshape(3, 4, 3, 4)
    variances = torch.stack(
        [torch.einsum("nk,kl,nl->n", x, blocks[row, :, row], x) for row in range(3)], dim=1
    )
    found = output_deviations(x, FORMS[form]).expand(5, 3)
    torch.testing.assert_close(found, variances.sqrt(), rtol=1e-5, atol=1e-6)


def test_squares_of_tiny_entries_do_not_vanish():
    x = torch.full((1, 4), 1e-25)
    found = output_deviations(x, torch.full((3, 4), 1e-10))
    torch.testing.assert_close(found, torch.full((1, 3), 2e-35), rtol=1e-5, atol=0)
    assert torch.equal(output_deviations(torch.zeros(1, 4), ENTRIES), torch.zeros(1, 3))


def test_only_the_number_zero_says_that_a_tensor_stays():
    assert is_zero(0.0)
    assert not is_zero(1e-300)
    assert not is_zero(torch.zeros(3))
    assert not is_zero(Factor(torch.zeros(2, 2)))


def test_a_deviation_goes_where_the_network_is():
    meta = torch.device("meta")
    assert to_device(0.5, meta) == 0.5
    assert to_device(ENTRIES, meta).device == meta
    assert to_device(ROWS, meta).matrix.device == meta
