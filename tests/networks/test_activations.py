"""Slopes and ranges of activation functions, against their values on a fine grid."""

import pytest
import torch
from torch import nn

from dlgen_cli.networks.activations import pointwise
from dlgen_cli.networks.calls import Activation, Call, NoRuleError, canonical_name

MODULES = [
    nn.ReLU(),
    nn.ReLU6(),
    nn.LeakyReLU(0.2),
    nn.LeakyReLU(3.0),
    nn.ELU(),
    nn.ELU(1.5),
    nn.CELU(0.5),
    nn.SELU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Hardswish(),
    nn.Hardsigmoid(),
    nn.Hardtanh(-2.0, 0.5),
    nn.Sigmoid(),
    nn.LogSigmoid(),
    nn.Tanh(),
    nn.Softsign(),
    nn.Softplus(),
    nn.Softplus(2.0),
    nn.Tanhshrink(),
    nn.Softshrink(0.3),
]


def call_of(module):
    return Call(
        node="act",
        operation=canonical_name(type(module).__name__),
        path="act",
        args=(Activation("x", (1, 4)),),
        kwargs={},
        module=module,
        result_shape=(1, 4),
    )


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_facts_enclose_the_function(module):
    x = torch.linspace(-30, 30, 600_001, dtype=torch.float64)
    y = module(x)
    facts = pointwise(call_of(module))
    slopes = (y.diff() / x.diff()).abs()
    assert float(slopes.max()) <= facts.slope_upper * (1 + 1e-9)
    assert float(slopes.max()) >= facts.slope_upper * 0.999
    assert float(module(torch.zeros(1, dtype=torch.float64)).abs()) <= facts.at_zero_upper + 1e-15
    assert facts.largest_upper is None or float(y.abs().max()) <= facts.largest_upper
    assert facts.spread_upper is None or float(y.max() - y.min()) <= facts.spread_upper


def test_what_is_no_activation_has_no_facts():
    assert pointwise(call_of(nn.Linear(4, 4))) is None


def test_a_jump_has_no_rule():
    with pytest.raises(NoRuleError):
        pointwise(call_of(nn.Softplus(-1.0)))
