"""A record is as good as its weakest ancestor, and the same image is the same image."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dlgen_cli import training
from dlgen_cli.datasets import SourceHashes, load_source

GIBBS, HOLDOUT = "pac_bayes.kl", "holdout.clopper_pearson"
TRAINED, SEEN = "trained the anchor", "No example of the holdout"


def train(directory: Path, **given) -> Path:
    settings = {"source": "digits", "seed": 2, "epochs": 2, "until_train_error": -1}
    training.run(training.make_recipe({**settings, **given}), directory)
    return directory


@pytest.fixture(scope="module")
def stripped(tmp_path_factory, invoke) -> Path:
    """Weights trained on every image, without a record of it, made an anchors file."""
    root = tmp_path_factory.mktemp("stripped")
    whole = train(root / "whole", epochs=20)
    bare = root / "bare.safetensors"
    save_file(load_file(whole / "model.safetensors"), bare)
    words = ("--arch", "mlp", "--out", root / "start.safetensors", "-q")
    result = invoke("anchors", bare, *words)
    assert result.exit_code == 0, result.output
    return root / "start.safetensors"


def test_a_declared_ancestor_makes_the_anchors_line_declared(
    stripped, tmp_path, certify, bound_of, line_of
):
    anchor = train(tmp_path / "anchor", start=stripped, m=40)
    run = train(tmp_path / "run", seed=3)
    bound = bound_of(certify(run, "--anchors", anchor, "--sigma", "0.3"), GIBBS)
    line = line_of(bound, TRAINED)
    assert line["status"] == "declared"
    assert "40 examples trained it and left the bound; 1,402 are in it" in line["evidence"]
    assert "bare.safetensors, sha256" in line["evidence"]
    assert "records no training" in line["evidence"]


def test_a_declared_ancestor_makes_the_holdouts_line_declared(
    stripped, tmp_path, certify, bound_of, line_of
):
    run = train(tmp_path / "run", start=stripped, holdout=200, m=40)
    bound = bound_of(certify(run, "--sigma", "0.3"), HOLDOUT)
    line = line_of(bound, SEEN)
    assert line["status"] == "declared"
    assert "bare.safetensors" in line["evidence"]
    own = train(tmp_path / "own", holdout=200, m=40)
    assert line_of(bound_of(certify(own, "--sigma", "0.3"), HOLDOUT), SEEN)["status"] == "verified"


def test_a_declared_ancestor_is_found_through_a_posterior(
    stripped, tmp_path, invoke, certify, bound_of, line_of
):
    anchor = train(tmp_path / "anchor", start=stripped, m=40)
    words = ("--source", "digits", "--anchors", anchor, "--epochs", 1, "--trainable", "*", "-q")
    out = tmp_path / "posterior"
    result = invoke("train", "--objective", "pac-bayes", *words, "--out", out)
    assert result.exit_code == 0, result.output
    line = line_of(bound_of(certify(out), "pac_bayes.posterior"), "The prior's mean")
    assert line["status"] == "declared"
    assert "bare.safetensors" in line["evidence"]


def test_a_chain_of_runs_on_record_is_verified(tmp_path, certify, bound_of, line_of):
    first = train(tmp_path / "first", m=50)
    second = train(tmp_path / "second", start=first, m=60, seed=5)
    run = train(tmp_path / "run", seed=3)
    line = line_of(bound_of(certify(run, "--anchors", second, "--sigma", "0.3"), GIBBS), TRAINED)
    assert line["status"] == "verified"
    spent = [load_file(one / "labels.safetensors")["image_hashes"] for one in (first, second)]
    count = len({row.tobytes() for row in torch.cat(spent).numpy()})
    assert f"{count} examples trained it and left the bound" in line["evidence"]


def test_a_run_without_digests_is_read_but_not_verified(tmp_path, certify, bound_of, line_of):
    run = train(tmp_path / "run", holdout=200)
    before = certify(run, "--sigma", "0.3")
    config = json.loads((run / "config.json").read_text())
    del config["files"]
    (run / "config.json").write_text(json.dumps(config))
    after = certify(run, "--sigma", "0.3")
    for words, theorem in ((SEEN, HOLDOUT), ("The sample is the one", GIBBS)):
        assert line_of(bound_of(before, theorem), words)["status"] == "verified"
        assert line_of(bound_of(after, theorem), words)["status"] == "declared"
    assert bound_of(after, GIBBS)["value"] == bound_of(before, GIBBS)["value"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """The digits as an image folder: the same images, stored and decoded otherwise."""
    root = tmp_path_factory.mktemp("pictures") / "png"
    source = load_source("digits")
    for name, part in (("train", source.train), ("test", source.test)):
        for at, (image, label) in enumerate(zip(part.images, part.labels.tolist(), strict=True)):
            path = root / name / str(label) / f"{at:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image[0] * 255).round().to(torch.uint8).numpy()).save(path)
    return root


def test_the_same_images_in_another_format_are_no_other_images(
    pictures, tmp_path, certify, bound_of, line_of
):
    anchor = train(tmp_path / "anchor", source=str(pictures), architecture="mlp", m=500)
    run = train(tmp_path / "run", seed=3)
    bound = bound_of(certify(run, "--anchors", anchor, "--sigma", "0.3"), GIBBS)
    line = line_of(bound, TRAINED)
    assert line["status"] == "declared"
    assert "stored or decoded otherwise has another hash" in line["evidence"]
    suspicion = line_of(bound, "is a copy of one that trained")
    assert suspicion["status"] == "assumed"
    assert "500 of its 1,442 images look like one" in suspicion["evidence"]


@pytest.mark.parametrize(
    ("has_indices", "has_digest", "status"),
    [(True, False, "verified"), (False, True, "verified"), (False, False, "declared")],
)
def test_images_drawn_at_random_are_known_by_their_record_or_by_the_digest_of_the_source(
    pictures, tmp_path, monkeypatch, has_indices, has_digest, status, bound_of, line_of, invoke
):
    given = {"source": str(pictures), "architecture": "mlp", "m": 60}
    with monkeypatch.context() as patch:
        if has_digest:  # as of versions that decoded all images, whatever m was
            patch.setattr(SourceHashes, "sha256_if_read", SourceHashes.sha256)
        first = train(tmp_path / "first", dataset="mixed-random", **given)
    anchor = tmp_path / "anchor.safetensors"
    assert invoke("anchors", first, "--save", anchor, "-q").exit_code == 0
    if not has_indices:  # as of versions that recorded none
        with safe_open(anchor, framework="pt") as file:
            facts = file.metadata()
        assert facts.pop("dlgen_anchor_indices")
        save_file(load_file(anchor), anchor, facts)
    run = train(tmp_path / "run", **{**given, "seed": 3})
    words = ("--data", pictures, "-q", "--json", "--draws", 100, "--b", 8, "--sigma", 0.3)
    report = json.loads(invoke("certify", run, "--anchors", anchor, *words).stdout)
    line = line_of(bound_of(report, GIBBS), TRAINED)
    assert line["status"] == status
    assert ("not all are among those of png" in line["evidence"]) is (status == "declared")


def test_images_of_the_runs_before_are_read_where_they_were_recorded(
    pictures, tmp_path, bound_of, line_of, invoke
):
    """Through a chain of two and an anchors file; all other images are unreadable."""
    given = {"source": str(pictures), "m": 60}
    first = train(tmp_path / "first", architecture="mlp", **given)
    start = tmp_path / "first.safetensors"
    assert invoke("anchors", first, "--save", start, "-q").exit_code == 0
    second = train(tmp_path / "second", start=str(start), **{**given, "seed": 5})
    run = train(tmp_path / "run", architecture="mlp", **{**given, "seed": 3})
    labels = [load_file(one / "labels.safetensors") for one in (first, second, run)]
    assert labels[1]["anchor_indices"].equal(labels[0]["indices"])
    used = {0, *torch.cat([one["indices"] for one in labels]).tolist()}  # the first tells the size
    data = Path(shutil.copytree(pictures, tmp_path / "data"))
    for index, path in enumerate(sorted((data / "train").rglob("*.png"))):
        if index not in used:
            path.write_text("no image")
    words = ("--data", data, "-q", "--json", "--draws", 100, "--b", 8, "--sigma", 0.3)
    report = json.loads(invoke("certify", run, "--anchors", second, *words).stdout)
    assert line_of(bound_of(report, GIBBS), TRAINED)["status"] == "verified"


def test_images_of_another_run_are_looked_for_among_all(
    pictures, tmp_path, bound_of, line_of, invoke
):
    given = {"source": str(pictures), "architecture": "mlp", "m": 60}
    anchor = train(tmp_path / "anchor", **given)
    run = train(tmp_path / "run", **{**given, "seed": 3})
    words = ("--data", pictures, "-q", "--json", "--draws", 100, "--b", 8, "--sigma", 0.3)
    report = json.loads(invoke("certify", run, "--anchors", anchor, *words).stdout)
    assert line_of(bound_of(report, GIBBS), TRAINED)["status"] == "verified"


def test_repeated_images_are_counted(tmp_path, bound_of, line_of, invoke):
    for split, name, level in itertools.product(("train", "test"), "ab", range(12)):
        folder = tmp_path / "data" / split / name
        folder.mkdir(parents=True, exist_ok=True)
        grey = level // 2 if split == "train" else 100 + level  # each image of train twice
        Image.new("L", (8, 8), grey + (20 if name == "b" else 0)).save(folder / f"{level:02}.png")
    source = str(tmp_path / "data")
    run = train(tmp_path / "run", source=source, architecture="mlp")
    words = ("--data", source, "-q", "--json", "--draws", 100, "--b", 8, "--sigma", 0.3)
    report = json.loads(invoke("certify", run, *words).stdout)
    assert report["results"]["repeated_images"] == {"all": 12, "sample": 12}
    line = line_of(bound_of(report, GIBBS), "The sample is drawn independently")
    assert line["status"] == "declared"
    assert "12 of its images repeat another, by hash" in line["evidence"]


def test_what_no_program_can_know_is_declared(digits_report, bound_of, line_of):
    choice = line_of(bound_of(digits_report, HOLDOUT), "not chosen by its errors on the holdout")
    width = line_of(bound_of(digits_report, "compression.occam"), "b was fixed before the sample")
    assert (choice["status"], width["status"]) == ("declared", "declared")


@pytest.mark.parametrize("name", ["model", "init", "labels"])
def test_a_file_copied_over_a_runs_is_not_the_runs(name, tmp_path, invoke):
    run, other = train(tmp_path / "run", m=90), train(tmp_path / "other", m=90, seed=9)
    file = f"{name}.safetensors"
    save_file(load_file(other / file), run / file)
    result = invoke("certify", run, "--data", "digits", "-q", "--draws", 200, "--sigma", 0.3)
    assert result.exit_code == 2
    assert f"{file} is not the file that the run wrote" in result.stderr


def test_weights_beside_a_run_do_not_inherit_its_record(
    stripped, tmp_path, certify, bound_of, line_of
):
    part, run = train(tmp_path / "part", m=40), train(tmp_path / "run", seed=3)
    save_file(load_file(stripped), part / "other.safetensors")
    words = ("--anchors", part / "other.safetensors", "--sigma", "0.3")
    bound = bound_of(certify(run, *words), GIBBS)
    assert bound["terms"]["examples"] == 1442
    assert not [one for one in bound["assumptions"] if TRAINED in one["statement"]]
    assert line_of(bound, "The anchors do not depend")["status"] == "declared"


def test_a_list_of_hashes_shorter_than_the_examples_is_refused(tmp_path, invoke):
    run = train(tmp_path / "run", m=90)
    labels = load_file(run / "labels.safetensors")
    labels["image_hashes"] = labels["image_hashes"][:80].contiguous()
    save_file(labels, run / "labels.safetensors")
    config = json.loads((run / "config.json").read_text())
    del config["files"]
    (run / "config.json").write_text(json.dumps(config))
    for words in (
        ("certify", run, "--data", "digits"),
        ("anchors", run, "--out", tmp_path / "anchor.safetensors"),
    ):
        result = invoke(*words)
        assert result.exit_code == 2
        assert "(90, 16) for its 90 examples were expected" in result.stderr


def test_an_anchors_record_is_of_its_own_tensors(tmp_path, invoke):
    run = train(tmp_path / "run", m=40)
    file = tmp_path / "anchor.safetensors"
    assert invoke("anchors", run, "--out", file).exit_code == 0
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    file.write_bytes(content[:end] + bytes(len(content) - end))
    result = invoke("spectra", file)
    assert result.exit_code == 2
    assert "tells the origin of other tensors" in result.stderr
