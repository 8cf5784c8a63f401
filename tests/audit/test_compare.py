"""Two checkpoints side by side, against singular values of the differences."""

import json
import shutil

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from typer.testing import CliRunner

from dlgen_cli.audit.compare import compare
from dlgen_cli.cli.app import app
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.options import AuditOptions


def compared(one, two, **options):
    report = compare(
        AuditOptions(checkpoint=one, **options), two, progress=lambda _what, _done, _total: None
    )
    return report, report.results["against"]


def save(path, state):
    torch.save(state, path)
    return path


def distance_of(left, right):
    return torch.linalg.svdvals(left.double() - right.double())[0].item()


def test_distances_are_relative_to_the_other_and_sorted(tmp_path):
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(6, 5), nn.LSTM(5, 4), nn.Conv1d(4, 3, 2)).state_dict()
    tuned = {name: one + 0.1 * torch.randn_like(one) for name, one in base.items()}
    tuned["0.weight"] = base["0.weight"]
    report, found = compared(save(tmp_path / "a.pt", tuned), save(tmp_path / "b.pt", base))
    assert len(report.layers) == len(found["layers"]) == 10
    uppers = [row["relative_spectral"].upper for row in found["layers"]]
    assert uppers == sorted(uppers, reverse=True)
    assert found["layers"][-1]["name"] == "0.weight"
    assert found["layers"][-1]["spectral"].upper == 0.0
    for row in found["layers"]:
        if "lstm" in row["kind"] or row["kind"] != "recurrent":
            continue
        name, gate = row["name"][:-3], "ifgo".index(row["name"][-2])
        left, right = tuned[name].chunk(4)[gate], base[name].chunk(4)[gate]
        exact = distance_of(left, right)
        assert row["spectral"].lower <= exact * (1 + 1e-12)
        assert exact * (1 - 1e-12) <= row["spectral"].upper <= exact * (1 + 1e-10)
        share = exact / torch.linalg.svdvals(right.double())[0].item()
        assert share * (1 - 1e-12) <= row["relative_spectral"].upper <= share * (1 + 1e-9)


def test_the_weights_that_are_applied_are_compared(tmp_path):
    torch.manual_seed(1)
    plain = nn.Linear(6, 4)
    state = {f"x.{name}": one for name, one in plain.state_dict().items()}
    normed = parametrizations.weight_norm(plain).state_dict()
    other = {f"x.{name}": one for name, one in normed.items()}
    _, found = compared(save(tmp_path / "a.pt", other), save(tmp_path / "b.pt", state))
    assert found["layers"][0]["relative_spectral"].upper < 1e-6


def test_adapters_are_compared_as_products(tmp_path):
    torch.manual_seed(2)

    def adapter(rank):
        return {"q.lora_A.weight": torch.randn(rank, 9), "q.lora_B.weight": torch.randn(7, rank)}

    one, two = adapter(2), adapter(3)
    _, found = compared(save(tmp_path / "a.pt", one), save(tmp_path / "b.pt", two))
    products = [
        state["q.lora_B.weight"].double() @ state["q.lora_A.weight"].double()
        for state in (one, two)
    ]
    exact = distance_of(*products)
    assert found["layers"][0]["spectral"].upper == pytest.approx(exact, rel=1e-9)


def test_what_cannot_be_compared_is_named(tmp_path):
    left = {"a.weight": torch.ones(3, 3), "b.weight": torch.ones(4, 3), "c.weight": torch.eye(4)}
    right = {"a.weight": torch.ones(3, 3), "b.weight": torch.ones(5, 3), "d.weight": torch.eye(5)}
    _, found = compared(save(tmp_path / "a.pt", left), save(tmp_path / "b.pt", right))
    assert found["only_in_checkpoint"] == ["c.weight"]
    assert found["only_in_against"] == ["d.weight"]
    assert [row["name"] for row in found["mismatched"]] == ["b.weight"]


def test_a_zero_reference_has_no_relative_distance_and_comes_first(tmp_path):
    left = {"a.weight": 5 * torch.eye(3), "b.weight": torch.eye(3)}
    right = {"a.weight": torch.eye(3), "b.weight": torch.zeros(3, 3)}
    _, found = compared(save(tmp_path / "a.pt", left), save(tmp_path / "b.pt", right))
    assert [row["name"] for row in found["layers"]] == ["b.weight", "a.weight"]
    assert found["layers"][0]["relative_spectral"] is None


def test_checkpoints_with_nothing_in_common_are_refused(tmp_path):
    one = save(tmp_path / "a.pt", {"a.weight": torch.eye(3)})
    with pytest.raises(UsageError, match=r"a\.weight"):
        compared(one, save(tmp_path / "b.pt", {"z.weight": torch.eye(3)}))


def test_a_run_is_compared_with_its_start(digits_mlp, tmp_path):
    report, found = compared(digits_mlp, digits_mlp / "init.safetensors")
    assert report.provenance.structure == "graph"
    assert len(found["layers"]) == 3
    assert all(row["relative_spectral"].lower > 0.1 for row in found["layers"])
    copy = tmp_path / "copy.safetensors"
    shutil.copy(digits_mlp / "model.safetensors", copy)
    _, same = compared(digits_mlp, copy)
    assert {row["spectral"].upper for row in same["layers"]} == {0.0}


def test_traced_networks_are_compared_before_folding(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(3)
    base = resnet18(num_classes=4).state_dict()
    norm = "layer2.0.downsample.1.weight"
    tuned = {**base, "fc.weight": base["fc.weight"] * 2, norm: base[norm] * 3}
    _, found = compared(
        save(tmp_path / "a.pt", tuned),
        save(tmp_path / "b.pt", base),
        arch="resnet18",
        input_shape=(3, 32, 32),
        include=["fc.weight", "layer2.0.downsample.0.weight"],
    )
    assert found["layers"][0]["name"] == "fc.weight"
    assert found["layers"][0]["relative_spectral"].upper == pytest.approx(1.0, rel=1e-9)
    assert [row["spectral"].upper for row in found["layers"][1:]] == [0.0]


@pytest.mark.parametrize(
    ("format_name", "word"),
    [
        ("json", "relative_spectral"),
        ("csv", "distance_spectral_upper"),
        ("markdown", "## Distance from"),
        ("html", "<h2>Distance from"),
        ("table", "Only in the checkpoint: c.weight."),
    ],
)
def test_the_command_writes_it_in_every_format(tmp_path, format_name, word):
    one = save(tmp_path / "a.pt", {"a.weight": torch.eye(3), "c.weight": torch.eye(3)})
    two = save(tmp_path / "b.pt", {"a.weight": 2 * torch.eye(3)})
    words = ["spectra", str(one), "--against", str(two)]
    ran = CliRunner().invoke(app, [*words, "--format", format_name])
    assert ran.exit_code == 0
    assert word in ran.stdout
    if format_name == "json":
        row = json.loads(ran.stdout)["results"]["against"]["layers"][0]
        assert row["relative_spectral"]["upper"] == pytest.approx(0.5)
    assert CliRunner().invoke(app, [*words, "--output", str(two), "--json"]).exit_code == 2
