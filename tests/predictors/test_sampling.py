"""The law of a layer under fresh weights: its exact mean and covariance, and whole networks.

One layer's output is jointly Gaussian over channels and positions. Its covariance is exact from a
dense operator: that of ``sum_j theta_j f_j`` with ``f_j`` the layer's output at the j-th unit
weight is ``sum_j s_j^2 f_j f_j^T``.
"""

import pytest
import torch
from torch import nn

from dlgen_cli.networks.layer_kinds import apply_map
from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors import Factor, sampling
from dlgen_cli.predictors.deviations import output_deviations, perturb
from dlgen_cli.predictors.sampling import Noise, WeightSampler

DRAWS = 40_000
LAYERS = {
    "dense": (nn.Linear(5, 4), (5,)),
    "dense without bias": (nn.Linear(5, 4, bias=False), (5,)),
    "dense at positions": (nn.Linear(9, 3), (2, 9)),
    "wide dense at positions": (nn.Linear(3, 4), (6, 3)),
    "stride and padding": (nn.Conv2d(2, 3, 3, stride=2, padding=1), (2, 4, 4)),
    "pointwise": (nn.Conv2d(12, 3, 1), (12, 2, 2)),
    "pointwise with stride": (nn.Conv2d(3, 4, 1, stride=2, bias=False), (3, 4, 4)),
    "dilation": (nn.Conv2d(2, 2, 2, dilation=2), (2, 4, 3)),
    "reflection": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 3, 2)),
    "groups": (nn.Conv2d(4, 6, 2, groups=2), (4, 3, 3)),
    "depthwise": (nn.Conv2d(3, 3, 3, padding=1, groups=3), (3, 3, 3)),
    "one axis": (nn.Conv1d(2, 3, 3, padding=1), (2, 5)),
    "transposed": (nn.ConvTranspose2d(2, 4, 2, stride=2, groups=2), (2, 2, 2)),
    "normalization": (nn.BatchNorm2d(3), (3, 2, 2)),
}


def sampler_of(layer, of_weight, of_bias, seed=0):
    noise = Noise(generator=torch.Generator().manual_seed(seed), keeps_all=False)
    deviations = {layer.weight_name: of_weight}
    if layer.bias_name is not None:
        deviations[layer.bias_name] = of_bias
    return WeightSampler(deviations=deviations, noise=noise)


def directions(tensor, deviation):
    """What one standard normal each moves a tensor by."""
    rows = tensor.flatten(1) if tensor.ndim > 1 else tensor[:, None]
    for row in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            moved = torch.zeros(rows.shape, dtype=torch.float64)
            if isinstance(deviation, Factor):
                moved[row] = deviation.matrix[:, column].double()
            elif isinstance(deviation, torch.Tensor):
                moved[row, column] = deviation.reshape(rows.shape)[row, column].double()
            else:
                moved[row, column] = deviation
            yield moved.reshape(tensor.shape)


def covariance_of(layer, x, parameters, deviations):
    """Exact, from the layer's outputs at what each standard normal moves."""
    total = 0
    zeros = {
        name: torch.zeros(tensor.shape, dtype=torch.float64) for name, tensor in parameters.items()
    }
    for name, tensor in zeros.items():
        for moved in directions(tensor, deviations[name]):
            at = {**zeros, name: moved}
            bias = at.get(layer.bias_name)
            output = apply_map(layer, x.double(), at[layer.weight_name], bias).flatten()
            total = total + torch.outer(output, output)
    return total


def deviation_of(form, tensor, size):
    """Of a tensor, in one of the forms, of about this size."""
    source = torch.Generator().manual_seed(7)
    if form == "entries":
        return size * (0.2 + 1.6 * torch.rand(tensor.shape, generator=source))
    if form == "rows":
        width = tensor[0].numel()
        matrix = torch.randn(width, width, generator=source).tril() / width**0.5
        return Factor(size * (matrix + torch.eye(width)))
    return size


def check_law(module, shape, tools, monkeypatch, cheaper, form="alike"):
    tools.fill(module)
    network = trace(nn.Sequential(module), shape)
    (layer,) = network.layers.values()
    parameters = tools.folded(nn.Sequential(module), shape).parameters
    monkeypatch.setattr(sampling, "_output_is_cheaper", lambda *_: cheaper)
    x = torch.relu(torch.randn(1, *shape, generator=torch.Generator().manual_seed(5)))
    weight, bias = parameters[layer.weight_name], parameters.get(layer.bias_name)
    of_bias = None if bias is None else deviation_of(form, bias, 0.25)
    sampler = sampler_of(layer, deviation_of(form, weight, 0.5), of_bias)
    found = sampler.apply(layer, x.expand(DRAWS, *shape), weight, bias, is_shared=False)
    found = found.flatten(1).double()
    mean = apply_map(layer, x, weight, bias).flatten().double()
    exact = covariance_of(layer, x, parameters, sampler.deviations)
    spread = exact.diagonal().sqrt()
    # entries of the sample mean and covariance are within five standard deviations of theirs
    tolerance = 5 / DRAWS**0.5
    assert ((found.mean(0) - mean).abs() <= tolerance * spread + 1e-5).all()
    error = (found.T.cov() - exact).abs()
    assert (error <= tolerance * 2**0.5 * torch.outer(spread, spread) + 1e-5).all()


@pytest.mark.parametrize("cheaper", [False, True], ids=["own weights", "by the output"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_the_law_of_gaussian_weights(name, cheaper, tools, monkeypatch):
    check_law(*LAYERS[name], tools, monkeypatch, cheaper)


ONE_POSITION = {"one position": (nn.Conv2d(3, 4, 3), (3, 3, 3))}


@pytest.mark.parametrize("name", [*LAYERS, *ONE_POSITION])
def test_every_entry_may_have_a_deviation_of_its_own(name, tools, monkeypatch):
    check_law(*(LAYERS | ONE_POSITION)[name], tools, monkeypatch, cheaper=True, form="entries")


@pytest.mark.parametrize("cheaper", [False, True], ids=["own weights", "by the output"])
@pytest.mark.parametrize("name", [*LAYERS, *ONE_POSITION])
def test_the_entries_of_a_row_may_be_correlated(name, cheaper, tools, monkeypatch):
    check_law(*(LAYERS | ONE_POSITION)[name], tools, monkeypatch, cheaper, form="rows")


def test_small_deviations_do_not_vanish_when_they_are_squared():
    x = torch.tensor([[1e-15, 2e-15], [0.0, 0.0]])
    spread = torch.tensor([[3e-18, 1e-18], [1e-18, 2e-18]])
    found = output_deviations(x, spread)
    exact = (x.double()[:, None] * spread.double()).norm(dim=2)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=0)


def test_independence_over_positions_is_caught(tools, monkeypatch):
    def independent(patches):
        return patches.norm(dim=2).diag_embed()

    monkeypatch.setattr(sampling, "gram_root", independent)
    with pytest.raises(AssertionError):
        check_law(*LAYERS["stride and padding"], tools, monkeypatch, cheaper=True)


def test_a_root_of_a_singular_product_is_exact_in_float32():
    rows = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0))
    rows[1, :3] = 0
    rows[2] = 0
    root = sampling.gram_root(rows)
    torch.testing.assert_close(root @ root.mT, rows @ rows.mT, rtol=1e-5, atol=1e-6)
    assert root[1, :3].abs().max() < 1e-6
    assert root[2].abs().max() < 1e-30


def test_activations_that_are_not_finite_give_no_root():
    rows = torch.ones(2, 3, 4)
    rows[0, 1, 2] = float("nan")
    root = sampling.gram_root(rows)
    assert root[0].isnan().all()
    assert root[1].isfinite().all()


class Residual(nn.Module):
    """A residual connection, a layer that is called twice, and a depthwise one."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.shared = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = x + self.depthwise(x)
        x = self.shared(torch.relu(self.shared(x)))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("form", ["alike", "entries", "rows"])
def test_a_network_has_the_law_of_explicit_weight_draws(form, tools):
    network = tools.folded(tools.fill(Residual()), (2, 5, 5))
    deviations = {name: deviation_of(form, mean, 0.3) for name, mean in network.parameters.items()}
    deviations["stem.weight"] = 0.0
    x, _ = tools.sample(1, (2, 5, 5), 2)
    count = 20_000
    noise = Noise(generator=torch.Generator().manual_seed(1), keeps_all=False)
    sampler = WeightSampler(deviations=deviations, noise=noise)
    found = network.sampled_logits(sampler, x.expand(count, -1, -1, -1)).double()
    source = torch.Generator().manual_seed(2)
    drawn = {
        name: perturb(mean, deviations[name], torch.randn(count, *mean.shape, generator=source))
        for name, mean in network.parameters.items()
    }
    expected = torch.func.vmap(lambda these: network.logits(these, x)[0])(drawn).double()
    for moment in (lambda y: y, lambda y: y**2, lambda y: y[:, :1] * y[:, 1:], lambda y: y > 0):
        one, two = moment(found).double(), moment(expected).double()
        error = ((one.var(0) + two.var(0)) / count).sqrt()
        assert ((one.mean(0) - two.mean(0)).abs() <= 5 * error).all()
