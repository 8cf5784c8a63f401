"""``dlgen compress`` as a user runs it."""

import json

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from dlgen_cli import api
from dlgen_cli.cli.app import app


class TestCompressCommand:
    """``dlgen compress`` as a user runs it."""

    def run(self, *words):
        return CliRunner().invoke(app, [str(word) for word in words])

    def test_it_writes_a_file_that_audits(self, tmp_path, digits_mlp):
        out = tmp_path / "small.safetensors"
        words = ["--b", 6, "--ranks", "layers.0.weight=4,layers.2.weight=whole", "--r", 9]
        result = self.run("compress", digits_mlp, *words, "--out", out, "--json")
        assert result.exit_code == 0
        results = json.loads(result.stdout)["results"]
        assert set(results) == {"file", "bytes_before", "bytes_after", "ranks", "bits"}
        assert results["ranks"] == {
            "layers.0.weight": 4,
            "layers.1.weight": 9,
            "layers.2.weight": 64,
        }
        assert results["bytes_after"] == out.stat().st_size < results["bytes_before"]
        again = self.run("compress-bound", out, "--json")
        report = json.loads(again.stdout)
        assert report["provenance"]["architecture"] == "mlp"
        assert report["settings"]["m"] == 1300

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--ranks", "nothing=3"], "nothing"),
            (["--ranks", "layers.0.weight"], "NAME=R"),
            (["--ranks", "layers.0.weight=0"], "rank of layers.0.weight"),
            (["--ranks", "layers.0.weight=65"], "1 to 64"),
            (["--ranks", "layers.0.weight=3,layers.0.weight=4"], "twice"),
            (["--b", "33"], "b is 33"),
            (["--b", "many"], "--b"),
            (["--r", "0"], "r is 0"),
        ],
    )
    def test_bad_input_writes_nothing(self, tmp_path, digits_mlp, words, says):
        out = tmp_path / "small.safetensors"
        result = self.run("compress", digits_mlp, "--out", out, *words)
        assert result.exit_code == 2
        assert says in result.stderr
        assert list(tmp_path.iterdir()) == []

    def test_what_cannot_be_compressed_as_a_whole_is_refused(self, tmp_path):
        torch.save({"a.weight": torch.eye(3), "norm.weight": torch.ones(3)}, tmp_path / "x.pt")
        result = self.run("compress", tmp_path / "x.pt", "--out", tmp_path / "y")
        assert result.exit_code == 2
        assert "norm.weight" in result.stderr
        assert not (tmp_path / "y").exists()

    @pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
    def test_dense_weights_load_elsewhere_and_are_those_of_the_factors(self, suffix, tmp_path):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 2),
        ).eval()
        net[1].running_mean.normal_()
        dense, factored = tmp_path / f"dense{suffix}", tmp_path / "small.safetensors"
        settings = {"input_shape": (3, 8, 8), "b": 6}
        report = api.compress(net, dense, dense=True, **settings)
        api.compress(net, factored, **settings)
        found = api.read_state_dict(dense)
        whole = {
            name: one.to(found[name].dtype) for name, one in api.read_state_dict(factored).items()
        }
        assert found.keys() == net.state_dict().keys()
        assert all(torch.equal(one, whole[name]) for name, one in found.items())
        assert json.loads(report.to_json())["results"]["bytes_after"] == dense.stat().st_size
        if suffix == ".pt":
            found = torch.load(dense, weights_only=True)
        net.load_state_dict(found, strict=True)

    def test_dense_weights_need_a_suffix_of_a_state_dict(self, tmp_path, digits_mlp):
        out = tmp_path / "small.onnx"
        result = self.run("compress", digits_mlp, "--b", 8, "--dense", "--save", out)
        assert result.exit_code == 2
        assert ".safetensors, .pt" in result.stderr
        assert not out.exists()
