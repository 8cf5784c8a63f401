"""The mlp against the formula it stands for."""

import copy

import pytest
import torch

from dlgen_cli import architectures
from dlgen_cli.errors import TensorError, UsageError


def filled(seed: int = 0, **arguments: int):
    network = architectures.build("mlp", **arguments)
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=source) / 8)
    return network


def test_names_lists_mlp():
    assert "mlp" in architectures.names()


def test_unknown_name_lists_the_choices():
    with pytest.raises(UsageError, match=r"'vgg'.*mlp"):
        architectures.build("vgg")


def test_unknown_argument_is_named():
    with pytest.raises(UsageError, match="hidden"):
        architectures.build("mlp", hidden=3)


def test_default_has_three_square_matrices_and_no_biases():
    shapes = {name: tuple(p.shape) for name, p in architectures.build("mlp").named_parameters()}
    assert shapes == {f"layers.{n}.weight": (64, 64) for n in range(3)}
    assert sum(rows * columns for rows, columns in shapes.values()) == 12_288


def test_building_draws_no_random_number():
    before = torch.random.get_rng_state()
    network = architectures.build("mlp")
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(not parameter.any() for parameter in network.parameters())


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_forward_is_the_formula(depth: int):
    network = filled(width=12, depth=depth, classes=5)
    x = torch.rand(7, 12)
    expected = x
    for position, (_, weight) in enumerate(network.state_dict().items()):
        if position:
            expected = expected.clamp(min=0)
        expected = expected @ weight.T
    assert network(x).shape == (7, 5)
    torch.testing.assert_close(network(x), expected[:, :5])


def test_the_last_layer_is_not_rectified():
    assert (filled()(torch.rand(50, 64)) < 0).any()


def test_short_inputs_are_padded_with_zeros():
    short, full = filled(inputs=9, width=16), filled(inputs=16, width=16)
    x = torch.rand(4, 9)
    torch.testing.assert_close(short(x), full(torch.cat([x, torch.zeros(4, 7)], 1)))


def test_images_are_flattened():
    network = filled()
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(network(x), network(x.reshape(3, 64)))


@pytest.mark.parametrize("entries", [8, 10, 17])
def test_another_number_of_entries_is_an_error(entries: int):
    with pytest.raises(TensorError, match=f"takes 9 entries.*has {entries}"):
        filled(inputs=9, width=16)(torch.rand(2, entries))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": 65}, "width 64 is smaller than its 65 inputs"),
        ({"width": 8}, "width 8 is smaller than its 10 classes"),
        ({"depth": 0}, "depth 0"),
        ({"width": 0}, "width 0"),
    ],
)
def test_sizes_out_of_range(arguments: dict[str, int], message: str):
    with pytest.raises(UsageError, match=message):
        architectures.build("mlp", **arguments)


@pytest.mark.parametrize("inputs", [9, 16])
def test_the_graph_can_be_traced(inputs: int):
    network = filled(inputs=inputs, width=16)
    traced = torch.fx.symbolic_trace(network)
    x = torch.rand(5, inputs)
    assert torch.equal(traced(x), network(x))
    linear = [str(node.target) for node in traced.graph.nodes if node.op == "call_module"]
    assert linear == ["layers.0", "layers.1", "layers.2"]


def test_copies_are_independent():
    network = filled()
    twin = copy.deepcopy(network)
    with torch.no_grad():
        twin.layers[0].weight.zero_()
    assert network.layers[0].weight.any()
