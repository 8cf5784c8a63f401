"""From a checkpoint to a network with its weights: inference of arguments, strict loading."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from dlgen_cli import architectures
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, TensorError, UsageError
from dlgen_cli.networks import loaded_module, read_network
from dlgen_cli.networks.loaded_module import build_for


def saved(tmp_path, tensors):
    torch.save(tensors, tmp_path / "x.pt")
    return open_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2", "shufflenet_v2_x0_5"])
def test_the_number_of_classes_is_read_off_the_last_layer(tools, tmp_path, name):
    module = tools.fill(architectures.build(name, num_classes=13))
    built = build_for(saved(tmp_path, module.state_dict()), name)
    assert built.arguments["num_classes"] == 13
    x = torch.rand(1, 3, 33, 33)
    assert torch.equal(built.module(x), module(x))
    assert not built.module.training


def test_heads_that_the_checkpoint_lacks_are_not_built(tmp_path):
    state = architectures.build("googlenet", num_classes=5).state_dict()
    state = {name: tensor for name, tensor in state.items() if not name.startswith("aux")}
    built = build_for(saved(tmp_path, state), "googlenet")
    assert built.arguments == {"num_classes": 5, "aux_logits": False}


def test_counters_of_batches_may_be_missing(tmp_path):
    state = architectures.build("resnet18", num_classes=3).state_dict()
    state = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    assert build_for(saved(tmp_path, state), "resnet18").architecture == "resnet18"


def test_weight_normalization_is_resolved(tmp_path):
    module = architectures.build("squeezenet1_1", num_classes=3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    plain = module.classifier[1].weight.detach().clone()
    parametrizations.weight_norm(module.classifier[1])
    built = build_for(saved(tmp_path, module.state_dict()), "squeezenet1_1")
    torch.testing.assert_close(built.tensors["classifier.1.weight"], plain.double())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("features.0.0.weight", None), "no tensor features.0.0.weight of shape"),
        (("features.0.0.weight", torch.ones(32, 1, 3, 3)), r"\(32, 1, 3, 3\).*\(32, 3, 3, 3\)"),
        (("surplus", torch.ones(2)), r"a tensor surplus of shape \(2,\)"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(tmp_path, change, message):
    state = architectures.build("mobilenet_v2", num_classes=2).state_dict()
    state = {**state, change[0]: change[1]}
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=message):
        build_for(saved(tmp_path, state), "mobilenet_v2")


def test_arguments_of_the_user_are_taken(tmp_path):
    state = architectures.build("mobilenet_v2", num_classes=4, width_mult=0.35).state_dict()
    arguments = {"width_mult": 0.35, "stem": "small"}
    built = build_for(saved(tmp_path, state), "mobilenet_v2", arguments)
    assert built.module.get_submodule("features.0.0").stride == (1, 1)
    with pytest.raises(CheckpointError, match=r"features\.0\.0\.weight"):
        build_for(saved(tmp_path, state), "mobilenet_v2")


def test_a_run_records_what_to_build(tmp_path):
    module = architectures.build("mlp", inputs=6, width=8, depth=2, classes=3)
    checkpoint = saved(tmp_path, module.state_dict())
    config = {
        "architecture": "mlp",
        "architecture_arguments": {"inputs": 6, "width": 8, "depth": 2, "classes": 3},
        "input": {"shape": [1, 2, 3]},
    }
    recorded = type(checkpoint)(**{**vars(checkpoint), "config": config, "architecture": "mlp"})
    built = build_for(recorded)
    assert built.architecture == "mlp"
    assert built.input_shape == (1, 2, 3)


def test_an_architecture_is_needed(tmp_path):
    with pytest.raises(UsageError, match="--arch"):
        build_for(saved(tmp_path, {"w": torch.ones(2, 2)}))


def test_the_sizes_of_an_mlp_are_read_off_its_matrices(tmp_path):
    state = {f"layers.{n}.weight": torch.randn(16, 16) for n in range(5)}
    torch.save(state, tmp_path / "x.pt")
    read = read_network(open_checkpoint(tmp_path / "x.pt"), arch="mlp")
    assert read.structure == "graph"
    assert list(read.network.layers) == list(state)


def test_an_integer_in_place_of_a_weight_is_refused_by_name(tmp_path):
    state = architectures.build("mlp", width=12).state_dict()
    state["layers.1.weight"] = torch.ones(12, 12, dtype=torch.int8)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"layers\.1\.weight holds int8"):
        build_for(open_checkpoint(tmp_path / "x.pt"), "mlp")


@pytest.mark.parametrize("size", ["width", "depth"])
def test_sizes_that_the_tensors_do_not_have_take_no_memory(tmp_path, size):
    checkpoint = saved(tmp_path, {"layers.0.weight": torch.eye(3)})
    with pytest.raises(CheckpointError, match=f"an mlp of {size} 10,000,000,000"):
        build_for(checkpoint, "mlp", {size: 10**10})


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x).relu())


def test_a_name_that_the_network_shares_with_another_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(loaded_module, "build", lambda _: Tied())
    weight = torch.rand(4, 4)
    checkpoint = saved(tmp_path, {"first.weight": weight})
    built = build_for(checkpoint, "tied")
    assert torch.equal(built.tensors["second.weight"], weight)
    assert built.tied == {"second.weight": "first.weight"}


def test_a_tensor_with_nan_is_named_and_leaves_the_others(tmp_path):
    state = architectures.build("resnet18", num_classes=3).state_dict()
    state["layer1.0.conv1.weight"][0, 0, 0, 0] = torch.nan
    checkpoint = saved(tmp_path, state)
    with pytest.raises(TensorError, match=r"layer1\.0\.conv1\.weight"):
        build_for(checkpoint, "resnet18")
    read = read_network(checkpoint, arch="resnet18")
    assert torch.equal(read.tensors["conv1.weight"], state["conv1.weight"])
    with pytest.raises(TensorError, match="holds 1 NaN"):
        read.tensors["layer1.0.conv1.weight"]


def test_the_head_may_be_a_subclass_of_a_linear_layer():
    class OwnLinear(nn.Linear):
        pass

    class Block(nn.Sequential):
        out_features = 7

    module = nn.Sequential(nn.Linear(4, 5), OwnLinear(5, 3), Block(nn.ReLU()))
    assert loaded_module.head_of(module) == "1"
