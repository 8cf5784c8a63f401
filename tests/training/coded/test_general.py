"""Training of all coordinates of a coded network."""

import math

import pytest
import scipy.stats
import torch

from dlgen_cli.training.coded.general import laplace_nats


def test_the_code_length_is_that_of_a_laplace_density():
    levels = torch.tensor([0.0, 0.3, -0.49, 0.51, 1.0, -7.0])
    scale = 0.8
    law = scipy.stats.laplace(scale=scale)
    exact = -sum(math.log(law.cdf(x + 0.5) - law.cdf(x - 0.5)) for x in levels.tolist())
    assert float(laplace_nats(levels, torch.tensor(math.log(scale)))) == pytest.approx(
        exact, rel=1e-5
    )
