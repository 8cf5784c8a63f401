"""Reports on state dicts of every layout: what is measured, and what is withheld."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from dlgen_cli.audit.audit import audit
from dlgen_cli.audit.compress import compress
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.options import AuditOptions


def quiet(_what, _done, _total):
    """Report nothing."""


def report_on(path, state, *families, **options):
    torch.save(state, path)
    return audit(
        AuditOptions(checkpoint=path, m=1000, **options), command="audit", families=families
    )


def matrix_norm(matrix):
    return torch.linalg.svdvals(matrix.detach().double())[0].item()


NO_CHAINS = {
    "recurrent": nn.LSTM(4, 4),
    "attention": nn.MultiheadAttention(4, 2),
    "embeddings": nn.ModuleDict({"embed": nn.Embedding(9, 4), "out": nn.Linear(4, 9)}),
}


@pytest.mark.parametrize("kind", NO_CHAINS)
def test_what_is_no_chain_is_measured_and_not_bounded(tmp_path, kind):
    report = report_on(tmp_path / "x.pt", NO_CHAINS[kind].state_dict(), "compression", r=2)
    assert {one.status for one in report.bounds} == {"not_applicable"}
    assert report.headline is None
    reasons = [line.evidence for line in report.bounds[0].assumptions if line.status == "violated"]
    assert any(kind in reason for reason in reasons)
    assert report.provenance.coverage.parameters == report.provenance.parameters


def test_every_gate_has_its_own_norm(tmp_path):
    torch.manual_seed(0)
    net = nn.GRU(6, 5)
    report = report_on(tmp_path / "x.pt", net.state_dict())
    for layer in report.layers:
        name, gate = layer.name[:-3], "rzn".index(layer.name[-2])
        exact = matrix_norm(getattr(net, name).chunk(3)[gate])
        assert layer.spectral_norm.lower <= exact * (1 + 1e-13)
        assert exact * (1 - 1e-13) <= layer.spectral_norm.upper <= exact * (1 + 1e-10)


def test_an_adapter_is_measured_without_being_formed(tmp_path):
    torch.manual_seed(1)
    state = {"q.lora_A.weight": torch.randn(3, 50), "q.lora_B.weight": torch.randn(40, 3)}
    (layer,) = report_on(tmp_path / "x.pt", state, r=2, singular_values=True).layers
    first, second = (one.double() for one in state.values())
    exact = torch.linalg.svdvals(second @ first)
    assert (layer.shape, layer.parameters, len(layer.singular_values)) == ((40, 50), 270, 3)
    assert layer.truncation.error_upper == pytest.approx(exact[2].item(), rel=1e-9)
    for interval, value in zip(layer.singular_values, exact[:3].tolist(), strict=True):
        assert interval.lower <= value * (1 + 1e-13)
        assert value * (1 - 1e-13) <= interval.upper
    assert layer.truncation_errors_upper[-1] == 0.0


def test_a_chain_under_weight_normalization_is_bounded_like_the_plain_one(tmp_path):
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(6, 6, bias=False), nn.ReLU(), nn.Linear(6, 4, bias=False))
    net = net.double()
    plain = {name: one.clone() for name, one in net.state_dict().items()}
    for index in (0, 2):
        parametrizations.weight_norm(net[index])
    normed = report_on(tmp_path / "a.pt", net.state_dict(), "compression")
    other = report_on(tmp_path / "b.pt", plain, "compression")
    assert [one.theorem for one in normed.bounds] == [one.theorem for one in other.bounds]
    for one, two in zip(normed.bounds, other.bounds, strict=True):
        assert one.value == pytest.approx(two.value, rel=1e-9)
        assert one.status != "not_applicable"


def test_a_weight_that_is_made_of_others_is_not_compressed_in_place(tmp_path):
    net = parametrizations.weight_norm(nn.Linear(4, 4, bias=False))
    torch.save({f"x.{name}": one for name, one in net.state_dict().items()}, tmp_path / "x.pt")
    options = AuditOptions(checkpoint=Path(tmp_path / "x.pt"), b=8)
    with pytest.raises(UsageError, match="made of"):
        compress(options, ranks=None, file="y.safetensors", progress=quiet)


def test_packed_weights_withhold_every_bound(tmp_path):
    state = {"a.weight": torch.ones(4, 4), "b.qweight": torch.ones(4, 4, dtype=torch.int32)}
    report = report_on(tmp_path / "x.pt", state, "compression", "rademacher")
    assert {one.status for one in report.bounds} == {"not_applicable"}
    coverage = report.provenance.coverage
    assert (coverage.parameters, coverage.of) == (16, 32)
