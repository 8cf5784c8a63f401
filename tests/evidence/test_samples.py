"""The examples behind a certificate: found by their hashes, or refused."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
from digits import outputs
from run_files import bind
from safetensors.torch import load_file, save_file

from dlgen_cli import training
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.datasets import load_source
from dlgen_cli.evidence.samples import find_samples

OCCAM, GIBBS = "compression.occam", "pac_bayes.kl"


@pytest.fixture
def copy(digits_run, tmp_path):
    return Path(shutil.copytree(digits_run, tmp_path / "copy"))


@pytest.fixture(scope="module")
def trained_anchor(tmp_path_factory):
    path = tmp_path_factory.mktemp("anchors") / "run"
    training.run(training.make_recipe({"source": "digits", "seed": 5, "epochs": 1}), path)
    return path


@pytest.fixture
def report(digits_report):
    return digits_report


def test_the_sample_is_what_the_run_was_trained_on(digits_run, report, bound_of):
    recorded = load_file(digits_run / "labels.safetensors")
    m = len(recorded["labels"])
    source = load_source("digits")
    rows = {index: row for row, index in enumerate(source.indices.tolist())}
    images = source.train.images[[rows[index] for index in recorded["indices"].tolist()]]
    wrong = int((outputs(digits_run, images).argmax(1) != recorded["labels"]).sum())
    assert report["results"]["sample_examples"] == m
    assert report["results"]["sample_error"] == wrong / m
    for theorem in (OCCAM, GIBBS):
        assert bound_of(report, theorem)["terms"]["examples"] == m


def test_m_below_the_sample_is_refused(digits_run, invoke):
    result = invoke("certify", digits_run, "--data", "digits", "--m", "1000")
    assert result.exit_code == 2
    assert "the sample in digits has 1242 examples" in result.stderr


def test_other_data_than_the_runs_are_refused(digits_run, tmp_path, invoke):
    from PIL import Image

    for split in ("train", "test"):
        for name in map(str, range(10)):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("L", (8, 8), int(name)).save(tmp_path / split / name / "0.png")
    result = invoke("certify", digits_run, "--data", tmp_path)
    assert result.exit_code == 2
    assert "are not among the training images" in result.stderr


def test_a_run_on_random_images_has_no_sample_in_the_data(tmp_path, invoke):
    recipe = training.make_recipe({"source": "digits", "dataset": "random", "epochs": 0, "m": 50})
    training.run(recipe, tmp_path / "run")
    result = invoke("certify", tmp_path / "run", "--data", "digits")
    assert result.exit_code == 2
    assert "50 of the 50 examples that trained this run were drawn at random" in result.stderr


def test_altered_labels_are_on_the_ledger(tmp_path, certify, bound_of, line_of, invoke):
    recipe = training.make_recipe(
        {"source": "digits", "dataset": "mixed-adversarial", "epochs": 5, "m": 300}
    )
    training.run(recipe, tmp_path / "run")
    report = certify(tmp_path / "run", "--sigma", "0.3")
    bound = bound_of(report, OCCAM)
    line = line_of(bound, "drawn independently")
    assert line["status"] == "declared"
    assert "150 of 300 are" in line["evidence"]
    # the holdout speaks of real labels, so nothing is compared with it
    assert report["headline"]["candidates"] == [report["results"]["best"]]
    assert report["results"]["best"] == "holdout.clopper_pearson"
    assert report["headline"]["delta"] == bound["terms"]["delta"] == 0.05
    assert "which is another one" in report["results"]["verdict"]
    rows = {one["theorem"]: one["labels"] for one in report["results"]["certificates"]}
    assert rows == {"holdout.clopper_pearson": "real", OCCAM: "altered", GIBBS: "altered"}
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert invoke("verify", path).exit_code == 0
    report["results"]["verdict"] = report["results"]["verdict"].replace("another", "this")
    path.write_text(json.dumps(report))
    assert invoke("verify", path).exit_code == 1


def test_weights_of_another_run_are_refused(copy, trained_anchor, invoke):
    shutil.copy(trained_anchor / "model.safetensors", copy / "model.safetensors")
    result = invoke("certify", copy, "--data", "digits")
    assert result.exit_code == 2
    assert "model.safetensors is not the file that the run wrote" in result.stderr


def test_examples_that_the_weights_do_not_record_are_refused(copy, invoke):
    labels = load_file(copy / "labels.safetensors")
    swapped = labels["image_hashes"][0].clone()
    labels["image_hashes"][0] = labels["holdout_hashes"][0]
    labels["holdout_hashes"][0] = swapped
    save_file(labels, copy / "labels.safetensors")
    bind(copy)
    result = invoke("certify", copy, "--data", "digits")
    assert result.exit_code == 2
    assert "are not those that its weights record" in result.stderr


def test_a_file_outside_its_run_keeps_its_scale(digits_run, tmp_path):
    path = tmp_path / "lone.safetensors"
    shutil.copy(digits_run / "model.safetensors", path)
    samples = find_samples(open_checkpoint(path), "digits", None)
    assert samples.scale == find_samples(open_checkpoint(digits_run), "digits", None).scale == 0.125


def test_equal_images_in_the_holdout_keep_their_own_labels(tmp_path):
    from PIL import Image

    for split, name in itertools.product(("train", "test"), "ab"):
        (tmp_path / "data" / split / name).mkdir(parents=True)
        for level in range(10):
            path = tmp_path / "data" / split / name / f"{level}.png"
            Image.new("L", (8, 8), level).save(path)
    source = str(tmp_path / "data")
    recipe = training.make_recipe(
        {"source": source, "architecture": "mlp", "epochs": 0, "holdout": 14, "m": 2}
    )
    training.run(recipe, tmp_path / "run")
    held = load_file(tmp_path / "run" / "labels.safetensors")["holdout_indices"]
    samples = find_samples(open_checkpoint(tmp_path / "run"), source, None)
    assert samples.holdout.labels.tolist() == (held // 10).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Some digits as an image folder."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pictures") / "png"
    source = load_source("digits")
    for name, part in (("train", source.train), ("test", source.test)):
        for at in range(150):
            path = root / name / str(int(part.labels[at])) / f"{at:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((part.images[at, 0] * 255).round().byte().numpy()).save(path)
    return root


def run_on(folder: Path, directory: Path, **given) -> Path:
    settings = {"source": str(folder), "architecture": "mlp", "epochs": 1, "m": 30, "holdout": 20}
    training.run(training.make_recipe({**settings, **given}), directory)
    return directory


def test_images_that_a_run_does_not_use_are_not_decoded(folder, tmp_path):
    run = run_on(folder, tmp_path / "run")
    before = find_samples(open_checkpoint(run), str(folder), None)
    assert "source_sha256" not in json.loads((run / "config.json").read_text())
    recorded = load_file(run / "labels.safetensors")
    used = {0, *recorded["indices"].tolist(), *recorded["holdout_indices"].tolist()}
    data = Path(shutil.copytree(folder, tmp_path / "data"))
    for index, path in enumerate(sorted((data / "train").rglob("*.png"))):
        if index not in used:
            path.write_text("no image")
    again = run_on(data, tmp_path / "again")
    assert (again / "model.safetensors").exists()
    after = find_samples(open_checkpoint(run), str(data), None)
    for part in ("sample", "holdout", "test"):
        assert after.parts[part].images.equal(before.parts[part].images)
        assert after.parts[part].labels.equal(before.parts[part].labels)
    assert (after.sample_lines[1:], after.holdout_lines) == (
        before.sample_lines[1:],
        before.holdout_lines,
    )
    seen = after.holdout_lines[0]
    assert (seen.status, "No example of the holdout" in seen.statement) == ("verified", True)


def test_images_that_moved_are_found_by_their_hashes(folder, tmp_path):
    run = run_on(folder, tmp_path / "run")
    before = find_samples(open_checkpoint(run), str(folder), None)
    data = Path(shutil.copytree(folder, tmp_path / "data"))
    for path in (data / "train").rglob("*.png"):
        path.rename(path.with_name(f"{9999 - int(path.stem)}.png"))
    after = find_samples(open_checkpoint(run), str(data), None)
    for part in ("sample", "holdout"):
        assert after.parts[part].images.equal(before.parts[part].images)
        assert after.parts[part].labels.equal(before.parts[part].labels)


def test_a_run_on_all_images_records_the_digest_of_all(folder, tmp_path):
    whole = run_on(folder, tmp_path / "run", m=None, holdout=20)
    recorded = json.loads((whole / "config.json").read_text())["source_sha256"]
    assert recorded == find_samples(open_checkpoint(whole), str(folder), None).data.sha256
