"""Every way to make a report say more than it may is seen."""

import copy
import importlib.util
import json
import math
from dataclasses import asdict

import pytest
import torch
from typer.testing import CliRunner

from dlgen_cli import bounds
from dlgen_cli.bounds.assumptions import declared
from dlgen_cli.bounds.recorded_fields import Fields, read_assumptions
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.bounds.verdict import verdict
from dlgen_cli.cli.app import app
from dlgen_cli.evidence.ledger import shared
from dlgen_cli.evidence.ledger.posterior import (
    prior_deviations_line,
    prior_mean_line,
    random_predictor_line,
    tried_line,
)
from dlgen_cli.evidence.ledger.provenance import holdout_lines
from dlgen_cli.evidence.plan import best_of
from dlgen_cli.networks import activations
from dlgen_cli.records import Provenance, Report
from dlgen_cli.render import render_text
from dlgen_cli.render.formats.json_text import plain
from dlgen_cli.verification import verify
from dlgen_cli.verification.ledger import check_ledger
from dlgen_cli.verification.nodes import POINTWISE

HOLDOUT, OCCAM, KL = "holdout.clopper_pearson", "compression.occam", "pac_bayes.kl"
SISTERS = ("pac_bayes.anchors", "pac_bayes.mixture", "pac_bayes.pinsker")


def report_of(*words):
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def root_of(request):
    return request.config.rootpath / "fixtures"


@pytest.fixture(scope="module")
def certified(request):
    words = ("--data", "digits", "--sigma", 0.3, "--draws", 500, "--b", "auto", "-q")
    return report_of("certify", root_of(request) / "digits-mlp", *words)


@pytest.fixture(scope="module")
def audited(request):
    root = root_of(request)
    words = ("--anchors", root / "anchors.pt", "--sigma", 0.5, "--r", 3, "--b", 8)
    return report_of("audit", root / "digits-mlp", *words)


@pytest.fixture
def certificate(certified):
    return copy.deepcopy(certified)


@pytest.fixture
def audit(audited):
    return copy.deepcopy(audited)


def bound_of(report, theorem):
    return next(one for one in report["bounds"] if one["theorem"] == theorem)


def anew(report, theorem, **terms):
    """Change terms of a bound and evaluate it again, so that it agrees with itself."""
    bound = bound_of(report, theorem)
    bound["terms"] |= terms
    lines = read_assumptions(Fields(bound))
    found = THEOREMS[theorem].recompute(Fields(bound["terms"]), bound["terms"]["delta"], lines)
    bound.update({name: plain(value) for name, value in asdict(found).items()})
    bound["assumptions"] = bound["assumptions"][: len(lines)]
    if "certificates" in (report.get("results") or {}):
        for row in report["results"]["certificates"]:
            if row["theorem"] == theorem:
                row["risk_upper"], row["examples"] = bound["value"], bound["terms"]["examples"]
    if report["headline"]["theorem"] == theorem:
        report["headline"] |= {"value": bound["value"], "log10_value": bound["log10_value"]}
    return bound


def places(report):
    return [one.where for one in verify(Fields(report)).mismatches]


def test_they_are_sound_before(certified, audited):
    assert places(certified) == []
    assert places(audited) == []


def test_losing_certificates_cannot_leave(certificate):
    report = certificate
    report["bounds"] = [one for one in report["bounds"] if one["theorem"] not in (OCCAM, KL)]
    rows = report["results"]["certificates"]
    report["results"]["certificates"] = [one for one in rows if one["theorem"] == HOLDOUT]
    report["headline"] |= {"delta": 0.05, "candidates": [HOLDOUT]}
    anew(report, HOLDOUT, delta=0.05)
    assert report["headline"]["value"] < 0.06
    assert {"bounds", "headline.candidates"} <= set(places(report))


def test_candidates_cannot_be_cut(certificate, audit):
    for report in (certificate, audit):
        report["headline"]["candidates"] = [report["headline"]["theorem"]]
        assert "headline.candidates" in places(report)


def test_the_headlines_share_cannot_be_lowered(certificate, audit):
    for report in (certificate, audit):
        report["headline"]["delta"] /= 2
        assert "headline.delta" in places(report)


def test_a_theorem_that_does_not_compete_is_no_headline(audit):
    bound = bound_of(audit, "rademacher.expected")
    audit["headline"] = {
        "theorem": bound["theorem"],
        "value": bound["value"],
        "log10_value": bound["log10_value"],
        "delta": 0.05,
        "candidates": [bound["theorem"]],
        "status": bound["status"],
    }
    assert "headline.candidates" in places(audit)


def test_a_headline_cannot_be_left_out(certificate):
    del certificate["headline"]
    certificate["results"]["best"] = None
    assert "headline" in places(certificate)


def test_the_union_of_a_code_is_paid(certificate):
    anew(certificate, OCCAM, union_nats=0.0)
    assert f"bounds[{index_of(certificate, OCCAM)}].terms.union_nats" in places(certificate)


def index_of(report, theorem):
    return [one["theorem"] for one in report["bounds"]].index(theorem)


def test_the_widths_of_auto_are_paid(certificate):
    anew(certificate, "compression.stored", widths=1)
    found = places(certificate)
    assert f"bounds[{index_of(certificate, 'compression.stored')}].terms.widths" in found


def test_draws_are_those_of_the_settings(certificate):
    terms = bound_of(certificate, KL)["terms"]
    for row in (terms, *terms["sigmas"]):
        row["draws"] *= 10
        row["trials"] *= 10
        row["errors"] *= 10
    anew(certificate, KL)
    assert any(one.endswith("sigmas[0].draws") for one in places(certificate))


@pytest.mark.parametrize("theorem", [OCCAM, KL])
def test_m_is_the_number_that_the_ledger_names(certificate, theorem):
    terms = bound_of(certificate, theorem)["terms"]
    anew(certificate, theorem, examples=terms["examples"] - 300)
    assert places(certificate)
    certificate["settings"]["m"] = 10**6
    anew(certificate, theorem, examples=10**6)
    assert any("assumptions" in one or "examples" in one for one in places(certificate))


@pytest.mark.parametrize("theorem", SISTERS)
def test_sisters_are_at_the_same_distance(audit, theorem):
    anchors = bound_of(audit, theorem)["terms"]["anchors"]
    anchors[0]["squared_distance_upper"] /= 4
    for row in anchors[0]["layers"]:
        row["squared_distance"] /= 4
    anew(audit, theorem)
    assert any(one.endswith("terms.anchors") for one in places(audit))


def test_an_anchor_cannot_be_dropped(audit):
    for theorem in SISTERS:
        bound = bound_of(audit, theorem)
        bound["terms"]["anchors"] = bound["terms"]["anchors"][:1]
        anew(audit, theorem)
    assert any(one.endswith("terms.anchors") for one in places(audit))


def test_a_relu_has_no_spread(audit):
    for theorem in ("compression.all_ranks", "compression.layer_ranks", "compression.fixed_rank"):
        for node in bound_of(audit, theorem)["terms"]["network"]["nodes"]:
            if node["operation"] == "relu":
                node["spread_upper"] = 1e-9
    assert any(one.endswith("spread_upper") for one in places(audit))


def test_the_constants_of_functions_are_those_that_networks_have():
    assert set(POINTWISE) == set(activations.FIXED)
    for name, one in activations.FIXED.items():
        facts = (one.slope_upper, one.at_zero_upper, one.largest_upper, one.spread_upper)
        assert POINTWISE[name] == facts


OWN = {"rademacher.expected": 3, "rademacher.markov": 3, "rademacher.printed": 5}


def test_no_line_of_a_ledger_can_leave_or_be_upgraded(certificate, audit):
    unseen = []
    for report in (certificate, audit):
        whole = Fields(report)
        for row, bound in zip(whole.rows("bounds"), report["bounds"], strict=True):
            own, lines = OWN.get(bound["theorem"], 0), bound["assumptions"]
            assert not list(check_ledger(row, whole, own))
            for index, line in enumerate(lines[: len(lines) - own]):
                del lines[index]
                seen = list(check_ledger(row, whole, own))
                unseen += [] if seen else [(bound["theorem"], line["statement"], "left")]
                lines.insert(index, line)
                for status in {"verified", "declared", "assumed"} - {line["status"]}:
                    was, line["status"] = line["status"], status
                    seen = list(check_ledger(row, whole, own))
                    unseen += [] if seen else [(bound["theorem"], line["statement"], status)]
                    line["status"] = was
    assert unseen == []


def posterior_report(tried=4):
    """A certificate of a trained posterior, from records, with the ledger's own lines."""
    facts = {"name": "a.pt", "sha256": "0" * 64, "examples": 0, "origin": "declared"}
    nats = [2 * math.log(49) * (1 + 1e-15), math.log(tried) * (1 + 1e-15)]
    lines = [
        shared.count_line(None, 9000),
        shared.declared_sample_line("digits", 9000, 0),
        declared(
            "The network computes what its traced graph says.",
            "--arch mlp was given, and its tensors fit: 2 layers, a to b.",
        ),
        prior_mean_line(facts, 9000, ""),
        prior_deviations_line(2, 49, nats[0]),
        tried_line(tried, 0.0),
        random_predictor_line(),
        shared.draws_line(2000),
    ]
    one = bounds.Posterior(
        name="as trained",
        distance_nats_upper=800.5,
        spread_nats_upper=31.5,
        risk=bounds.DrawnErrors(errors=310, draws=2000, trials=2000),
    )
    risk = bounds.posterior_risk([one], 9000, 0.02, 0.005, choice_nats=sum(nats), assumptions=lines)
    held = holdout_lines("test", 500, 0, 0, "What trained it is not on record.")
    holdout = bounds.clopper_pearson(23, 500, 0.025, held)
    rows = [
        {
            "theorem": bound.theorem,
            "risk_upper": bound.value,
            "status": bound.status,
            "empirical_risk": bound.terms["empirical_risk"],
            "examples": bound.terms["examples"],
        }
        for bound in (holdout, risk)
    ]
    report = Report(
        dlgen_version="0",
        command="certify",
        provenance=Provenance(
            checkpoint="q.pt",
            format="torch",
            sha256="0" * 64,
            architecture="mlp",
            structure="graph",
            parameters=1000,
        ),
        settings={
            "m": 9000,
            "delta": 0.05,
            "data": "digits",
            "draws": 2000,
            "delta_monte_carlo": None,
            "shrink": [1.0],
            "tried": tried,
            "tried_nats": 0.0,
            "seed": 0,
            "arch": "mlp",
        },
        bounds=[holdout, risk],
        headline=best_of([holdout, risk], 0.025, [holdout.theorem, risk.theorem]),
        results={
            "sample_examples": 9000,
            "certificates": rows,
            "best": holdout.theorem,
            "verdict": verdict({one.theorem: one.value for one in (holdout, risk)}),
            "coordinates": [
                {"name": "a", "distance_nats_upper": 800.0, "spread_nats_upper": 31.5},
                {"name": "b", "distance_nats_upper": 0.5, "spread_nats_upper": 0.0},
            ],
        },
    )
    return json.loads(render_text(report, "json"))


def test_what_was_tried_is_paid():
    assert places(posterior_report()) == []
    report = posterior_report()
    report["settings"]["tried"] = 64
    assert places(report)
    lines = bound_of(report, "pac_bayes.posterior")["assumptions"]
    lines[5] = asdict(tried_line(64, 0.0))
    assert "bounds[1].terms.choice_nats" in places(report)


def test_the_choice_of_a_prior_is_paid():
    report = posterior_report()
    anew(report, "pac_bayes.posterior", choice_nats=0.0)
    assert "bounds[1].terms.choice_nats" in places(report)


def fuzzer(root):
    path = root / "benchmarks" / "fuzz_reports.py"
    spec = importlib.util.spec_from_file_location("fuzz_reports", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("command", ["rademacher", "compress-bound", "certify"])
def test_every_leaf_counts_or_is_informational(command, request, tmp_path):
    """One leaf in some; ``benchmarks/fuzz_reports.py`` changes them all."""
    root = request.config.rootpath
    if command == "certify":
        report, every = posterior_report(), 5
    elif command == "rademacher":
        report, every = report_of(command, root / "fixtures" / "digits-mlp"), 5
    else:
        state = {"a.weight": torch.eye(5, 3), "a.bias": torch.ones(5), "b.weight": torch.eye(4, 5)}
        torch.save(state, tmp_path / "c.pt")
        report, every = report_of(command, tmp_path / "c.pt", "--b", "auto", "--r", 2), 13
    assert fuzzer(root).unseen(report, every=every, first=2) == []
