"""``dlgen certify`` of what was evaluated elsewhere."""

import json

import pytest
import scipy.stats
from typer.testing import CliRunner

from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.cli.app import app
from dlgen_cli.verification import verify


def certify(*words):
    return CliRunner().invoke(app, ["certify", *map(str, words), "--json"])


def report_of(*words):
    result = certify(*words)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert verify(Fields(report)).mismatches == ()
    return report


def test_errors_on_examples_are_the_exact_limit():
    headline = report_of("--errors", 12, "--examples", 1000)["headline"]
    assert headline["value"] == pytest.approx(scipy.stats.beta.ppf(0.95, 13, 988), rel=1e-10)
    assert headline["status"] == "holds"
    many = report_of("--errors", 10**6, "--examples", 10**9)["headline"]
    assert 1e-3 < many["value"] < 1.01e-3


def test_a_choice_is_paid_for():
    bound = report_of("--errors", 12, "--examples", 1000, "--nats", 4.5)["bounds"][0]
    assert bound["theorem"] == "compression.occam"
    exact = scipy.stats.beta.isf(0.05 * 2.718281828459045**-4.5, 13, 988)
    assert bound["value"] == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("terms", "union_nats", 0.0),
        ("terms", "errors", 3),
        ("settings", "nats", 0.5),
        ("settings", "errors", 3),
    ],
)
def test_a_changed_count_or_price_does_not_verify(part, name, value):
    report = report_of("--errors", 12, "--examples", 1000, "--nats", 4.5)
    (report if part == "settings" else report["bounds"][0])[part][name] = value
    assert verify(Fields(report)).mismatches


def test_a_losing_split_cannot_be_left_out(tmp_path):
    (tmp_path / "p.csv").write_text("loss,split\n" + "0,train\n" * 300 + "0,test\n" * 200)
    report = report_of("--predictions", tmp_path / "p.csv", "--nats", 2)
    del report["bounds"][0]
    assert verify(Fields(report)).mismatches


def test_scores_and_groups_are_bounded_by_betting(tmp_path):
    (tmp_path / "p.csv").write_text(
        "loss,group\n" + "\n".join(f"0.25,{i // 4}" for i in range(400))
    )
    bound = report_of("--predictions", tmp_path / "p.csv")["bounds"][0]
    assert (bound["theorem"], bound["terms"]["examples"]) == ("mean.betting", 100)
    assert 0.25 < bound["value"] < 0.32
    again = report_of("--predictions", tmp_path / "p.csv", "--nats", 5)["bounds"][0]
    assert again["value"] > bound["value"]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--errors", 3),
        ("--examples", 10),
        ("--errors", 3, "--examples", 10, "--data", "digits"),
        ("--errors", 3, "--examples", 10, "--predictions", "p.csv"),
        ("x.safetensors",),
        ("--data", "digits"),
        ("--errors", 3, "--examples", 10, "--nats", -1),
        ("--errors", 3, "--examples", 10, "--delta", 0),
        ("x.safetensors", "--data", "digits", "--nats", 1),
    ],
)
def test_what_does_not_fit_together_is_refused(words):
    result = certify(*words)
    assert result.exit_code == 2
    assert len(json.loads(result.stdout)["errors"]) == 1
