"""Anchors files: the head that was asked for, and what trained the rest stays on record."""

import base64
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from run_files import bind
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from dlgen_cli import architectures, training
from dlgen_cli.audit.make_anchor import AnchorOptions, make_anchor
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.checkpoints.runs.trained_on import trained_on
from dlgen_cli.cli.app import app
from dlgen_cli.networks import read_network

ARCH, CLASSES = "mobilenet_v2-16", 12
HEAD, BIAS = "classifier.1.weight", "classifier.1.bias"


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def anchors(*words: object) -> None:
    result = invoke("anchors", *words)
    assert result.exit_code == 0, result.output


def refusal(*words: object) -> str:
    result = invoke("anchors", *words)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict such as torchvision's, with a head of 12 classes."""
    network = architectures.build("mobilenet_v2", num_classes=CLASSES)
    chance = torch.Generator().manual_seed(4)
    state = network.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=chance) + name.endswith("var"))
    path = tmp_path_factory.mktemp("weights") / "pretrained.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for split in ("train", "test"):
        for name in ("ant", "bee", "cow"):
            (root / split / name).mkdir(parents=True)
            pixels = np.zeros((8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / split / name / "0.png")
    return root


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "digits"
    given = {"source": "digits", "holdout": 200, "seed": 2, "epochs": 3, "m": 500}
    training.run(training.make_recipe(given), path)
    return path


def test_a_zero_head_leaves_everything_else_as_it_was(weights: Path, tmp_path: Path):
    out = tmp_path / "anchor.safetensors"
    anchors(weights, "--arch", ARCH, "--classes", 3, "--head", "zero", "--out", out)
    found, before = load_file(out), torch.load(weights)
    assert found.keys() == before.keys()
    assert found[HEAD].shape == (3, 1280)
    assert not found[HEAD].any()
    assert not found[BIAS].any()
    assert all(torch.equal(found[one], before[one]) for one in found if "classifier" not in one)
    checkpoint = open_checkpoint(out)
    record = checkpoint.anchor
    assert record is not None
    assert (record.origin, record.examples, record.architecture) == ("declared", 0, "mobilenet_v2")
    assert record.arguments == {"image_size": 16, "num_classes": 3}
    assert record.steps[0].sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert read_network(checkpoint).network.output_shape == (3,)
    again = tmp_path / "again.safetensors"
    anchors(weights, "--arch", ARCH, "--classes", 3, "--head", "zero", "--out", again)
    assert out.read_bytes() == again.read_bytes()


def test_rows_are_averaged_in_the_order_of_the_data(weights: Path, folder: Path, tmp_path: Path):
    rows = {"cow": [0], "ant": [11, 2, 5], "bee": [3, 4]}
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    before = torch.load(weights)
    words = (weights, "--arch", ARCH, "--head", "rows", "--rows", tmp_path / "rows.json")
    for order, more in (
        (("cow", "ant", "bee"), ()),
        (("ant", "bee", "cow"), ("--data", folder)),
    ):
        out = tmp_path / "anchor.safetensors"
        anchors(*words, "--out", out, *more)
        found = load_file(out)
        for index, name in enumerate(order):
            for tensor in (HEAD, BIAS):
                averages = {
                    one: np.mean([before[tensor][row].double().numpy() for row in places], 0)
                    for one, places in rows.items()
                }
                centred = averages[name] - np.mean([averages[one] for one in order], axis=0)
                assert found[tensor][index].numpy() == pytest.approx(centred, rel=1e-6, abs=1e-7)
        record = open_checkpoint(out).anchor
        assert record is not None
        assert list(record.steps[0].rows.items()) == [(name, tuple(rows[name])) for name in order]
        assert "rows that were named for each class" in record.description


def test_taps_are_zero_and_change_no_logit(weights: Path, tmp_path: Path):
    plain, tapped = tmp_path / "plain.safetensors", tmp_path / "tapped.safetensors"
    anchors(weights, "--arch", ARCH, "--out", plain)
    anchors(weights, "--arch", ARCH, "--taps", "5,13", "--mirrored", "--out", tapped)
    extra = load_file(tapped).keys() - load_file(plain).keys()
    assert extra == {"taps.5.weight", "taps.13.weight"}
    assert all(not load_file(tapped)[name].any() for name in extra)
    read = read_network(open_checkpoint(tapped))
    assert read.obstacle is None or "taps" not in read.obstacle
    assert "blocks separated by commas" in refusal(
        weights, "--arch", ARCH, "--taps", "last", "--out", tmp_path / "x.safetensors"
    )


def test_the_head_is_kept_unless_another_is_asked_for(weights: Path, tmp_path: Path):
    anchors(weights, "--arch", "mobilenet_v2", "--out", tmp_path / "anchor.safetensors")
    found, before = load_file(tmp_path / "anchor.safetensors"), torch.load(weights)
    assert all(torch.equal(found[one], before[one]) for one in before)


def test_what_trained_a_run_stays_on_record(directory: Path, tmp_path: Path):
    out, twice = tmp_path / "anchor.safetensors", tmp_path / "twice.safetensors"
    anchors(directory, "--out", out)
    result = invoke("anchors", out, "--out", twice, "--json")
    own = {"name": "digits", "origin": "run", "images": "digits", "examples": 500}
    assert json.loads(result.stdout)["results"]["ancestors"] == [own]
    hashes = load_file(directory / "labels.safetensors")["image_hashes"]
    for path, steps in ((out, ["digits"]), (twice, ["digits", "anchor.safetensors"])):
        checkpoint = open_checkpoint(path)
        assert checkpoint.anchor is not None
        assert [step.file for step in checkpoint.anchor.steps] == steps
        found = trained_on(checkpoint)
        assert (found.origin, found.source) == ("run", "digits")
        assert torch.equal(found.hashes, hashes)
        digest = hashlib.sha256(hashes.numpy().tobytes()).hexdigest()
        assert checkpoint.anchor.hashes_sha256 == digest


def test_the_initialization_of_a_run_was_trained_on_nothing(directory: Path, tmp_path: Path):
    out = tmp_path / "anchor.safetensors"
    anchors(directory, "--initial", "--out", out)
    checkpoint = open_checkpoint(out)
    assert checkpoint.anchor is not None
    assert (checkpoint.anchor.origin, checkpoint.anchor.examples) == ("initial", 0)
    found, before = load_file(out), load_file(directory / "init.safetensors")
    assert all(torch.equal(found[name], before[name]) for name in before)


def test_examples_that_trained_an_anchors_file_leave_the_bound(directory: Path, tmp_path: Path):
    given = {"source": "digits", "holdout": 200, "seed": 2, "epochs": 5}
    training.run(training.make_recipe(given), tmp_path / "run")
    anchors(directory, "--out", tmp_path / "trained.safetensors")
    anchors(directory, "--initial", "--out", tmp_path / "initial.safetensors")
    counts = {}
    for name in ("trained", "initial"):
        words = ("--anchors", tmp_path / f"{name}.safetensors", "--sigma", "0.3", "--draws", "200")
        result = invoke("pacbayes", tmp_path / "run", "--data", "digits", "--json", "-q", *words)
        assert result.exit_code == 0, result.output
        bounds = {one["theorem"]: one for one in json.loads(result.stdout)["bounds"]}
        counts[name] = bounds["pac_bayes.kl"]["terms"]["examples"]
        lines = {line["statement"]: line for line in bounds["pac_bayes.pinsker"]["assumptions"]}
        broken = [line for line in lines.values() if line["status"] == "violated"]
        assert len(broken) == (name == "trained")
    assert counts["initial"] - counts["trained"] == 500


def test_a_run_that_began_at_a_trained_anchor_has_both_on_record(directory: Path, tmp_path: Path):
    copy = Path(shutil.copytree(directory, tmp_path / "copy"))
    labels = load_file(copy / "labels.safetensors")
    labels["anchor_hashes"] = labels["image_hashes"].flip(1)[:7].contiguous()
    save_file(labels, copy / "labels.safetensors")
    config = json.loads((copy / "config.json").read_text())
    del config["files"]
    facts = {"sha256": "0", "hashes_sha256": "0"}
    config["anchor"] = {"origin": "run", "name": "x", "examples": 7, **facts}
    (copy / "config.json").write_text(json.dumps(config))
    for name in ("model", "init"):  # the header names the same run
        tensors = load_file(copy / f"{name}.safetensors")
        role = "initial" if name == "init" else "trained"
        header = {"dlgen": json.dumps(config), "tensors": role}
        save_file(tensors, copy / f"{name}.safetensors", metadata=header)
    bind(copy)
    assert len(trained_on(open_checkpoint(copy)).hashes) == 507
    start = trained_on(open_checkpoint(copy / "init.safetensors"))
    assert start.origin == "run"
    assert torch.equal(start.hashes, labels["anchor_hashes"])
    shutil.copy(copy / "init.safetensors", tmp_path / "alone.safetensors")
    assert trained_on(open_checkpoint(tmp_path / "alone.safetensors")).origin == "untraced"


def test_weights_away_from_their_run_are_refused(directory: Path, tmp_path: Path):
    shutil.copy(directory / "model.safetensors", tmp_path / "alone.safetensors")
    message = refusal(tmp_path / "alone.safetensors", "--out", tmp_path / "anchor.safetensors")
    assert "records training on examples of digits, but not on which" in message
    assert not (tmp_path / "anchor.safetensors").exists()


REFUSED = {
    "a head": (("--head", "mean"), "--head 'mean' is unknown"),
    "no file of rows": (("--head", "rows"), "--head rows and --rows FILE belong together"),
    "no classes": (("--head", "zero"), "needs the number of classes"),
    "one class": (("--head", "zero", "--classes", "1"), "--classes is 1"),
    "classes of a kept head": (("--classes", "3"), "which keeps the classes"),
    "initial of weights": (("--initial",), "no directory of dlgen train"),
    "an architecture": (("--arch", "resnet18"), "has no tensor conv1.weight"),
    "a size": (("--image-size", "0"), "image_size 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_options_end_in_one_line(name: str, weights: Path, tmp_path: Path):
    words, message = REFUSED[name]
    out = tmp_path / "anchor.safetensors"
    assert message in refusal(weights, "--arch", "mobilenet_v2", "--out", out, *words)
    assert not out.exists()


ROWS = {
    "no JSON": ("[1", "cannot be read as JSON"),
    "no list": ('{"a": 1, "b": [2]}', "the class 'a' has no list of rows"),
    "no row": ('{"a": [], "b": [2]}', "the class 'a' has no list of rows"),
    "a negative row": ('{"a": [-1], "b": [2]}', "the class 'a' has no list of rows"),
    "a truth": ('{"a": [true], "b": [2]}', "the class 'a' has no list of rows"),
    "twice": ('{"a": [1, 1], "b": [2]}', "the class 'a' names a row twice"),
    "too large": ('{"a": [1], "b": [12]}', "row 12 for the class 'b'; the head has 12"),
    "one class": ('{"a": [1]}', "names 1 classes; two or more were expected"),
}


@pytest.mark.parametrize("name", ROWS)
def test_bad_rows_end_in_one_line(name: str, weights: Path, tmp_path: Path):
    text, message = ROWS[name]
    (tmp_path / "rows.json").write_text(text)
    words = (weights, "--arch", "mobilenet_v2", "--out", tmp_path / "anchor.safetensors")
    assert message in refusal(*words, "--head", "rows", "--rows", tmp_path / "rows.json")


def test_the_classes_of_rows_are_those_of_the_data(weights: Path, folder: Path, tmp_path: Path):
    (tmp_path / "rows.json").write_text('{"ant": [1], "bee": [2], "cat": [3]}')
    words = (weights, "--arch", "mobilenet_v2", "--out", tmp_path / "anchor.safetensors")
    rows = ("--head", "rows", "--rows", tmp_path / "rows.json")
    assert "'cat' is not in" in refusal(*words, *rows, "--data", folder)
    assert "names 3 classes; 4 were expected" in refusal(*words, *rows, "--classes", 4)


def test_nothing_is_overwritten_that_is_read(weights: Path, directory: Path, tmp_path: Path):
    assert "is read or written already" in refusal(weights, "--out", weights)
    assert "cannot be written" in refusal(weights, "--out", tmp_path)
    assert "no head of its own" in refusal(
        directory, "--head", "zero", "--classes", 4, "--out", tmp_path / "anchor.safetensors"
    )


def test_a_record_that_was_changed_is_refused(directory: Path, tmp_path: Path):
    made = make_anchor(AnchorOptions(source=directory), file="x")
    (tmp_path / "x.safetensors").write_bytes(made.content)
    tensors = load_file(tmp_path / "x.safetensors")
    good = {
        "dlgen_anchor": json.loads(_header(tmp_path / "x.safetensors")["dlgen_anchor"]),
        "dlgen_anchor_hashes": _header(tmp_path / "x.safetensors")["dlgen_anchor_hashes"],
    }
    hashes = base64.b64decode(good["dlgen_anchor_hashes"])
    for change, shorter in (
        ({}, hashes[:-16]),
        ({}, b""),
        ({"examples": 0, "hashes_sha256": hashlib.sha256(b"").hexdigest()}, b""),
        ({"origin": "trusted"}, hashes),
        ({"origin": "declared"}, hashes),
        ({"steps": []}, hashes),
        ({"input_shape": [0, 8]}, hashes),
        ({"architecture": 3}, hashes),
    ):
        header = {
            "dlgen_anchor": json.dumps(good["dlgen_anchor"] | change),
            "dlgen_anchor_hashes": base64.b64encode(shorter).decode(),
        }
        save_file(tensors, tmp_path / "changed.safetensors", metadata=header)
        assert "damaged record of an anchor" in refusal(
            tmp_path / "changed.safetensors", "--out", tmp_path / "out.safetensors"
        )


def test_a_file_of_an_older_version_is_read_but_not_bound(directory: Path, tmp_path: Path):
    made = make_anchor(AnchorOptions(source=directory), file="x")
    path = tmp_path / "x.safetensors"
    path.write_bytes(made.content)
    metadata = _header(path)
    facts = json.loads(metadata["dlgen_anchor"])
    assert trained_on(open_checkpoint(path)).weakest is None
    for name in ("ancestors", "tensors_sha256"):
        del facts[name]
    header = {**metadata, "dlgen_anchor": json.dumps(facts)}
    save_file(load_file(path), path, metadata=header)
    found = trained_on(open_checkpoint(path))
    assert (found.origin, len(found.hashes)) == ("run", 500)
    assert found.weakest is not None
    assert found.weakest.origin == "unbound"


def _header(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def test_arguments_of_your_own_network_are_taken(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\n"
        "def make(width, num_classes=3):\n"
        "    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, num_classes))\n"
    )
    from torch import nn

    state = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).state_dict()
    torch.save(state, tmp_path / "net.pt")
    words = [tmp_path / "net.pt", "--arch", f"{tmp_path}/net.py:make", "--save", tmp_path / "a.st"]
    assert "cannot be built" in refusal(*words)
    anchors(*words, "--arch-arg", "width=6", "--head", "zero", "--classes", 2)
    found = load_file(tmp_path / "a.st")
    assert found["0.weight"].shape == (6, 4)
    assert found["2.weight"].shape == (2, 6)
    assert "without --arch" in refusal(words[0], "--save", tmp_path / "b", "--arch-arg", "width=6")
