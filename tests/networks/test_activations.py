"""Slopes and ranges of activation functions, against their values and derivatives."""

import math

import pytest
import torch
from nodes import node_of
from torch import nn
from torch.nn import functional

from dlgen_cli.networks.activations import pointwise
from dlgen_cli.networks.calls import Activation, Call, NoRuleError, canonical_name

POINTWISE = {
    "relu": functional.relu,
    "relu6": nn.ReLU6(),
    "leaky": lambda x: functional.leaky_relu(x, 0.3),
    "leaky, steep": nn.LeakyReLU(-1.7),
    "elu": nn.ELU(0.4),
    "elu, steep": lambda x: functional.elu(x, 2.5),
    "celu": nn.CELU(0.7),
    "selu": torch.selu,
    "gelu": nn.GELU(),
    "gelu, tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
    "mish": functional.mish,
    "hardswish": functional.hardswish,
    "hardsigmoid": nn.Hardsigmoid(),
    "hardtanh": nn.Hardtanh(-0.3, 2.0),
    "hardtanh, off zero": lambda x: functional.hardtanh(x, 0.5, 2.0),
    "clamp": lambda x: torch.clamp(x, -1, 4),
    "clamp, one side": lambda x: x.clamp(min=0.5),
    "clip": lambda x: torch.clip(x, max=-0.5),
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "softplus, beta": nn.Softplus(beta=2.0, threshold=30),
    "softsign": functional.softsign,
    "tanhshrink": functional.tanhshrink,
    "softshrink": nn.Softshrink(0.2),
    "logsigmoid": functional.logsigmoid,
    "abs": abs,
    "add a number": lambda x: x + 3,
    "take from a number": lambda x: 1.5 - x,
}


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_constants_are_upper_bounds_and_tight(name):
    function = POINTWISE[name]
    node = node_of(function, (3, 2))
    assert node.kind == "lipschitz"
    x = torch.linspace(-12, 12, 2_400_001, dtype=torch.float64)
    y = function(x.clone())
    slopes = (y.diff() / x.diff()).abs()
    assert float(slopes.max()) <= node.factor_upper * (1 + 1e-7)
    assert float(slopes.max()) >= node.factor_upper * (1 - 1e-5)
    root = math.sqrt(6)
    at_zero = abs(float(function(torch.zeros(1, dtype=torch.float64))))
    assert root * at_zero <= node.offset_upper * (1 + 1e-15)
    assert node.offset_upper <= root * at_zero * (1 + 1e-7)
    if node.cap_upper is not None:
        assert root * float(y.abs().max()) <= node.cap_upper * (1 + 1e-15)
        assert root * float(y.max() - y.min()) <= node.spread_upper * (1 + 1e-15)


def test_the_slopes_of_gates_are_the_maxima_of_their_derivatives():
    mpmath = pytest.importorskip("mpmath")
    gates = {
        functional.silu: (lambda x: x / (1 + mpmath.exp(-x)), 2.4),
        functional.gelu: (lambda x: x * mpmath.ncdf(x), 1.4),
        functional.mish: (lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))), 1.5),
        nn.GELU(approximate="tanh"): (
            lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + 0.044715 * x**3))),
            1.4,
        ),
    }
    for function, (formula, start) in gates.items():
        top = mpmath.findroot(lambda x, f=formula: mpmath.diff(f, x, 2), start)
        slope = float(mpmath.diff(formula, top))
        assert slope < node_of(function, (4,)).factor_upper < slope * (1 + 1e-6)


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


def test_what_is_no_activation_has_no_facts():
    assert pointwise(call_of(nn.Linear(4, 4))) is None


def test_a_jump_has_no_rule():
    with pytest.raises(NoRuleError):
        pointwise(call_of(nn.Softplus(-1.0)))
