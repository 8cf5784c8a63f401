"""The commands that audit: envelope, terms, layers, gate, errors."""

import pytest
import torch
from reports import strict_json
from safetensors.torch import load_file
from typer.testing import CliRunner

from dlgen_cli.cli.app import app

ENVELOPE = [
    "schema_version",
    "dlgen_version",
    "command",
    "status",
    "provenance",
    "settings",
    "layers",
    "skipped",
    "bounds",
]


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


COMMANDS = {
    "spectra": ["--r", "4", "--singular-values"],
    "compress-bound": ["--r", "4", "--b", "8"],
    "pacbayes": ["--sigma", "0.1", "--sigma", "0.2"],
    "rademacher": ["--epsilon", "1e-6"],
    "audit": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_the_envelope_and_nothing_else(command, digits_mlp):
    result = run(command, digits_mlp, *COMMANDS[command], "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    envelope = strict_json(result.stdout)
    assert list(envelope)[: len(ENVELOPE)] == ENVELOPE
    assert envelope["status"] == "success"
    assert envelope["command"] == command
    assert envelope["errors"] == []
    coverage = {"coverage"} if envelope["layers"] else set()
    assert set(envelope["provenance"]) == coverage | {
        "checkpoint",
        "format",
        "sha256",
        "architecture",
        "recorded_errors",
        "structure",
        "parameters",
    }


REQUIRED_TERMS = {
    "compression.fixed_rank": {"rank", "bits", "complexity", "distance", "approximation"},
    "compression.all_ranks": {
        "rank",
        "bits",
        "complexity",
        "distance",
        "approximation",
        "sweep",
        "log10_distance",
        "log10_approximation",
    },
    "compression.layer_ranks": {"ranks", "bits", "complexity", "distance", "approximation"},
    "compression.stored": {
        "ranks",
        "bits",
        "complexity",
        "distance",
        "approximation",
        "layer_error_upper",
    },
    "pac_bayes.anchors": {"kl_nats", "sigma", "anchors"},
    "pac_bayes.mixture": {"kl_nats", "sigma", "anchors"},
    "pac_bayes.pinsker": {"kl_nats", "sigma", "anchors"},
    "rademacher.printed": {"shell", "volume", "linf_norm", "parameters", "epsilon", "deviation"},
    "rademacher.markov": {"shell", "volume", "linf_norm", "parameters", "epsilon", "deviation"},
    "rademacher.expected": {"shell", "volume", "linf_norm", "parameters", "epsilon", "deviation"},
}


def test_terms_hold_at_least_what_the_contract_says(digits_mlp, anchors_file):
    result = run("audit", digits_mlp, "--anchors", anchors_file, "--r", 4, "--json")
    bounds = {one["theorem"]: one for one in strict_json(result.stdout)["bounds"]}
    assert set(bounds) == set(REQUIRED_TERMS)
    for theorem, terms in REQUIRED_TERMS.items():
        assert terms <= set(bounds[theorem]["terms"]), theorem
        assert bounds[theorem]["assumptions"]
        assert bounds[theorem]["source"]
    assert len(bounds["compression.all_ranks"]["terms"]["sweep"]) == 64
    for anchor in bounds["pac_bayes.anchors"]["terms"]["anchors"]:
        assert {"name", "distance", "kl_nats", "value"} <= set(anchor)


def test_layers_carry_brackets_and_truncation(digits_mlp):
    result = run("spectra", digits_mlp, "--r", 5, "--json", "--singular-values")
    weights = load_file(digits_mlp / "model.safetensors")
    for layer in strict_json(result.stdout)["layers"]:
        values = torch.linalg.svdvals(weights[layer["name"]].double()).tolist()
        assert layer["spectral_norm"]["lower"] <= values[0] * (1 + 1e-12)
        assert layer["spectral_norm"]["upper"] >= values[0] * (1 - 1e-12)
        assert layer["truncation"]["error_upper"] == pytest.approx(values[5], rel=1e-9)
        assert layer["singular_values"]["upper"] == pytest.approx(values, rel=1e-6)


def test_the_plot_is_written_or_refused(tmp_path, digits_mlp):
    assert run("compress-bound", digits_mlp, "--plot", tmp_path / "sweep.png").exit_code == 0
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    torch.save({"a.weight": torch.eye(3), "v": torch.ones(2)}, tmp_path / "x.pt")
    result = run("compress-bound", tmp_path / "x.pt", "--plot", tmp_path / "none.png")
    assert result.exit_code == 2
    assert not (tmp_path / "none.png").exists()


def test_the_gate(digits_mlp):
    words = ["pacbayes", digits_mlp, "--sigma", "0.5", "--json", "--fail-above"]
    assert run(*words, "0.9").exit_code == 0
    failed = run(*words, "0.1")
    assert failed.exit_code == 1
    assert strict_json(failed.stdout)["status"] == "success"
    assert "--fail-above" in failed.stderr
    assert run("audit", digits_mlp, "--m", 9999, "--json", "--fail-above", 1).exit_code == 1


def test_the_gate_takes_what_is_assumed_only_where_that_is_accepted(tmp_path):
    for name, scale in (("a", 0.0), ("b", 1e-3)):
        torch.save({"x.weight": torch.eye(4) + scale}, tmp_path / f"{name}.pt")
    words = ["pacbayes", tmp_path / "a.pt", "--anchors", tmp_path / "b.pt", "--sigma", 1, "--json"]
    failed = run(*words, "--fail-above", 0.9)
    headline = strict_json(failed.stdout)["headline"]
    assert headline["value"] < 0.9
    assert headline["status"] == "conditional"  # nobody said how many examples there are
    assert failed.exit_code == 1
    assert "--accept-assumed" in failed.stderr
    assert run(*words, "--fail-above", 0.9, "--accept-assumed").exit_code == 0
    assert run(*words, "--fail-above", 0.9, "--m", 50_000).exit_code == 0


def test_the_shells_are_never_a_headline_nor_more_than_conditional(digits_mlp):
    found = run("rademacher", digits_mlp, "--json", "--fail-above", 1, "--accept-assumed")
    assert found.exit_code == 1
    report = strict_json(found.stdout)
    assert report["headline"] is None
    assert "never stands for a report" in report["headline_reason"]
    statuses = {one["theorem"]: one["status"] for one in report["bounds"]}
    assert statuses["rademacher.expected"] == "conditional"
    assert "holds" not in statuses.values()


BAD_INPUT = [
    (["spectra", "nowhere.pt"], "checkpoint", "nowhere.pt"),
    (["compress-bound", "CKPT", "--b", "0"], "usage", "b is 0"),
    (["compress-bound", "CKPT", "--r", "0"], "usage", "r is 0"),
    (["compress-bound", "CKPT", "--delta", "0"], "usage", "delta"),
    (["compress-bound", "CKPT", "--delta", "1"], "usage", "delta"),
    (["compress-bound", "CKPT", "--m", "1"], "usage", "m is 1"),
    (["compress-bound", "CKPT", "--margin", "0"], "usage", "margin"),
    (["compress-bound", "CKPT", "--gamma", "nan"], "usage", "gamma"),
    (["compress-bound", "CKPT", "--radius", "inf"], "usage", "radius"),
    (["pacbayes", "CKPT", "--sigma", "0"], "usage", "sigma"),
    (["pacbayes", "CKPT", "--anchors", "nowhere.pt"], "checkpoint", "nowhere.pt"),
    (["rademacher", "CKPT", "--epsilon", "0.6"], "usage", "epsilon"),
    (["spectra", "CKPT", "--include", "nothing*"], "checkpoint", "--include"),
    (["spectra", "CKPT", "--device", "abacus"], "usage", "abacus"),
    (["compress-bound", "CKPT", "--fail-above", "nan"], "usage", "--fail-above"),
    (["spectra"], "usage", "CKPT"),
    (["spectra", "CKPT", "--m", "many"], "usage", "--m"),
    (["spectra", "CKPT", "--nonsense"], "usage", "--nonsense"),
    (["nonsense"], "usage", "nonsense"),
    (["spectra", "CKPT", "--output", "/nowhere/at/all.json"], "output", "at/all.json"),
]


@pytest.mark.parametrize(("words", "code", "says"), BAD_INPUT)
def test_bad_input_is_one_clear_line_and_exit_two(words, code, says, digits_mlp):
    words = [digits_mlp if word == "CKPT" else word for word in words]
    plain = run(*words)
    assert plain.exit_code == 2
    assert plain.stdout == ""
    assert plain.stderr.startswith("error: ")
    assert plain.stderr.count("\n") == 1
    assert says in plain.stderr
    as_json = run(*words, "--json")
    assert as_json.exit_code == 2
    envelope = strict_json(as_json.stdout)
    assert envelope["status"] == "error"
    assert envelope["errors"][0]["code"] == code
    assert set(envelope["errors"][0]) == {"code", "message", "remedy"}


def test_a_network_of_ones_own_with_its_arguments_is_audited_and_verified(tmp_path):
    import own_networks

    module = own_networks.make_classifier([6, 5, 4], activation="Tanh")
    torch.save(module.state_dict(), tmp_path / "own.pt")
    arch = f"{own_networks.__file__}:make_classifier"
    words = ["--arch-arg", "widths=[6, 5, 4]", "--arch-arg", "activation=Tanh", "--input-shape", 6]
    path = tmp_path / "r.json"
    found = run("compress-bound", tmp_path / "own.pt", "--arch", arch, *words, "--output", path)
    assert found.exit_code == 0, found.stderr
    report = strict_json(path.read_text())
    assert report["provenance"]["architecture"] == arch
    assert report["provenance"]["structure"] == "graph"
    assert report["settings"]["arch_arg"] == {"widths": [6, 5, 4], "activation": "Tanh"}
    assert run("verify", path).exit_code == 0


@pytest.mark.parametrize("given", [["width"], ["=3"], ["a=1", "a=2"]])
def test_an_argument_of_the_architecture_that_cannot_be_read_is_refused(digits_mlp, given):
    words = [word for one in given for word in ("--arch-arg", one)]
    found = run("spectra", digits_mlp, "--arch", "mlp", *words)
    assert found.exit_code == 2
    assert "--arch-arg" in found.stderr


def test_a_report_without_a_headline_says_why_and_how_to_give_the_architecture(tmp_path):
    torch.save({"a.weight": torch.eye(3), "b.weight": torch.ones(4, 7)}, tmp_path / "x.pt")
    found = run("audit", tmp_path / "x.pt", "--json")
    report = strict_json(found.stdout)
    assert report["headline"] is None
    assert "compression.stored" in report["headline_reason"]
    shown = run("audit", tmp_path / "x.pt").stdout
    assert "no bound stands for this report" in shown
    assert "FILE.py:NAME" in shown


def test_several_checkpoints_are_a_series(digits_mlp, tmp_path, invoke):
    files = [digits_mlp, digits_mlp / "init.safetensors"]
    plot, saved = tmp_path / "norms.svg", tmp_path / "series.json"
    result = invoke("spectra", *files, "--plot", plot, "--output", saved, "-q")
    assert result.exit_code == 0, result.stderr
    assert plot.read_text().count("layers.") >= 3
    report = strict_json(saved.read_text())
    assert report["results"]["step_from"] == "record"
    assert len(report["results"]["series"]) == 2
    rows = invoke("spectra", *files, "--format", "csv", "-q").stdout.splitlines()
    assert rows[0].startswith("step,checkpoint,name,spectral_norm_lower")
    assert len(rows) == 1 + 2 * 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{run}", "--plot", "a.svg"], "--plot was given with one checkpoint"),
        (["{run}", "{run}", "--against", "{run}"], "--against was given with several"),
        (["{run}", "missing.pt"], "missing.pt"),
        (["{run}", "{run}", "--plot", "a.txt"], "cannot be drawn"),
    ],
)
def test_a_series_that_cannot_be_is_refused(words, message, digits_mlp, invoke):
    result = invoke("spectra", *(word.format(run=digits_mlp) for word in words))
    assert result.exit_code == 2
    assert message in result.stderr
