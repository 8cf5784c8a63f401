"""Coded runs on digits: what is paid, what is counted, what verify says."""

import json
import math
import shutil
from pathlib import Path

import mpmath
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from dlgen_cli.cli.app import app
from dlgen_cli.datasets import load_source
from dlgen_cli.predictors.coded import build_network, describe_run, header, read_code, read_gaussian

ANCHORS = Path(__file__).parents[2] / "fixtures" / "anchors.pt"

OCCAM, POSTERIOR = "compression.occam", "pac_bayes.posterior"
SHORT = ("--source", "digits", "--objective", "coded", "--depth", 2, "--dim", 300, "--lr", 0.1)


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def train(out: Path, *words: object) -> Path:
    result = invoke("train", *SHORT, "--out", out, "-q", *words)
    assert result.exit_code == 0, result.output
    return out


def certify(directory: Path) -> dict:
    result = invoke("certify", directory, "--data", "digits", "--draws", "2000", "-q", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coded")


@pytest.fixture(scope="module")
def code_run(root: Path) -> Path:
    words = ("--predictor", "code", "--step", "2", "--epochs", "60")
    return train(root / "code", *words)


@pytest.fixture(scope="module")
def gaussian_run(root: Path) -> Path:
    return train(root / "gaussian", "--epochs", "60")


@pytest.fixture(scope="module")
def code_report(code_run: Path) -> dict:
    return certify(code_run)


@pytest.fixture(scope="module")
def gaussian_report(gaussian_run: Path) -> dict:
    return certify(gaussian_run)


def bound_of(report: dict, theorem: str) -> dict:
    return next(one for one in report["bounds"] if one["theorem"] == theorem)


def sample(directory: Path) -> tuple[torch.Tensor, torch.Tensor]:
    recorded = load_file(directory / "labels.safetensors")
    source = load_source("digits")
    rows = {index: row for row, index in enumerate(source.indices.tolist())}
    images = source.train.images[[rows[index] for index in recorded["indices"].tolist()]]
    scale = json.loads((directory / "config.json").read_text())["input"]["scale"]
    return images * scale, recorded["labels"]


def test_bits_are_the_length_of_the_file_and_the_bound_is_its_tail(code_run, code_report):
    bound = bound_of(code_report, OCCAM)
    terms = bound["terms"]
    assert terms["bits"] == 8 * (code_run / "code.bin").stat().st_size
    code = read_code((code_run / "code.bin").read_bytes(), "here")
    images, labels = sample(code_run)
    guesses = code.network().at(code.coordinates())(images).argmax(1)
    assert terms["errors"] == int((guesses != labels).sum())
    assert terms["union_nats"] == 0
    nats = terms["bits"] * math.log(2) - math.log(terms["delta"])
    wrong, m = terms["errors"], terms["examples"]
    right = mpmath.mpf(1) - mpmath.mpf(bound["value"])
    tail = mpmath.betainc(m - wrong, wrong + 1, 0, right, regularized=True)
    assert float(mpmath.log(tail)) == pytest.approx(-nats, rel=1e-9)
    assert bound["value"] < 1


def test_the_network_of_the_code_is_the_one_in_the_directory(code_run):
    code = read_code((code_run / "code.bin").read_bytes(), "here")
    stored = load_file(code_run / "model.safetensors")
    rebuilt = code.network().at(code.coordinates()).state_dict()
    assert all(torch.equal(stored[name], rebuilt[name]) for name in stored)


def test_the_gaussian_pays_its_divergence_and_its_choices(gaussian_run, gaussian_report):
    bound = bound_of(gaussian_report, POSTERIOR)
    config = json.loads((gaussian_run / "config.json").read_text())
    about = describe_run(config)
    network = build_network(about)
    data = (gaussian_run / "coordinates.safetensors").read_bytes()
    posterior = read_gaussian(data, network, "here")
    q = torch.distributions.Normal(posterior.mean.double(), posterior.spread.double())
    p = torch.distributions.Normal(torch.zeros(300).double(), torch.ones(300).double())
    divergence = float(torch.distributions.kl_divergence(q, p).sum())
    terms = bound["terms"]
    choice = math.log(49) + 8 * len(header(about)) * math.log(2)
    assert terms["choice_nats"] == pytest.approx(choice, rel=1e-12)
    assert terms["kl_nats"] == pytest.approx(divergence + choice, rel=1e-9)
    assert terms["kl_nats"] >= (divergence + choice) * (1 - 1e-12)
    assert (terms["draws"], terms["trials"]) == (2000, 2000)
    assert bound["value"] < 1


def test_the_errors_are_those_of_other_draws(gaussian_run, gaussian_report):
    config = json.loads((gaussian_run / "config.json").read_text())
    network = build_network(describe_run(config))
    data = (gaussian_run / "coordinates.safetensors").read_bytes()
    posterior = read_gaussian(data, network, "here")
    images, labels = sample(gaussian_run)
    source = torch.Generator().manual_seed(99)
    start = network.projection.groups[-1].start
    rates = [
        (network.logits(posterior.coordinates(noise, start), images).argmax(1) != labels)
        .float()
        .mean()
        .item()
        for noise in torch.randn(60, 300, generator=source)
    ]
    found = bound_of(gaussian_report, POSTERIOR)["terms"]["errors"] / 2000
    assert found == pytest.approx(sum(rates) / 60, abs=0.05)


@pytest.mark.parametrize("name", ["code_report", "gaussian_report"])
def test_verify_accepts_the_report_and_no_other(name, request, tmp_path):
    report = request.getfixturevalue(name)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert invoke("verify", path).exit_code == 0
    report = json.loads(path.read_text())
    terms = report["bounds"][1]["terms"]
    terms["errors" if "bits" in terms else "kl_nats"] -= 1
    path.write_text(json.dumps(report))
    assert invoke("verify", path).exit_code == 1


@pytest.mark.parametrize("name", ["code_report", "gaussian_report"])
def test_no_line_of_the_ledger_is_violated(name, request):
    report = request.getfixturevalue(name)
    for bound in report["bounds"]:
        assert {line["status"] for line in bound["assumptions"]} <= {"verified", "declared"}
    assert len(report["results"]["certificates"]) == 2
    assert report["headline"]["delta"] * 2 <= 0.05


def test_a_bank_of_filters_has_a_factor_and_the_laws_of_both_ways_to_draw(root):
    words = ("--source", "digits", "--objective", "coded", "--arch", "filter_bank", "--width", 4)
    out = root / "bank"
    result = invoke("train", *words, "--epochs", 10, "--out", out, "-q")
    assert result.exit_code == 0, result.output
    report = certify(out)
    config = json.loads((out / "config.json").read_text())
    network = build_network(describe_run(config))
    posterior = read_gaussian((out / "coordinates.safetensors").read_bytes(), network, "here")
    assert posterior.factor is not None
    images, labels = sample(out)
    source = torch.Generator().manual_seed(5)
    features = network.features(images)
    wrong = []
    for noise in torch.randn(300, network.projection.dim, generator=source):
        head = posterior.coordinates(noise, 0).reshape(10, -1)
        wrong.append((features @ head.T).argmax(1) != labels)
    expected = torch.stack(wrong).float().mean().item()
    bound = bound_of(report, POSTERIOR)
    assert bound["terms"]["empirical_risk_upper"] == pytest.approx(expected, abs=0.03)
    assert bound["terms"]["cells"] == 4096
    assert bound["value"] < 1
    assert bound["terms"]["choice_nats"] > 16 * math.log(2)


def test_damage_is_told_in_one_line(code_run, gaussian_run, tmp_path):
    for run, name in ((code_run, "code.bin"), (gaussian_run, "coordinates.safetensors")):
        copy = Path(shutil.copytree(run, tmp_path / name.split(".")[0]))
        data = (copy / name).read_bytes()
        for content in (data[:-3], b"", data + b"x"):
            (copy / name).write_bytes(content)
            result = invoke("certify", copy, "--data", "digits", "--draws", "2000")
            assert result.exit_code == 2
            assert name in result.stderr
        (copy / name).unlink()
        result = invoke("certify", copy, "--data", "digits", "--draws", "2000")
        assert (result.exit_code, name in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ("--shrink", 0.5),
        ("--tried", 2),
        ("--tried-nats", 1),
        ("--occam",),
        ("--anchors", ANCHORS),
        ("--freeze", "*"),
        ("--relative-sigma",),
        ("--sigma", 0.5),
    ],
)
def test_options_that_a_coded_run_has_no_use_for_are_refused(words, code_run):
    result = invoke("certify", code_run, "--data", "digits", *words)
    assert result.exit_code == 2
    assert f"{words[0]} was given, but" in result.stderr
    assert not result.stdout


def test_too_few_draws_are_refused(gaussian_run):
    result = invoke("certify", gaussian_run, "--data", "digits", "--draws", "1999")
    assert result.exit_code == 2
    assert "--draws" in result.stderr


def test_a_kernel_machine_errs_like_draws_of_its_process(root):
    words = ("--source", "digits", "--objective", "coded", "--arch", "filter_kernel")
    out = root / "kernel"
    result = invoke("train", *words, "--width", 4, "--dim", 400, "--epochs", 10, "--out", out, "-q")
    assert result.exit_code == 0, result.output
    report = certify(out)
    config = json.loads((out / "config.json").read_text())
    network = build_network(describe_run(config))
    posterior = read_gaussian((out / "coordinates.safetensors").read_bytes(), network, "here")
    assert posterior.landmarks is not None
    images, labels = sample(out)
    phi = network.features(images)
    # process: head plus a part that no landmark knows; its variance completes the kernel's 1
    unknown = (1 - phi.square().sum(1)).clamp_min(0).sqrt()[:, None]
    source = torch.Generator().manual_seed(5)
    wrong = []
    for _ in range(300):
        noise = torch.randn(400, generator=source)
        head = posterior.coordinates(noise, 0).reshape(10, 40)
        logits = phi @ head.T + unknown * torch.randn(len(phi), 10, generator=source)
        wrong.append((logits.argmax(1) != labels).float().mean().item())
    bound = bound_of(report, POSTERIOR)
    assert bound["terms"]["empirical_risk_upper"] == pytest.approx(sum(wrong) / 300, abs=0.03)
    assert bound["value"] < 1
    assert line_of(bound, "landmarks")["status"] == "declared"


def line_of(bound: dict, statement: str) -> dict:
    return next(one for one in bound["assumptions"] if statement in one["statement"])
