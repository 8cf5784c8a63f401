"""A checkpoint becomes a graph where its architecture is known, and a chain elsewhere."""

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli import architectures
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.networks.front_end import read_network


@pytest.fixture
def bare(tmp_path):
    module = architectures.build("mlp", width=12, depth=2)
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    return open_checkpoint(tmp_path / "model.safetensors")


def test_a_run_is_a_graph_by_what_it_records(digits_mlp):
    read = read_network(open_checkpoint(digits_mlp))
    assert (read.structure, read.architecture) == ("graph", "mlp")
    assert read.obstacle is None
    assert read.network.nodes[0].kind == "input"
    assert set(read.network.layers) <= set(read.tensors)


def test_tensors_alone_are_a_chain_until_the_architecture_is_declared(bare):
    chain = read_network(bare)
    assert chain.structure == "chain"
    assert chain.architecture is None
    graph = read_network(bare, arch="mlp")
    assert graph.structure == "graph"
    assert set(graph.network.layers) == set(chain.network.layers)


def test_a_module_is_traced_as_it_is(bare):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).eval()
    save = bare.path.with_name("own.safetensors")
    save_file(module.state_dict(), save)
    read = read_network(open_checkpoint(save), module=module, input_shape=(4,))
    assert read.structure == "graph"
    assert read.module is module
    assert list(read.network.layers) == ["0.weight"]


def test_patterns_leave_layers_out_with_a_reason_and_not_all(digits_mlp):
    checkpoint = open_checkpoint(digits_mlp)
    first = next(iter(read_network(checkpoint).network.layers))
    left = read_network(checkpoint, exclude=[first]).skipped
    assert [one.name for one in left] == [first]
    assert "--exclude" in left[0].reason
    with pytest.raises(CheckpointError, match="leave no layer"):
        read_network(checkpoint, include=["nothing"])


def test_what_is_unknown_is_refused(bare):
    with pytest.raises(UsageError, match="nonsense"):
        read_network(bare, arch="nonsense")
