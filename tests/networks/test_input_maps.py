"""The fixed normalizations against torch and the pipeline."""

import math

import pytest
import torch
from torch import nn

from dlgen_cli.architectures.fixed_normalization import FixedNormalization
from dlgen_cli.architectures.row_normalization import LEAST_NORM, RowNormalization
from dlgen_cli.networks.tracer import trace


def test_the_fixed_normalization_is_the_usual_one_and_its_norms_are_bounded():
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    module = FixedNormalization(means, deviations)
    assert not module.state_dict()
    x = torch.rand(4, 3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.stack(
        [(x[:, c] - means[c]) / deviations[c] for c in range(3)],
        dim=1,
    )
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-6)
    node = trace(nn.Sequential(module), (3, 6, 5)).nodes[-1]
    assert (node.kind, node.layer) == ("scale", None)
    at_zero = float(module(torch.zeros_like(x))[0].norm())
    assert at_zero <= node.offset_upper * (1 + 1e-12)
    assert node.offset_upper == pytest.approx(at_zero, rel=1e-12)
    moved = x.clone()
    moved[:, 1] += 0.25  # along the channel with the largest factor
    change = float((module(moved) - module(x)).norm() / (moved - x).norm())
    assert change <= node.factor_upper * (1 + 1e-12)
    assert node.factor_upper == pytest.approx(change, rel=1e-12)


def test_normalized_rows_are_bounded_and_move_no_faster_than_the_constant():
    parts = (3, 5)
    node = trace(nn.Sequential(RowNormalization(parts)), (8,)).nodes[-1]
    assert (node.kind, node.operation) == ("lipschitz", "rownormalization")
    draw = torch.Generator().manual_seed(0)
    near = torch.randn(4000, 8, generator=draw, dtype=torch.float64) * LEAST_NORM
    step = torch.randn(4000, 8, generator=draw, dtype=torch.float64) * LEAST_NORM / 1e3
    one, two = RowNormalization(parts)(near), RowNormalization(parts)(near + step)
    ratios = (one - two).norm(dim=1) / step.norm(dim=1)
    assert 0.7 * node.factor_upper < ratios.max() <= node.factor_upper
    assert one.norm(dim=1).max() <= node.cap_upper * (1 + 1e-12) <= math.sqrt(8) * (1 + 1e-9)
    assert node.spread_upper == pytest.approx(2 * node.cap_upper)
