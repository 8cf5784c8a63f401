"""A state dict taken as a chain: order, biases, what is skipped, what does not fit."""

import pytest
import torch

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError
from dlgen_cli.networks import read_network


def chain_of(tmp_path, tensors, **selection):
    torch.save(tensors, tmp_path / "x.pt")
    return read_network(open_checkpoint(tmp_path / "x.pt"), **selection)


def test_matrices_in_order_with_their_biases(tmp_path):
    chain = chain_of(
        tmp_path,
        {
            "a.weight": torch.ones(3, 2),
            "a.bias": torch.ones(3),
            "b.weight": torch.ones(4, 3),
            "counter": torch.tensor(3),
        },
    )
    assert [(one.name, one.bias_name) for one in chain.network.layers.values()] == [
        ("a.weight", "a.bias"),
        ("b.weight", None),
    ]
    assert chain.obstacle is None
    assert not chain.skipped
    assert [one.name for one in chain.counters] == ["counter"]
    assert chain.structure == "chain"


def test_shapes_that_do_not_fit_are_found(tmp_path):
    chain = chain_of(tmp_path, {"a.weight": torch.ones(3, 2), "b.weight": torch.ones(4, 4)})
    assert "a.weight" in chain.obstacle
    assert "b.weight" in chain.obstacle


def test_nothing_is_skipped_in_silence(tmp_path):
    chain = chain_of(
        tmp_path,
        {
            "patches": torch.ones(4, 3, 3, 3),
            "norm.weight": torch.ones(4),
            "fc.weight": torch.ones(2, 4),
            "fc.bias": torch.ones(3),
            "void": torch.ones(0, 4),
            "fc2.weight": torch.ones(2, 2),
        },
        exclude=["fc2*"],
    )
    reasons = {one.name: one.reason for one in chain.skipped}
    assert set(reasons) == {"patches", "norm.weight", "fc.bias", "void", "fc2.weight"}
    assert "--exclude" in reasons["fc2.weight"]
    assert "4×3×3×3" in reasons["patches"]


def test_include_keeps_only_what_matches(tmp_path):
    tensors = {f"layers.{n}.weight": torch.ones(2, 2) for n in range(3)}
    chain = chain_of(tmp_path, tensors, include=["layers.[01]*"])
    assert [one.name for one in chain.network.layers.values()] == [
        "layers.0.weight",
        "layers.1.weight",
    ]
    assert len(chain.skipped) == 1


@pytest.mark.parametrize("tensors", [{"v": torch.ones(3)}, {"n": torch.tensor(1)}])
def test_a_checkpoint_without_a_matrix_is_refused(tmp_path, tensors):
    with pytest.raises(CheckpointError, match="no matrix"):
        chain_of(tmp_path, tensors)


def test_convolutions_are_taken_with_the_geometry_that_bounds_all(tmp_path):
    tensors = {
        "a.weight": torch.ones(8, 3, 3, 3),
        "b.weight": torch.ones(8, 1, 5, 5),
        "c.weight": torch.ones(4, 8, 1, 1),
        "d.weight": torch.ones(10, 4 * 49),
    }
    chain = chain_of(tmp_path, tensors)
    assert chain.obstacle is None
    assert [one.kind for one in chain.network.layers.values()] == ["conv2d"] * 3 + ["linear"]
    tensors["b.bias"] = torch.ones(8)
    assert "--input-shape" in chain_of(tmp_path, tensors).obstacle
