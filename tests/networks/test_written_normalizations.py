"""Normalizations that code writes out: one call each, the same values, and their norms held."""

import pytest
import torch
from nodes import Apply
from torch import fx, nn
from torch.nn import functional

from dlgen_cli.networks.fx_recorder import record
from dlgen_cli.networks.tracer import trace

EPSILON = 0.05


def centred(x, dim):
    return x - x.mean(dim, keepdim=True)


def variance(x, dim, **how):
    return torch.var(x, dim=dim, keepdim=True, **how)


def response(x):
    norm = torch.norm(x, p=2, dim=(2, 3), keepdim=True)
    return norm / (norm.mean(dim=1, keepdim=True) + EPSILON)


FORMS = {
    "root of a mean square": lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON),
    "converted": lambda x: (
        x.double() * torch.rsqrt(x.double().pow(2).mean(-1, True) + EPSILON)  # noqa: FBT003
    ),
    "quotient": lambda x: x / torch.sqrt((x * x).mean(1, keepdim=True) + EPSILON),
    "power": lambda x: x * (x.square().mean((1, 2), keepdim=True) + EPSILON) ** -0.5,
    "reciprocal": lambda x: (
        torch.reciprocal(torch.sqrt(EPSILON + (x**2).mean(1, keepdim=True))) * x
    ),
    "squared sum": lambda x: x / (x.pow(2).sum(-1, keepdim=True) + EPSILON).sqrt(),
    "variance": lambda x: centred(x, 1) * (variance(x, 1, unbiased=False) + EPSILON).rsqrt(),
    "unbiased": lambda x: centred(x, (2, 3)) / torch.sqrt(variance(x, (2, 3)) + EPSILON),
    "correction": lambda x: centred(x, 1) / (variance(x, 1, correction=0) + EPSILON).sqrt(),
    "centred square": lambda x: (
        centred(x, 1) / torch.sqrt(centred(x, 1).pow(2).mean(1, keepdim=True) + EPSILON)
    ),
    "deviation": lambda x: centred(x, -1) / (x.std(-1, keepdim=True) + EPSILON),
    "square root of a variance": lambda x: (
        centred(x, -1) / (variance(x, -1, unbiased=False).sqrt() + EPSILON)
    ),
    "norm": lambda x: x / (x.norm(dim=1, keepdim=True) + EPSILON),
    "clamped norm": lambda x: (
        x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=EPSILON)
    ),
    "global response": response,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_normalization_is_one_call_of_the_same_values(name):
    module = Apply(FORMS[name]).double()
    x = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    graph = record(module, (3, 4, 5))
    calls = [str(node.target) for node in graph.nodes if "divide_by" in str(node.target)]
    assert len(calls) == 1
    torch.testing.assert_close(fx.GraphModule(module, graph)(x), module(x))
    assert trace(module, (3, 4, 5)).unsupported is None


@pytest.mark.parametrize("name", FORMS)
def test_no_searched_pair_exceeds_the_norms(name):
    """Near zero, where they are steepest, and far from it, where they reach their caps."""
    function = FORMS[name]
    nodes = trace(Apply(function).double(), (3, 4, 5)).nodes
    node = next(one for one in nodes if one.kind == "normalization")
    source = torch.Generator().manual_seed(1)
    steepest, largest = 0.0, 0.0
    for size in (1e-3, 0.1, 100.0):
        x = size * torch.randn(8, 3, 4, 5, generator=source, dtype=torch.float64)
        step = size * torch.randn(8, 3, 4, 5, generator=source, dtype=torch.float64)
        for _ in range(12):
            x, step = x.detach().requires_grad_(), step.detach().requires_grad_()
            value = function(x)
            moved = (function(x + step) - value).flatten(1).norm(dim=1)
            ratio = moved / step.flatten(1).norm(dim=1)
            steepest = max(steepest, float(ratio.detach().max()))
            flat = value.detach().flatten(1)
            largest = max(largest, float(flat.norm(dim=1).max()))
            assert float(flat.abs().max()) <= node.entry_cap_upper * (1 + 1e-12)
            if node.token_axis is not None:
                token = value.detach().norm(dim=node.token_axis).max()
                assert float(token) <= node.token_cap_upper * (1 + 1e-12)
            gradients = torch.autograd.grad(ratio.sum(), (x, step))
            x, step = (
                one
                + 0.3 * size * g / g.flatten(1).norm(dim=1).clamp(min=1e-300)[:, None, None, None]
                for one, g in zip((x, step), gradients, strict=True)
            )
    assert 0 < steepest <= node.factor_upper * (1 + 1e-9)
    assert largest <= node.cap_upper * (1 + 1e-12)
    if name != "global response":
        assert steepest > 0.2 * node.factor_upper
        assert largest > 0.5 * node.cap_upper


def test_what_is_divided_by_another_statistic_is_not_taken_for_it():
    others = {
        "of another": lambda x: x / (x.tanh().norm(dim=1, keepdim=True) + 1),
        "not centred": lambda x: x / (x.std(1, keepdim=True) + 1),
        "other axes": lambda x: centred(x, 1) / (x.std(2, keepdim=True) + 1),
        "other norm": lambda x: x / (torch.norm(x, p=1, dim=1, keepdim=True) + 1),
        "axes lost": lambda x: x / (x.norm(dim=3).mean() + 1),
    }
    for function in others.values():
        assert trace(Apply(function), (3, 4, 4)).unsupported is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda y: functional.relu(y, inplace=True),
        lambda y: functional.relu(y, True),  # noqa: FBT003
        lambda y: y.mul_(2),
        nn.ReLU(inplace=True),
    ],
)
def test_nothing_is_taken_together_where_a_value_changes_in_between(change):
    def changed(x):
        y = 2 * x
        divisor = y.norm(dim=1, keepdim=True) + EPSILON
        module.change(y)
        return y / divisor

    module = Apply(changed)
    module.change = change

    assert trace(module, (3, 4)).unsupported is not None


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x / (x.norm(dim=1, keepdim=True) + 0.0), "without an epsilon"),
        (lambda x: x / (x.norm(dim=0, keepdim=True) + 1.0), "along the batch"),
    ],
)
def test_a_normalization_without_a_constant_is_named(function, reason):
    found = trace(Apply(function), (3, 4)).unsupported
    assert found is not None
    assert reason in found.reason
