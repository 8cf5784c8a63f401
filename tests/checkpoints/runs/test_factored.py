"""Factored weights survive the file: what is read back is what was stored."""

import json

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.checkpoints.runs.factored import METADATA_KEY, encode
from dlgen_cli.checkpoints.runs.low_rank import store_factors, store_whole
from dlgen_cli.errors import CheckpointError


@pytest.mark.parametrize("bits", [1, 5, 8, 16, 32])
def test_a_factored_file_reads_as_the_weights_it_stands_for(tmp_path, bits):
    weights = {
        "layers.0.weight": store_factors(torch.randn(12, 9), 3, bits),
        "layers.10.weight": store_whole(torch.randn(4, 12, 3, 3), bits),
    }
    tensors, metadata = encode(weights)
    tensors["layers.0.bias"] = torch.randn(12)
    save_file(tensors, tmp_path / "x.safetensors", metadata)
    checkpoint = open_checkpoint(tmp_path / "x.safetensors")
    assert list(checkpoint.tensors) == ["layers.0.bias", "layers.0.weight", "layers.10.weight"]
    for name, stored in weights.items():
        assert checkpoint.tensors[name].shape == stored.shape
        assert torch.equal(checkpoint.read(name), stored.weight())


@pytest.mark.parametrize("text", ["[]", "{", '{"w": 3}', '{"w": {"shape": [1]}}'])
def test_a_header_that_makes_no_sense_is_refused(tmp_path, text):
    save_file({"w.left": torch.zeros(1)}, tmp_path / "x", {METADATA_KEY: text})
    with pytest.raises(CheckpointError, match="Factored"):
        open_checkpoint(tmp_path / "x")


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 0},
        {"bits": 99},
        {"bits": "8"},
        {"bits": 16},
        {"scale": "zz"},
        {"scale": "0x1p+5000"},
        {"scale": "nan"},
        {"shape": [12, -3]},
        {"shape": [12, 2]},
        {"shape": [36]},
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, change):
    tensors, metadata = encode({"w": store_factors(torch.randn(12, 9), 3, 8)})
    facts = json.loads(metadata[METADATA_KEY])
    facts["w"]["parts"]["left"] |= change
    save_file(tensors, tmp_path / "x", {METADATA_KEY: json.dumps(facts)})
    with pytest.raises(CheckpointError, match="Factored") as caught:
        open_checkpoint(tmp_path / "x").read("w")
    assert "\n" not in str(caught.value)
