"""One drawn network: the file that is written is what is certified, and nothing can be changed."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file

from dlgen_cli.bounds.pac_bayes_drawn import draw_seed
from dlgen_cli.datasets import load_source
from dlgen_cli.training import make_recipe, run
from dlgen_cli.training.posterior import train_posterior

THEOREM = "pac_bayes.drawn"


@pytest.fixture(scope="module")
def posterior_run(tmp_path_factory):
    """A posterior around a network that was trained on 400 of the digits."""
    folder = tmp_path_factory.mktemp("drawn")
    recipe = make_recipe({"source": "digits", "device": "cpu", "m": 400, "epochs": 60})
    run(recipe, folder / "anchor")
    given = {"source": "digits", "device": "cpu", "epochs": 3, "batch_size": 100}
    train_posterior(folder / "anchor", folder / "run", given, {"trainable": ("layers.[12]*",)})
    return folder / "run"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return tmp_path_factory.mktemp("out") / "h.safetensors"


@pytest.fixture(scope="module")
def report(posterior_run, drawn, invoke):
    words = ("--data", "digits", "--draws", 2000, "-q", "--json", "--draw-network", drawn)
    result = invoke("certify", posterior_run, *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def bound_of(report):
    return next(one for one in report["bounds"] if one["theorem"] == THEOREM)


def test_it_competes_and_is_named(report, drawn):
    theorems = [one["theorem"] for one in report["results"]["certificates"]]
    assert theorems == ["holdout.clopper_pearson", "pac_bayes.posterior", THEOREM]
    assert report["headline"]["delta"] * 3 <= 0.05
    told = report["results"]["drawn_network"]
    assert told["file"] == "h.safetensors"
    assert told["sha256"] == hashlib.sha256(drawn.read_bytes()).hexdigest()
    lines = {one["statement"]: one for one in bound_of(report)["assumptions"]}
    assert {one["status"] for one in lines.values()} == {"verified", "declared"}
    line = lines["The statement is about the one network that was drawn and written."]
    assert told["sha256"][:12] in line["evidence"]
    assert not any("random predictor" in statement for statement in lines)


def test_its_errors_are_those_of_the_file_by_plain_products(report, drawn, posterior_run):
    tensors = load_file(drawn)
    labels = load_file(posterior_run / "labels.safetensors")
    source = load_source("digits")
    rows = {index: row for row, index in enumerate(source.indices.tolist())}
    places = [rows[index] for index in labels["indices"].tolist()]
    x = source.train.images[places].flatten(1) / 8
    for layer in range(3):
        x = x @ tensors[f"layers.{layer}.weight"].T
        x = x.relu() if layer < 2 else x[:, :10]
    wrong = int((x.argmax(1) != labels["labels"]).sum())
    terms = bound_of(report)["terms"]
    assert terms["errors"] == wrong
    assert terms["examples"] == len(places)
    # it is near the random predictor of the same report, whose KL its ratio has for a mean
    gibbs = report["bounds"][1]["terms"]
    kl = gibbs["kl_nats"] - gibbs["choice_nats"]
    assert terms["log_density_ratio_nats"] == pytest.approx(kl, abs=8 * (1 + kl) ** 0.5)


@pytest.mark.usefixtures("report")
def test_weights_that_do_not_move_are_the_prior_s_and_the_others_are_no_mean(drawn, posterior_run):
    found, mean, init = (
        load_file(path)
        for path in (drawn, posterior_run / "model.safetensors", posterior_run / "init.safetensors")
    )
    assert torch.equal(found["layers.0.weight"], init["layers.0.weight"])
    assert not torch.equal(found["layers.2.weight"], mean["layers.2.weight"])


def test_the_file_is_a_checkpoint_and_the_draw_repeats(report, drawn, posterior_run, invoke):
    content = drawn.read_bytes()
    audited = invoke("audit", drawn, "--json", "-q")
    assert audited.exit_code == 0, audited.output
    assert json.loads(audited.stdout)["provenance"]["architecture"] == "mlp"
    words = ("--data", "digits", "--draws", 50, "-q", "--json", "--draw-network", drawn)
    assert invoke("certify", posterior_run, *words).exit_code == 0
    assert drawn.read_bytes() == content
    told = report["results"]["drawn_network"]
    seed = draw_seed(report["provenance"]["sha256"], told["posterior_sha256"])
    assert bound_of(report)["terms"]["seed"] == seed


def test_the_report_verifies_and_no_number_can_be_changed(report, tmp_path, invoke):
    path = tmp_path / "report.json"

    def exit_code(changed):
        path.write_text(json.dumps(changed))
        return invoke("verify", path).exit_code

    assert exit_code(report) == 0
    index = [one["theorem"] for one in report["bounds"]].index(THEOREM)
    terms = ("bounds", index, "terms")
    changes = [
        ((*terms, "log_density_ratio_nats"), -5.0),
        ((*terms, "errors"), 0),
        ((*terms, "seed"), "0" * 64),
        ((*terms, "networks", 0, "seed"), "0" * 64),
        ((*terms, "networks", 0, "errors"), 0),
        ((*terms, "choice_nats"), 0.0),
        ((*terms, "delta"), 0.025),
        (("results", "drawn_network", "sha256"), "0" * 64),
        (("results", "drawn_network", "posterior_sha256"), "0" * 64),
        (("results", "drawn_network", "file"), "other.safetensors"),
        (("settings", "draw_network"), "other.safetensors"),
        (("provenance", "sha256"), "0" * 64),
    ]
    for place, value in changes:
        changed = json.loads(json.dumps(report))
        inner = changed
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
        assert exit_code(changed) == 1, place
    for statement in ("The draw depends on the sample", "The statement is about the one network"):
        changed = json.loads(json.dumps(report))
        lines = changed["bounds"][index]["assumptions"]
        lines[:] = [one for one in lines if statement not in one["statement"]]
        assert exit_code(changed) == 1, statement


def test_what_cannot_be_drawn_or_written_is_refused(posterior_run, digits_run, tmp_path, invoke):
    target = tmp_path / "h.safetensors"
    for words, message in (
        ((digits_run, "--draw-network", target), "--draw-network was given, but"),
        ((posterior_run, "--draw-network", tmp_path / "h.pt"), "ending in .safetensors"),
    ):
        result = invoke("certify", *words, "--data", "digits", "-q", "--draws", 2000)
        assert result.exit_code == 2
        assert message in result.output
    assert not list(tmp_path.iterdir())
