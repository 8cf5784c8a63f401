"""A state dict taken as a chain: order, biases, what is skipped, what does not fit."""

import pytest
import torch

from dlgen_cli.checkpoints import open_checkpoint
from dlgen_cli.errors import CheckpointError
from dlgen_cli.networks import read_chain


def chain_of(tmp_path, tensors, **selection):
    torch.save(tensors, tmp_path / "x.pt")
    return read_chain(open_checkpoint(tmp_path / "x.pt"), **selection)


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
    assert [(one.name, one.bias_name) for one in chain.layers] == [
        ("a.weight", "a.bias"),
        ("b.weight", None),
    ]
    assert chain.misfit is None
    assert not chain.skipped
    assert [one.name for one in chain.counters] == ["counter"]
    assert not chain.known


def test_shapes_that_do_not_fit_are_found(tmp_path):
    chain = chain_of(tmp_path, {"a.weight": torch.ones(3, 2), "b.weight": torch.ones(4, 4)})
    assert chain.misfit is not None
    assert [one.name for one in chain.misfit] == ["a.weight", "b.weight"]


def test_nothing_is_skipped_in_silence(tmp_path):
    chain = chain_of(
        tmp_path,
        {
            "conv.weight": torch.ones(4, 3, 3, 3),
            "norm.weight": torch.ones(4),
            "fc.weight": torch.ones(2, 4),
            "fc.bias": torch.ones(3),
            "void": torch.ones(0, 4),
            "fc2.weight": torch.ones(2, 2),
        },
        exclude=["fc2*"],
    )
    reasons = {one.name: one.reason for one in chain.skipped}
    assert set(reasons) == {"conv.weight", "norm.weight", "fc.bias", "void", "fc2.weight"}
    assert "--exclude" in reasons["fc2.weight"]
    assert "4×3×3×3" in reasons["conv.weight"]


def test_include_keeps_only_what_matches(tmp_path):
    tensors = {f"layers.{n}.weight": torch.ones(2, 2) for n in range(3)}
    chain = chain_of(tmp_path, tensors, include=["layers.[01]*"])
    assert [one.name for one in chain.layers] == ["layers.0.weight", "layers.1.weight"]
    assert len(chain.skipped) == 1


@pytest.mark.parametrize("tensors", [{"v": torch.ones(3)}, {"n": torch.tensor(1)}])
def test_a_checkpoint_without_a_matrix_is_refused(tmp_path, tensors):
    with pytest.raises(CheckpointError, match="no matrix"):
        chain_of(tmp_path, tensors)
