"""Folded networks against the modules that they were made of."""

import pytest
import torch
from torch import nn

from dlgen_cli import architectures
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.checkpoints.runs.low_rank import store_factors, store_whole
from dlgen_cli.errors import TensorError, UsageError
from dlgen_cli.networks import effective_tensors, read_network
from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors import (
    coordinates,
    count_errors,
    fold_network,
    open_folded,
    replace_parameters,
)


class Twice(nn.Module):
    """A normalization that is folded once and stands alone once, and a layer called twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.again = nn.Conv2d(3, 3, 3)
        self.head = nn.Linear(3, 4)

    def forward(self, x):
        x = torch.relu_(self.norm(self.conv(x)))
        x = self.again(self.norm(x))
        x = self.again(x)
        return self.head(x.mean((2, 3)))


NETWORKS = {
    "mlp": (lambda: architectures.build("mlp", inputs=12, width=16, depth=3), (3, 2, 2)),
    "mobilenet_v2": (
        lambda: architectures.build("mobilenet_v2_small", num_classes=10, width_mult=0.35),
        (3, 32, 32),
    ),
    "mobilenet_v2, resized": (
        lambda: architectures.build("mobilenet_v2", num_classes=10, width_mult=0.35, image_size=48),
        (3, 32, 32),
    ),
    "resnet18": (lambda: architectures.build("resnet18", num_classes=10), (3, 32, 32)),
    "twice": (Twice, (3, 8, 8)),
    "transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(2, 4, 3, stride=2, groups=2),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(100, 3),
        ),
        (2, 2, 2),
    ),
}


@pytest.fixture(params=NETWORKS)
def case(request, tools):
    make, shape = NETWORKS[request.param]
    module = tools.fill(make())
    return module, tools.folded(module, shape), tools.sample(6, shape, 3)[0]


def test_the_folded_network_computes_what_the_module_computes(case):
    module, network, inputs = case
    with torch.no_grad():
        expected = module(inputs.clone())
    kept = inputs.clone()
    found = network(inputs)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-5 * float(expected.abs().max()))
    assert torch.equal(inputs, kept)


def test_the_coordinates_are_those_of_the_audit(case):
    module, network, _ = case
    expected = effective_tensors(network.network, module.state_dict())
    assert network.parameters.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(network.parameters[name], tensor.to(torch.float32))


def test_logits_at_other_parameters_are_those_of_the_network_that_has_them(tools):
    make, shape = NETWORKS["resnet18"]
    one, two = tools.fill(make(), seed=1), tools.fill(make(), seed=2)
    network = tools.folded(one, shape)
    inputs, _ = tools.sample(3, shape, 3)
    found = network.logits(coordinates(network.network, two.state_dict()), inputs)
    torch.testing.assert_close(found, tools.folded(two, shape)(inputs))
    torch.testing.assert_close(found, two(inputs), rtol=2e-4, atol=1e-4)


def test_a_checkpoint_directory_has_the_errors_that_it_records(digits_mlp):
    from sklearn import datasets

    checkpoint = open_checkpoint(digits_mlp)
    network = open_folded(checkpoint, read_network(checkpoint))
    values, targets = datasets.load_digits(return_X_y=True)
    images = torch.from_numpy(values).float().reshape(-1, 1, 8, 8) / 16
    labels = torch.from_numpy(targets)
    places = [torch.nonzero(labels == label).flatten()[4::5] for label in range(10)]
    test = torch.cat(places)
    errors = count_errors(
        network, images[test], labels[test], batch=100, device=network.device, scale=0.125
    )
    assert errors / len(test) == checkpoint.config["test_error"]


def test_the_stored_network_is_the_one_with_the_stored_parameters(tools):
    module = tools.fill(architectures.build("mlp", inputs=8, width=8, depth=2, classes=3))
    network = tools.folded(module, (8,))
    tensors = effective_tensors(network.network, module.state_dict())
    stored = {
        "layers.0.weight": store_factors(tensors["layers.0.weight"], 2, 8).weight(),
        "layers.1.weight": store_whole(tensors["layers.1.weight"], 4).weight(),
    }
    inputs, _ = tools.sample(5, (8,), 3)
    hidden = torch.relu(inputs.double() @ stored["layers.0.weight"].T)
    expected = (hidden @ stored["layers.1.weight"].T)[:, :3]
    found = replace_parameters(network, stored)(inputs)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(network(inputs), module(inputs))  # the first is as it was


def test_parameters_that_do_not_exist_are_refused(tools):
    network = tools.folded(tools.fill(nn.Sequential(nn.Linear(4, 3))), (4,))
    with pytest.raises(TensorError, match="no such parameter"):
        replace_parameters(network, {"1.weight": torch.zeros(3, 4)})
    with pytest.raises(TensorError, match=r"\(3, 4\)"):
        replace_parameters(network, {"0.weight": torch.zeros(4, 3)})
    with pytest.raises(TensorError, match="float32"):
        replace_parameters(network, {"0.bias": torch.full((3,), 1e300, dtype=torch.float64)})


class Bessel(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return torch.special.i0(self.layer(x))


def test_a_network_without_rules_is_refused():
    module = Bessel().eval()
    with pytest.raises(UsageError, match="i0"):
        fold_network(module, trace(module, (4,)), module.state_dict())


class ByFunction(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(4))

    def forward(self, x):
        return nn.functional.linear(x, self.matrix)


def test_layers_that_a_function_applies_are_evaluated():
    module = ByFunction().eval()
    network = fold_network(module, trace(module, (4,)), module.state_dict())
    x = torch.randn(3, 4)
    torch.testing.assert_close(network(x), x)
    torch.testing.assert_close(network.logits({"matrix": 2 * torch.eye(4)}, x), 2 * x)


def test_a_bare_state_dict_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a.weight": torch.zeros(3, 3)}, tmp_path / "bare.safetensors")
    checkpoint = open_checkpoint(tmp_path / "bare.safetensors")
    with pytest.raises(UsageError, match="--arch"):
        open_folded(checkpoint, read_network(checkpoint))
