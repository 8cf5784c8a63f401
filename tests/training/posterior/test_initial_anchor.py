"""The prior's mean over features where none is given."""

import torch
from features import write

from dlgen_cli.training.posterior.initial_anchor import write_initial_anchor
from dlgen_cli.training.start import open_start


def test_hidden_layers_are_drawn_and_the_head_is_zero(tmp_path):
    features = [write(tmp_path / "a.npz")]
    given = {"features": features, "architecture": "dense", "width": 5, "seed": 3, "epochs": 2}
    path, left = write_initial_anchor(tmp_path, given)
    assert left == {"features": features, "seed": 3, "epochs": 2}
    start = open_start(path)
    assert (start.architecture, start.arguments["parts"]) == ("dense", [6])
    assert start.facts["origin"] == "initial"
    assert [one["origin"] for one in start.facts["ancestors"]] == ["initial"]
    assert start.tensors["layers.0.weight"].all()
    assert not start.tensors["layers.1.weight"].any()
    (tmp_path / "again").mkdir()
    again, _ = write_initial_anchor(tmp_path / "again", given | {"seed": 4})
    assert not torch.equal(
        open_start(again).tensors["layers.0.weight"], start.tensors["layers.0.weight"]
    )
