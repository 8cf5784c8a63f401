"""The whole line, from bytes to numbers, against an independent evaluation at 50 digits."""

import mpmath
import pytest
import torch
from reports import bound_of
from state_dicts import save_chain

from dlgen_cli.audit.audit import audit
from dlgen_cli.errors import CheckpointError, StrictError, TensorError, UsageError
from dlgen_cli.evidence.options import AuditOptions

ALL = ("compression", "pac_bayes", "rademacher")


def singular_values(matrix):
    values = mpmath.svd_r(mpmath.matrix(matrix.tolist()), compute_uv=False)
    return sorted(values, reverse=True)


CHAINS = {
    "square": ([(8, 8)] * 3, 1.0),
    "rectangular": ([(12, 6), (5, 12), (9, 5)], 0.7),
    "product beyond the floats": ([(7, 7)] * 4, 1e120),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_every_term_equals_an_independent_evaluation(tmp_path, chain):
    shapes, scale = CHAINS[chain]
    state = save_chain(tmp_path / "x.pt", shapes, scale=scale)
    options = AuditOptions(
        checkpoint=tmp_path / "x.pt", m=1234, delta=0.02, b=7, beta=2.5, gamma=1.3, radius=4.0
    )
    report = audit(options, command="compress-bound", families=("compression",))
    found = bound_of(report, "compression.all_ranks")
    spectra = [singular_values(matrix) for matrix in state.values()]
    largest = max(min(shape) for shape in shapes)
    for row in found.terms["sweep"]:
        rank = row["rank"]
        total = mpmath.mpf(0)
        for n, own in enumerate(spectra):
            term = own[rank] if rank < len(own) else mpmath.mpf(0)
            for j, other in enumerate(spectra):
                term *= other[0] if j != n else 1
            total += term
        distance = 4 * mpmath.mpf(1.3) ** (len(shapes) - 1) * total
        bits = 7 * sum(rank * (rows + columns) for rows, columns in shapes)
        nats = (bits + 1) * mpmath.log(2) + mpmath.log(largest / mpmath.mpf(0.02))
        complexity = mpmath.sqrt(nats / (2 * 1234))
        exact = {
            "distance": distance,
            "approximation": 5 * distance,
            "value": complexity + 5 * distance,
        }
        assert row["bits"] == bits
        assert row["complexity"] >= complexity
        assert row["complexity"] == pytest.approx(float(complexity), rel=1e-12)
        for name, value in exact.items():
            if value == 0:
                assert row[name] == 0
                continue
            assert row[f"log10_{name}"] >= mpmath.log10(value)
            assert row[f"log10_{name}"] == pytest.approx(float(mpmath.log10(value)), abs=1e-9)
            if value < 1e307:
                assert row[name] >= value
                assert row[name] == pytest.approx(float(value), rel=1e-9)
            else:
                assert row[name] is None


def test_the_whole_audit_of_the_fixture(digits_mlp, anchors_file):
    report = audit(
        AuditOptions(checkpoint=digits_mlp, anchors=[anchors_file], sigma=[0.1, 0.5], r=8),
        command="audit",
        families=ALL,
    )
    assert report.settings["m"] == 1300
    assert [one.theorem for one in report.bounds] == [
        "compression.fixed_rank",
        "compression.all_ranks",
        "compression.layer_ranks",
        "compression.stored",
        "pac_bayes.anchors",
        "pac_bayes.mixture",
        "pac_bayes.pinsker",
        "rademacher.expected",
        "rademacher.markov",
        "rademacher.printed",
    ]
    chain = [
        line.status
        for line in bound_of(report, "compression.all_ranks").assumptions
        if "traced graph says" in line.statement
    ]
    assert chain == ["verified"]
    assert report.headline.theorem == "pac_bayes.pinsker"
    assert report.headline.delta == 0.025
    assert report.headline.value > bound_of(report, "pac_bayes.pinsker").value


def test_the_file_alone_tells_what_the_directory_tells(digits_mlp):
    directory = audit(AuditOptions(checkpoint=digits_mlp), command="x", families=("compression",))
    file = audit(
        AuditOptions(checkpoint=digits_mlp / "model.safetensors"),
        command="x",
        families=("compression",),
    )
    assert file.settings["m"] == directory.settings["m"] == 1300
    assert file.provenance.sha256 == directory.provenance.sha256
    assert [b.value for b in file.bounds] == [b.value for b in directory.bounds]
    assert file.bounds[0].assumptions == directory.bounds[0].assumptions


def test_more_examples_than_were_trained_on_withhold_the_bound(digits_mlp):
    options = AuditOptions(checkpoint=digits_mlp, m=2000)
    report = audit(options, command="x", families=ALL)
    assert report.headline is None
    for bound in report.bounds:
        assert bound.status == "not_applicable"
        assert any("1,300" in line.evidence for line in bound.assumptions)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"patches": torch.ones(4, 3, 3, 3)}, "patches"),
        ({"norm.weight": torch.ones(4)}, "norm.weight"),
        ({"z.weight": torch.ones(5, 5)}, "Shapes do not fit"),
    ],
)
def test_what_a_chain_cannot_hold_withholds_the_bound_and_is_named(tmp_path, extra, reason):
    torch.save({"a.weight": torch.eye(4), **extra}, tmp_path / "x.pt")
    report = audit(
        AuditOptions(checkpoint=tmp_path / "x.pt"), command="x", families=("compression",)
    )
    for bound in report.bounds:
        assert (bound.status, bound.value) == ("not_applicable", None)
        violated = [line.evidence for line in bound.assumptions if line.status == "violated"]
        assert any(reason in evidence for evidence in violated)
    assert report.headline is None


@pytest.mark.parametrize(
    "odd",
    [
        torch.ones(4, 4, dtype=torch.int8),
        torch.ones(4, 4, dtype=torch.complex64),
        torch.eye(4).to_sparse(),
    ],
    ids=["int8", "complex", "sparse"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_weight_that_cannot_be_read_withholds_every_bound(tmp_path, odd):
    state = {"a.weight": torch.eye(4), "b.weight": odd, "c.weight": torch.eye(4)}
    torch.save(state, tmp_path / "x.pt")
    torch.save(state | {"a.weight": torch.eye(4) * 2}, tmp_path / "anchor.pt")
    options = AuditOptions(
        checkpoint=tmp_path / "x.pt", anchors=[tmp_path / "anchor.pt"], sigma=[1.0]
    )
    report = audit(options, command="x", families=ALL)
    for bound in report.bounds:
        assert bound.status == "not_applicable"
    assert "b.weight" in {one.name for one in report.skipped}
    with pytest.raises(StrictError, match=r"b\.weight"):
        audit(AuditOptions(checkpoint=tmp_path / "x.pt", strict=True), command="x")


def test_bad_numbers_are_refused(tmp_path, digits_mlp):
    torch.save({"a.weight": torch.tensor([[1.0, float("nan")]])}, tmp_path / "nan.pt")
    with pytest.raises(TensorError, match=r"a\.weight"):
        audit(AuditOptions(checkpoint=tmp_path / "nan.pt"), command="x", families=ALL[:1])
    withheld = audit(
        AuditOptions(checkpoint=tmp_path / "nan.pt"),
        command="x",
        families=("rademacher",),
        with_layers=False,
    )
    for bound in withheld.bounds:
        assert (bound.status, bound.value) == ("not_applicable", None)
        assert "Tensor a.weight" in bound.assumptions[-1].evidence
    torch.save({"steps": torch.tensor(3)}, tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="no matrix"):
        audit(AuditOptions(checkpoint=tmp_path / "none.pt"), command="x")
    with pytest.raises(UsageError, match="--beta and --margin"):
        audit(
            AuditOptions(checkpoint=digits_mlp, beta=1.0, margin=1.0),
            command="x",
            families=ALL[:1],
        )
    with pytest.raises(UsageError, match="anchor"):
        audit(
            AuditOptions(checkpoint=digits_mlp / "model.safetensors"),
            command="x",
            families=("pac_bayes",),
        )


def test_a_wrong_smaller_variant_would_be_caught(tmp_path):
    """The lower ends, in place of the upper ones, fall below the exact distance."""
    state = save_chain(tmp_path / "x.pt", [(10, 10)] * 3)
    report = audit(AuditOptions(checkpoint=tmp_path / "x.pt"), command="x")
    exact = mpmath.fprod(singular_values(matrix)[0] for matrix in state.values())
    upper = mpmath.fprod(mpmath.mpf(layer.spectral_norm.upper) for layer in report.layers)
    lower = mpmath.fprod(mpmath.mpf(layer.spectral_norm.lower) for layer in report.layers)
    assert lower < exact < upper


def test_a_nan_is_named_and_withholds_while_the_other_layers_are_measured(tmp_path):
    state = {f"l{at}.weight": torch.randn(6, 6) for at in range(3)}
    state["l1.weight"][2, 3] = float("nan")
    torch.save(state, tmp_path / "x.pt")
    options = AuditOptions(checkpoint=tmp_path / "x.pt", b=8)
    report = audit(options, command="audit", families=["compression", "rademacher"])
    assert [layer.name for layer in report.layers] == ["l0.weight", "l2.weight"]
    assert report.skipped[0].name == "l1.weight"
    assert "1 NaN" in report.skipped[0].reason
    assert all(bound.status == "not_applicable" for bound in report.bounds)
