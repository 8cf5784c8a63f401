"""torchvision's models: all of a graph has a rule, or the first part without one is named."""

import pytest
import torch
from torch import nn

from dlgen_cli import architectures
from dlgen_cli.errors import UsageError
from dlgen_cli.networks.folding import effective_tensors
from dlgen_cli.networks.tracer import trace

#: Input size at which the re-executed graph is compared; None where tracing is all.
SUPPORTED = {
    "mobilenet_v2": 32,
    "resnet18": 32,
    "densenet121": 32,
    "googlenet": 32,
    "squeezenet1_1": 33,
    "shufflenet_v2_x0_5": 32,
    "mnasnet0_5": 32,
    "regnet_x_400mf": 32,
    "regnet_y_400mf": 32,
    "efficientnet_b0": 32,
    "mobilenet_v3_small": 32,
    "convnext_tiny": 32,
    "vit_b_16": None,
    "swin_t": 32,
    "swin_v2_t": 32,
    "inception_v3": None,
    "vgg11_bn": None,
    "alexnet": None,
}


@pytest.mark.parametrize("name", SUPPORTED)
def test_the_records_reproduce_the_module(tools, name):
    module = architectures.build(name, num_classes=7)
    size = SUPPORTED[name]
    if size is None:
        side = 224 if name == "vit_b_16" else 299
        network = trace(module, (3, side, side))
        assert network.unsupported is None
        assert network.output_shape == (7,)
        return
    tools.fill(module, spread=1.4).double()
    network = trace(module, (3, size, size))
    assert network.unsupported is None
    x = torch.rand(1, 3, size, size, dtype=torch.float64)
    expected = module(x.clone())
    tensors = effective_tensors(network, module.state_dict())
    found = tools.Execution(module, network)(tensors, x)[network.nodes[-1].name]
    scale = float(expected.abs().max())
    assert scale > 0
    assert float((found - expected).abs().max()) <= 1e-11 * scale
    assert sum(tensor.numel() for tensor in tensors.values()) == network.parameters


def test_attention_is_taken_apart():
    network = trace(architectures.build("vit_b_16"), (3, 224, 224))
    attention = [node for node in network.nodes if node.kind == "attention"]
    assert len(attention) == 12
    assert all(node.shape == (12, 197, 64) and node.token_axis == -1 for node in attention)
    first = network.layers["encoder.layers.encoder_layer_0.self_attention.in_proj_weight"]
    assert (first.kind, first.weight_shape) == ("linear", (3 * 768, 768))
    assert first.bias_name == "encoder.layers.encoder_layer_0.self_attention.in_proj_bias"
    constants = [layer.name for layer in network.layers.values() if layer.kind == "constant"]
    assert constants == ["class_token", "encoder.pos_embedding"]
    assert not network.unused


def test_batch_norm_before_the_layer_stays_in_densenet():
    network = trace(architectures.build("densenet121"), (3, 224, 224))
    kinds = [layer.kind for layer in network.layers.values()]
    assert kinds.count("diagonal") == 62
    assert network.layers["features.conv0.weight"].batch_norm is not None


def test_heads_of_training_are_unused_in_googlenet():
    network = trace(architectures.build("googlenet"), (3, 224, 224))
    assert network.unused
    assert all(name.startswith(("aux1.", "aux2.")) for name in network.unused)


def test_the_facts_of_mobilenet():
    network = trace(architectures.build("mobilenet_v2"), (3, 224, 224))
    assert len(network.layers) == 53
    stem = network.layers["features.0.0.weight"]
    assert (stem.kind, stem.weight_shape, stem.stride) == ("conv2d", (32, 3, 3, 3), (2, 2))
    assert (stem.input_size, stem.output_size, stem.positions) == ((224, 224), (112, 112), 112**2)
    assert (stem.bias_name, stem.parameters) == ("features.0.0.bias", 32 * 27 + 32)
    depthwise = network.layers["features.2.conv.1.0.weight"]
    assert (depthwise.groups, depthwise.padding, depthwise.channels) == (96, (1, 1), 96)
    first = network.nodes[2]
    assert (first.operation, first.kind) == ("relu6", "lipschitz")
    assert first.cap_upper == pytest.approx(6 * (32 * 112**2) ** 0.5)
    assert network.nodes[-1].layer == "classifier.1.weight"
    # sums of shortcuts, one pool, no batch normalization left
    assert sum(node.kind == "sum" for node in network.nodes) == 10
    pool = next(node for node in network.nodes if node.kind == "scale")
    assert pool.factor_upper == pytest.approx(1 / 7)


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"\(1, 32, 32\).*features\.0\.0"):
        trace(architectures.build("mobilenet_v2"), (1, 32, 32))


def test_a_wider_precision_is_traced_alike():
    one = trace(nn.Sequential(nn.Linear(3, 2), nn.ReLU()).double(), (3,))
    two = trace(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (3,))
    assert one.nodes == two.nodes
