"""The factor on pixels and the norm of images."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.datasets import input_scale, norm_bound


@pytest.mark.parametrize(("entries", "scale"), [(3072, 1.0), (192, 1.0), (49, 1.0), (7, 0.5)])
def test_the_norm_bound_is_that_of_a_white_image(entries: int, scale: float):
    exact = scale * math.sqrt(entries)
    assert max(1.0, exact) <= norm_bound(entries, scale) <= max(1.0, exact) * (1 + 1e-15)


@given(st.integers(1, 200_000))
def test_the_scale_is_the_inverse_root_rounded_down(entries: int):
    scale = input_scale(entries)
    assert float(torch.tensor(scale, dtype=torch.float32)) == scale
    assert entries * Fraction(scale) ** 2 <= 1
    assert scale == pytest.approx(entries**-0.5, rel=2**-23)


def test_the_scale_of_digits_is_an_eighth():
    assert input_scale(64) == 0.125
