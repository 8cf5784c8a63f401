"""A sound report matches; a report with any number changed does not."""

import copy
import json
import math
import random
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dlgen_cli import bounds
from dlgen_cli.bounds.assumptions import assumed
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.cli.app import app
from dlgen_cli.errors import ReportFileError
from dlgen_cli.records import Report
from dlgen_cli.render import render_text
from dlgen_cli.verification import read_report, verify

#: Numbers that no bound and no other number of a report is made of: how many parameters the
#: checkpoint has beside those of its layers, and the sizes of the files of `dlgen compress`.
INFORMATIONAL = {
    ("settings", "tolerance"),
    ("provenance", "parameters"),
    ("provenance", "coverage", "parameters"),
    ("provenance", "coverage", "of"),
    ("provenance", "coverage", "left_out"),
    ("provenance", "recorded_errors", "classes"),
    ("provenance", "recorded_errors", "examples"),
    ("provenance", "recorded_errors", "altered"),
    ("provenance", "recorded_errors", "training_errors"),
    ("provenance", "recorded_errors", "test_examples"),
    ("provenance", "recorded_errors", "test_errors"),
    ("results", "bytes_before"),
    ("results", "bytes_after"),
}
#: Of the sweep over 64 ranks, these rows stand for all: its ends and the best.
SWEEP_ROWS = {0, 7, 63}


def report_of(*words):
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code == 0, result.stderr
    return of_first_schema(json.loads(result.stdout))


def of_first_schema(report):
    """One bound is then enough for a report, and nothing but its own numbers is asked.

    What the second schema asks of a whole report stands in ``test_tampering.py``.
    """
    report["schema_version"] = "1"
    headline = report.get("headline") or {}
    for one in (*report["bounds"], *([headline] if headline else [])):
        one["status"] = {"conditional": "holds"}.get(one.get("status"), one.get("status"))
    headline.pop("status", None)
    return report


@pytest.fixture(scope="module")
def audited(request):
    root = request.config.rootpath / "fixtures"
    anchors = ["--anchors", root / "anchors.pt", "--sigma", "0.1", "--sigma", "0.5"]
    return report_of("audit", root / "digits-mlp", "--r", 8, "--b", 8, "--margin", 2, *anchors)


@pytest.fixture(scope="module")
def certified():
    """The theorems about the risk, as a report."""
    lines = [assumed("The examples are independent draws.", "Nothing can check it.")]
    anchors = [
        bounds.Anchor(name="a", squared_distance_upper=2.5, contributions=[("x", 1.0), ("y", 1.5)]),
        bounds.Anchor(name="b", squared_distance_upper=9.0, contributions=[("x", 4.0), ("y", 5.0)]),
    ]
    samples = [
        bounds.GibbsSample(sigma=0.1, draws=1000, trials=1000, errors=31),
        bounds.GibbsSample(sigma=0.2, draws=50, trials=50_000, errors=1931),
    ]
    counts = {"draws": 2000, "trials": 2000}
    posteriors = [
        bounds.Posterior(
            name="as trained",
            distance_nats_upper=800.5,
            spread_nats_upper=31.5,
            risk=bounds.DrawnErrors(errors=310, **counts),
        ),
        bounds.Posterior(
            name="half way",
            distance_nats_upper=200.25,
            spread_nats_upper=31.5,
            risk=bounds.DrawnErrors(errors=610, **counts),
        ),
    ]
    found = [
        bounds.occam(4000.5, 120, 9000, 0.05, union_nats=7.25, assumptions=lines),
        bounds.kl_risk(anchors, samples, 9000, 0.04, 0.01, lines),
        bounds.posterior_risk(posteriors, 9000, 0.04, 0.01, choice_nats=4.5, assumptions=lines),
        bounds.clopper_pearson(23, 500, 0.05, lines),
    ]
    report = Report(
        dlgen_version="0",
        command="audit",
        settings={"delta": 0.05, "sigma": [0.1, 0.2]},
        bounds=found,
    )
    return of_first_schema(json.loads(render_text(report, "json")))


def mismatches(report):
    return [one.where for one in verify(Fields(report)).mismatches]


def leaves(tree, path=()):
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from leaves(value, (*path, name))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from leaves(value, (*path, index))
    else:
        yield path, tree


def numbers_of(report):
    for path, value in leaves(report):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        in_sweep = "sweep" in path and path[path.index("sweep") + 1] not in SWEEP_ROWS
        if is_number and not in_sweep and path not in INFORMATIONAL and "shape" not in path[4:]:
            yield path, value


def changed(report, path, value):
    """The report with one leaf changed; of the bounds, only the one that it belongs to."""
    report = dict(report)
    if path[0] == "bounds":
        report.pop("headline", None)
        report["bounds"], path = [report["bounds"][path[1]]], ("bounds", 0, *path[2:])
    report = copy.deepcopy(report)
    inner = report
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return report


def assert_every_number_counts(report):
    assert mismatches(report) == []
    unseen = []
    for path, value in numbers_of(report):
        up, down = (
            (value + 1, value - 1)
            if isinstance(value, int)
            else (value * (1 + 1e-4) + 1e-4, value * (1 - 1e-4) - 1e-4)
        )
        unseen += [path for other in (up, down) if not mismatches(changed(report, path, other))]
    assert unseen == []


def test_every_number_of_an_audit_counts(audited):
    assert len(audited["bounds"]) == 10
    assert_every_number_counts(audited)


def test_every_number_of_a_risk_counts(certified):
    assert_every_number_counts(certified)


@pytest.mark.parametrize("command", ["compress-bound", "compress"])
def test_every_number_of_a_chain_with_biases_counts(command, tmp_path):
    import torch

    torch.manual_seed(0)
    shapes = {"a.weight": (9, 7), "a.bias": (9,), "b.weight": (5, 9), "b.bias": (5,)}
    torch.save({name: torch.randn(*shape) for name, shape in shapes.items()}, tmp_path / "c.pt")
    words = ["--b", "auto"]
    if command == "compress":
        words += ["--out", str(tmp_path / "small.safetensors")]
    assert_every_number_counts(report_of(command, tmp_path / "c.pt", *words))


def test_an_adapter_counts_the_entries_of_its_factors(tmp_path):
    import torch

    factors = {"l.lora_A.weight": torch.ones(2, 9), "l.lora_B.weight": torch.ones(5, 2)}
    torch.save({"a.weight": torch.eye(4), **factors}, tmp_path / "c.pt")
    report = report_of("compress-bound", tmp_path / "c.pt")
    assert [layer["parameters"] for layer in report["layers"]] == [16, 28]
    assert mismatches(report) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("bounds", 4, "status"), "vacuous"),
        (("bounds", 4, "theorem"), "pac_bayes.pinsker"),
        (("bounds", 4, "theorem"), "pac_bayes.best"),
        (("bounds", 4, "title"), "A certificate"),
        (("bounds", 4, "source"), ""),
        (("bounds", 4, "value"), None),
        (("bounds", 4, "terms", "anchors"), []),
        (("bounds", 4, "assumptions", 0, "status"), "violated"),
        (("bounds", 4, "assumptions", 0, "status"), "certain"),
        (("bounds", 9, "assumptions", -1, "status"), "assumed"),
        (("bounds", 9, "assumptions"), []),
        (("bounds", 0, "terms", "network", "nodes", 2, "kind"), "lipschitz"),
        (("bounds", 0, "terms", "network", "nodes", 2, "inputs"), ["x", "x"]),
        (("bounds", 0, "terms", "network", "nodes", 2, "inputs"), ["nowhere"]),
        (("headline", "theorem"), "compression.stored"),
        (("headline", "candidates"), ["pac_bayes.pinsker"]),
    ],
)
def test_changed_words_are_seen(audited, path, value):
    assert mismatches(changed(audited, path, value))


def test_a_missing_term_is_seen(audited, certified):
    for report in (audited, certified):
        for index, bound in enumerate(report["bounds"]):
            for name in bound["terms"]:
                less = changed(report, ("bounds", index, "title"), bound["title"])
                del less["bounds"][0]["terms"][name]
                assert mismatches(less), (bound["theorem"], name)


def test_a_violated_line_withholds_the_bound(certified):
    for index, bound in enumerate(certified["bounds"]):
        path = ("bounds", index, "assumptions", 0, "status")
        tampered = changed(certified, path, "violated")
        assert "bounds[0].value" in mismatches(tampered), bound["theorem"]


WEIRD = [None, True, "x", "", [], {}, [1], -1, 0, 0.5, 2**70, 1e308, -1e308, 5e-324]


def test_anything_in_any_place_is_a_finding_and_no_crash(audited, certified):
    draw = random.Random(0)
    places = [(report, *leaf) for report in (audited, certified) for leaf in leaves(report)]
    for _ in range(500):
        report, path, value = draw.choice(places)
        least = 3 if path[0] == "bounds" else 1
        other = draw.choice(WEIRD)
        found = mismatches(changed(report, path[: draw.randint(least, len(path))], other))
        is_number = isinstance(value, int | float) and other != value
        assert found or path[0] != "bounds" or not is_number, (path, other)


def test_shares_of_delta_are_checked(audited):
    for name, delta in (("delta", 0.1), ("delta", 0.01)):
        assert mismatches(changed(audited, ("settings", name), delta))
    halved = copy.deepcopy(audited)
    halved["headline"]["delta"] /= 2
    assert "headline.delta" in mismatches(halved)


def test_what_is_not_a_report_is_refused(tmp_path, audited):
    path = tmp_path / "report.json"
    with pytest.raises(ReportFileError, match="cannot be read"):
        read_report(path)
    cases = {
        "": "no JSON",
        "[1, 2": "no JSON",
        '{"a": NaN}': "NaN",
        "[" * 100_000: "no JSON",
        "[]": "no report",
        '{"bounds": []}': "no report",
        json.dumps({**audited, "schema_version": "9"}): "schema",
        json.dumps({**audited, "status": "error"}): "failure",
        json.dumps({**audited, "bounds": []}): "no bound",
    }
    for content, message in cases.items():
        path.write_text(content)
        with pytest.raises(ReportFileError, match=message):
            read_report(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReportFileError, match="no JSON"):
        read_report(path)


def test_it_needs_no_tensors(tmp_path, audited):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(audited))
    program = (
        "import sys\n"
        "for name in ('torch', 'numpy', 'scipy', 'safetensors'): sys.modules[name] = None\n"
        "from dlgen_cli.__main__ import main\n"
        f"sys.argv = ['dlgen', 'verify', {str(path)!r}]\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "match" in done.stdout


def test_values_are_the_same_to_the_last_bit(audited):
    value = audited["bounds"][6]["value"]
    for other in (math.nextafter(value, 0.0), math.nextafter(value, 2.0)):
        assert "bounds[0].value" in mismatches(changed(audited, ("bounds", 6, "value"), other))
