"""From Python: paths, state dicts and modules give the numbers that the command line gives."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset
from typer.testing import CliRunner

from dlgen_cli import api
from dlgen_cli.cli.app import app
from dlgen_cli.errors import CheckpointError, DataError, ReportFileError, UsageError


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def convolutional():
    torch.manual_seed(1)
    parts = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(4 * 5 * 5, 3)).eval()


def examples(count, seed=2):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, 6)).astype(np.float32), generator.integers(0, 3, count)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_path_gives_what_the_command_line_prints(digits_mlp):
    printed = run("audit", digits_mlp, "--json", "--margin", "1", "--sigma", "0.5").stdout
    report = api.audit(str(digits_mlp), margin=1.0, sigma=0.5)
    assert report.to_json() == printed
    assert run("audit", digits_mlp, "--margin", "1", "--sigma", "0.5").stdout != ""
    assert report.bounds["compression.stored"].value > 1
    assert report.headline.theorem in report.bounds


@pytest.mark.parametrize("as_given", [lambda model: model, lambda model: model.state_dict()])
def test_norms_of_weights_in_memory_are_those_of_the_matrices(as_given):
    model = network()
    report = api.measure(as_given(model), r=2)
    assert [layer.name for layer in report.layers] == ["0.weight", "2.weight"]
    for layer in report.layers:
        values = np.linalg.svd(model.state_dict()[layer.name].double().numpy(), compute_uv=False)
        assert layer.spectral_norm.lower <= values[0] * (1 + 1e-12)
        assert layer.spectral_norm.upper >= values[0] * (1 - 1e-12)
        assert layer.truncation.error_upper == pytest.approx(values[2])


def test_a_module_is_traced_as_it_is_and_is_not_changed():
    model = convolutional().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = api.audit(model, input_shape=(1, 5, 5), m=1000)
    assert report.record.provenance.structure == "graph"
    bound = report.bounds["compression.stored"]
    (line,) = [one for one in bound.assumptions if "traced graph says" in one.statement]
    assert line.status == "verified"
    assert "the module that was given" in line.evidence
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_module_and_its_file_have_the_same_bounds(digits_mlp):
    from dlgen_cli.checkpoints.reader import open_checkpoint
    from dlgen_cli.networks.loaded_module import build_for

    built = build_for(open_checkpoint(digits_mlp))
    report = api.audit(built.module, input_shape=built.input_shape, m=1300)
    by_path = api.audit(digits_mlp, families=("compression", "rademacher"))
    for theorem, bound in by_path.bounds.items():
        assert report.bounds[theorem].value == bound.value


def test_a_parametrized_weight_is_the_one_that_is_applied():
    model = network()
    plain = api.measure(model)
    nn.utils.parametrizations.weight_norm(model[0])
    with torch.no_grad():
        model[0].parametrizations.weight.original0 *= 2
    report = api.measure(model)
    assert [layer.name for layer in report.layers] == ["0.weight", "2.weight"]
    value = np.linalg.norm(model[0].weight.detach().double().numpy(), 2)
    assert report.layers[0].spectral_norm.upper == pytest.approx(value)
    assert value == pytest.approx(2 * plain.layers[0].spectral_norm.upper, rel=1e-5)


def test_distances_and_anchors_are_taken_from_memory():
    model, start = network(), network(seed=5)
    report = api.measure(model, against=start)
    rows = {row["name"]: row for row in report.results["against"]["layers"]}
    moved = model[0].weight.detach().double() - start[0].weight.detach().double()
    upper = rows["0.weight"]["spectral"].upper
    assert upper == pytest.approx(float(torch.linalg.matrix_norm(moved, 2)))
    report = api.audit(model, anchors=[start.state_dict(), network(seed=6)], sigma=(0.5, 1), m=500)
    bound = report.bounds["pac_bayes.mixture"]
    assert len(bound.terms["anchors"]) == 2
    squared = sum(
        float((one.double() - two.double()).square().sum())
        for one, two in zip(model.state_dict().values(), start.state_dict().values(), strict=True)
    )
    assert bound.terms["anchors"][0]["squared_distance_upper"] == pytest.approx(squared)


@pytest.mark.parametrize("as_dataset", [False, True])
def test_a_certificate_from_data_in_memory(as_dataset):
    model = network().eval()
    sample, holdout = examples(200), examples(90, seed=3)
    given = [
        TensorDataset(torch.from_numpy(x), torch.from_numpy(y)) if as_dataset else (x, y)
        for x, y in (sample, holdout)
    ]
    report = api.certify(model, given[0], holdout=given[1], b=4)
    wrong = int((model(torch.from_numpy(holdout[0])).argmax(1).numpy() != holdout[1]).sum())
    bound = report.bounds["holdout.clopper_pearson"]
    assert (bound.terms["errors"], bound.terms["examples"]) == (wrong, 90)
    assert report.settings["m"] == 200
    assert report.bounds["compression.occam"].terms["examples"] == 200
    assert api.verify(report).mismatches == ()


def test_a_compressed_module_is_a_checkpoint(tmp_path):
    report = api.compress(network(), tmp_path / "small.safetensors", b=8, m=1000)
    assert report.results["bytes_after"] == (tmp_path / "small.safetensors").stat().st_size
    again = api.measure(tmp_path / "small.safetensors")
    assert [layer.name for layer in again.layers] == ["0.weight", "2.weight"]


def test_an_anchors_file_is_made(tmp_path, digits_mlp):
    report = api.make_anchor(digits_mlp, tmp_path / "anchor.safetensors", initial=True)
    assert report.results["parameters"] == 12_288
    found = api.audit(digits_mlp, anchors=tmp_path / "anchor.safetensors", sigma=0.5)
    assert "pac_bayes.pinsker" in found.bounds


def test_a_saved_report_is_read_back_verified_and_explained(tmp_path, digits_mlp):
    report = api.audit(digits_mlp, r=8, singular_values=True)
    path = report.save(tmp_path / "report.json")
    again = api.read_report(path)
    assert again.to_json() == path.read_text()
    assert again.bounds.keys() == report.bounds.keys()
    assert api.verify(path).mismatches == api.verify(again).mismatches == ()
    assert "adds" not in api.explain("rademacher.expected")
    assert "This is the value on the page" in api.explain("rademacher.expected", again)
    spectra = api.measure(digits_mlp)
    assert api.read_report(spectra.save(tmp_path / "s.json")).to_json() == spectra.to_json()


def test_a_report_shows_itself(tmp_path, digits_mlp):
    report = api.audit(digits_mlp)
    assert str(report).splitlines()[2] == "Verdict"
    assert "compression.stored" in repr(report)
    assert report._repr_html_().startswith("<iframe")
    for suffix in (".html", ".md", ".csv", ".txt"):
        assert report.save(tmp_path / f"r{suffix}").stat().st_size > 100
    pandas = pytest.importorskip("pandas")
    frame = report.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["spectral_norm"]) == [one.spectral_norm.upper for one in report.layers]
    assert report.to_frame("bounds").loc["compression.stored", "status"] == "vacuous"


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path):
    x, y = examples(20)
    with pytest.raises(UsageError, match="shape of one input"):
        api.audit(convolutional())
    with pytest.raises(UsageError, match="of type int"):
        api.audit(3)
    with pytest.raises(UsageError, match="no option 'bits'"):
        api.audit(network(), bits=3)
    with pytest.raises(UsageError, match="b is 'x'"):
        api.audit(network(), b="x")
    with pytest.raises(UsageError, match="of type int"):
        api.audit(network(), anchors=[3])
    with pytest.raises(UsageError, match="no option 'top'"):
        api.make_anchor(tmp_path, tmp_path / "a.safetensors", top="zero")
    with pytest.raises(UsageError, match="prefix was given"):
        api.audit(network(), prefix="model.")
    with pytest.raises(CheckpointError, match="entry 'epoch' is a int"):
        api.audit({"epoch": 3})
    with pytest.raises(UsageError, match="without a holdout"):
        api.certify(network(), (x, y))
    with pytest.raises(DataError, match="one whole number"):
        api.certify(network(), (x, y[:-1]), holdout=(x, y))
    with pytest.raises(UsageError, match="names no format"):
        api.measure(network()).save(tmp_path / "report.xlsx")
    (tmp_path / "r.json").write_text(json.dumps({"layers": []}))
    with pytest.raises(ReportFileError):
        api.read_report(tmp_path / "r.json")


def test_the_options_are_those_of_the_audit():
    from dataclasses import fields

    from dlgen_cli.audit.make_anchor import AnchorOptions
    from dlgen_cli.evidence.options import AuditOptions, DataOptions

    anchor = {one.name for one in fields(AnchorOptions)} - {"source"}
    assert api.AnchorSettings.__annotations__.keys() == anchor

    audit = {one.name for one in fields(AuditOptions)} - {"checkpoint", "given"}
    assert api.AuditSettings.__annotations__.keys() == audit
    data = {one.name for one in fields(DataOptions)} - {"data"}
    assert api.CertifySettings.__annotations__.keys() == audit | data
