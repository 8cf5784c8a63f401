"""A drawn tensor: its law, its exact rounding, and how far it is from the prior's mean."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

from dlgen_cli.predictors.deviations import Factor
from dlgen_cli.predictors.weight_draw import draw_weights, standard_normals

SOURCE = torch.Generator().manual_seed(0)
MEAN = torch.randn(6, 5, generator=SOURCE)
PRIOR = torch.randn(6, 5, generator=SOURCE)
LOWER = torch.randn(5, 5, generator=SOURCE).tril(-1) * 0.3 + 0.5 * torch.eye(5)
FORMS = {
    "tensor": 0.25,
    "entry": torch.rand(6, 5, generator=SOURCE) + 0.1,
    "factor": Factor(LOWER),
}


def test_the_numbers_are_standard_normal_and_the_seed_s():
    found = standard_normals(7, "a", 20_000)
    assert stats.kstest(found.numpy(), "norm").pvalue > 1e-3
    assert torch.equal(found[:50], standard_normals(7, "a", 50))
    assert not torch.equal(found[:50], standard_normals(7, "b", 50))
    assert not torch.equal(found[:50], standard_normals(8, "a", 50))


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_the_exact_draw_rounded_and_distances_cover_it(form):
    noise = standard_normals(3, form, 30)
    found = draw_weights(MEAN, PRIOR, FORMS[form], noise)
    rows = noise.reshape(6, 5)
    for row in range(6):
        for column in range(5):
            if form == "factor":
                pairs = zip(LOWER[column].tolist(), rows[row].tolist(), strict=True)
                moved = sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))
            else:
                spread = torch.as_tensor(FORMS[form], dtype=torch.float64).expand(6, 5)
                moved = Fraction(float(spread[row, column])) * Fraction(float(rows[row, column]))
            exact = Fraction(float(MEAN[row, column])) + moved
            own = float(found.weights[row, column])
            for other in (np.nextafter(np.float32(own), np.float32(s)) for s in (-9, 9)):
                assert abs(Fraction(own) - exact) <= abs(Fraction(float(other)) - exact)
            away = abs(exact - Fraction(float(PRIOR[row, column])))
            told = Fraction(float(found.distances_upper[row, column]))
            assert away <= told <= away * (1 + Fraction(1, 10**12)) + Fraction(1, 10**13)


def test_an_entry_beside_the_middle_of_two_floats_is_rounded_exactly():
    one = torch.tensor([[1.0]])
    half = 2.0**-24  # 1 + half lies in the middle of 1 and the next float32
    for noise, expected in ((half * (1 + 2.0**-30), 1 + 2.0**-23), (half * (1 - 2.0**-30), 1.0)):
        drawn = draw_weights(one, one, 1.0, torch.tensor([noise], dtype=torch.float64))
        assert float(drawn.weights) == expected
