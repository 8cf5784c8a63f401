"""Tied weights count once, however they are stored."""

import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.networks import coverage_of, read_network


def test_shared_memory_is_one_weight(read):
    table = torch.randn(6, 4)
    found = read(
        {"model.embed_tokens.weight": table, "x.weight": torch.ones(4, 4), "any.weight": table}
    )
    assert list(found.layers) == ["model.embed_tokens.weight", "x.weight"]
    assert "model.embed_tokens.weight" in found.counters["any.weight"]
    assert found.network.tied == {"any.weight": "model.embed_tokens.weight"}


def test_two_weights_with_the_same_entries_are_two(read):
    found = read({"a.weight": torch.ones(4, 4), "b.weight": torch.ones(4, 4)})
    assert list(found.layers) == ["a.weight", "b.weight"]
    assert found.network.obstacle is None


def test_a_weight_with_two_names_is_no_chain(read):
    one = torch.ones(4, 4)
    assert "same entries" in read({"a.weight": one, "b.weight": one}).network.obstacle


def test_copies_under_the_usual_names_are_found_and_counted_once(tmp_path):
    table = torch.randn(6, 4)
    state = {"embed.weight": table, "lm_head.weight": table.clone(), "x.weight": torch.ones(6, 4)}
    save_file(state, tmp_path / "x.safetensors")
    checkpoint = open_checkpoint(tmp_path / "x.safetensors")
    read = read_network(checkpoint)
    assert list(read.network.layers) == ["embed.weight", "x.weight"]
    coverage = coverage_of(read, checkpoint, list(read.network.layers))
    assert (coverage.matrices, coverage.parameters, coverage.of) == (2, 48, 48)
    assert coverage.left_out == 1


def test_a_head_of_its_own_stays(tmp_path):
    state = {"wte.weight": torch.randn(6, 4), "lm_head.weight": torch.randn(6, 4)}
    save_file(state, tmp_path / "x.safetensors")
    read = read_network(open_checkpoint(tmp_path / "x.safetensors"))
    assert set(read.network.layers) == set(state)
