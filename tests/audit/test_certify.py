"""Certificates of a run on digits: what is counted, and what is found to be violated."""

import json

import pytest

HOLDOUT, OCCAM, GIBBS = "holdout.clopper_pearson", "compression.occam", "pac_bayes.kl"


@pytest.fixture
def report(digits_report):
    return digits_report


def test_every_certificate_stands_in_the_report(report):
    theorems = [one["theorem"] for one in report["results"]["certificates"]]
    assert theorems == [HOLDOUT, OCCAM, GIBBS]
    best = min(report["results"]["certificates"], key=lambda one: one["risk_upper"])
    assert report["results"]["best"] == best["theorem"] == report["headline"]["theorem"]
    assert report["headline"]["value"] == best["risk_upper"]
    assert report["headline"]["delta"] * 3 <= 0.05


def test_the_shares_of_delta_add_up(report, bound_of):
    spent = 0.0
    for theorem in (HOLDOUT, OCCAM, GIBBS):
        terms = bound_of(report, theorem)["terms"]
        spent += terms["delta"] + terms.get("delta_monte_carlo", 0.0)
    assert spent <= 0.05
    assert spent == pytest.approx(0.05, rel=1e-12)


def test_the_report_verifies(report, tmp_path, invoke, bound_of):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert invoke("verify", path).exit_code == 0
    tampered = json.loads(json.dumps(report))
    bound_of(tampered, GIBBS)["terms"]["errors"] -= 1
    path.write_text(json.dumps(tampered))
    assert invoke("verify", path).exit_code == 1
    tampered = json.loads(json.dumps(report))
    tampered["results"]["verdict"] = "PAC-Bayes wins."
    path.write_text(json.dumps(tampered))
    assert invoke("verify", path).exit_code == 1
    for name in ("risk_upper", "examples"):
        tampered = json.loads(json.dumps(report))
        tampered["results"]["certificates"][0][name] *= 0.5
        path.write_text(json.dumps(tampered))
        assert invoke("verify", path).exit_code == 1


def test_m_above_the_examples_used_withholds_the_certificate(
    digits_run, certify, bound_of, line_of
):
    report = certify(digits_run, "--m", "1300", "--sigma", "0.3")
    for theorem in (OCCAM, GIBBS):
        bound = bound_of(report, theorem)
        assert bound["status"] == "not_applicable"
        assert line_of(bound, "m is the number")["status"] == "violated"
    assert report["headline"]["theorem"] == HOLDOUT


@pytest.mark.parametrize(("command", "theorem"), [("pacbayes", GIBBS), ("compress-bound", OCCAM)])
def test_data_adds_the_certificate_to_its_command(digits_run, command, theorem, invoke, bound_of):
    words = ("--draws", "2000", "--sigma", "0.3") if command == "pacbayes" else ("--b", "8")
    result = invoke(command, digits_run, "--data", "digits", "-q", "--json", *words)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["headline"]["theorem"] == theorem
    assert bound_of(report, theorem)["value"] <= 1
