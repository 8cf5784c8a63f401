"""What PAC-Bayes and Rademacher bounds count as parameters of the hypothesis."""

import json

import pytest
import torch
from torch import nn

from dlgen_cli.audit.audit import audit
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.render.formats.json_text import json_text
from dlgen_cli.verification.verify import verify

SIGMA = 0.125


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) / 8


def audited(tmp_path, own, *anchors, families=("pac_bayes",), **options):
    torch.save(own, tmp_path / "own.pt")
    for index, anchor in enumerate(anchors):
        torch.save(anchor, tmp_path / f"anchor{index}.pt")
    paths = [tmp_path / f"anchor{index}.pt" for index in range(len(anchors))]
    return audit(
        AuditOptions(
            checkpoint=tmp_path / "own.pt", anchors=paths, sigma=[SIGMA], m=50_000, **options
        ),
        command="audit" if len(families) > 1 else "pacbayes",
        families=families,
        with_layers=False,
    )


def divergence(report):
    return next(one for one in report.bounds if one.theorem == "pac_bayes.pinsker").terms["kl_nats"]


def violated(bound):
    return [line.evidence for line in bound.assumptions if line.status == "violated"]


def distance_nats(pairs):
    return sum(float((a.double() - b.double()).square().sum()) for a, b in pairs) / (2 * SIGMA**2)


def float8(scale, seed):
    weight = draw(6, 8, seed=seed)
    entries = (weight / weight.abs().max() * 448).to(torch.float8_e4m3fn)
    return {"a.weight": entries, "a.scale_weight": torch.tensor(scale), "b.weight": draw(3, 6)}


def int8(scale, seed):
    entries = (draw(6, 8, seed=seed) * 400).round().clamp(-127, 127).to(torch.int8)
    return {
        "a.weight": entries,
        "a.weight_scale": torch.full((6, 1), scale),
        "b.weight": draw(3, 6),
    }


def masked(kept, seed):
    mask = draw(6, 8, seed=kept) > 0
    return {"a.weight": draw(6, 8, seed=seed), "a.mask": mask, "b.weight": draw(3, 6)}


@pytest.mark.parametrize(
    ("make", "companion", "settings"),
    [
        (float8, "a.scale_weight", [(0.001, 1), (0.002, 2)]),
        (float8, "a.scale_weight", [(0.001, 1), (0.002, 1)]),
        (int8, "a.weight_scale", [(0.01, 1), (0.01, 2)]),
        (int8, "a.weight_scale", [(0.01, 1), (0.03, 1)]),
        (masked, "a.mask", [(5, 1), (6, 1)]),
    ],
)
def test_weights_are_counted_as_they_are_applied(tmp_path, make, companion, settings):
    own, anchor = (make(*one) for one in settings)
    applied = [one["a.weight"].double() * one[companion].double() for one in (own, anchor)]
    expected = distance_nats([applied, (own["b.weight"], anchor["b.weight"])])
    found = divergence(audited(tmp_path, own, anchor))
    assert expected <= found <= expected * (1 + 1e-9)


def test_the_shells_hold_the_weights_that_are_applied(tmp_path):
    own = int8(0.001, 1)
    report = audited(tmp_path, own, families=("rademacher",))
    largest = float((own["a.weight"].double() * own["a.weight_scale"].double()).abs().max())
    for bound in report.bounds:
        assert bound.terms["parameters"] == 6 * 8 + 3 * 6
        assert bound.terms["linf_norm"] == max(largest, float(own["b.weight"].abs().max()))


def test_running_statistics_are_parameters_of_the_hypothesis_and_said_to_be(tmp_path):
    own, anchor = (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)).state_dict() for _ in range(2))
    own = {name: one + 0.25 if one.is_floating_point() else one for name, one in own.items()}
    report = audited(tmp_path, own, anchor, families=("pac_bayes", "rademacher"))
    floating = [name for name, one in own.items() if one.is_floating_point()]
    expected = distance_nats([(own[name], anchor[name]) for name in floating])
    assert divergence(report) == pytest.approx(expected, rel=1e-9)
    assert report.provenance.parameters == 4 * 6 + 3 * 6
    for bound in report.bounds:
        said = [one.evidence for one in bound.assumptions if "buffers too" in one.evidence]
        assert len(said) == 1
        assert "12 entries of 2 tensors" in said[0]
        if bound.theorem.startswith("rademacher"):
            assert bound.terms["parameters"] == 4 * 6 + 5 * 6


@pytest.mark.parametrize("kind", [torch.int64, torch.bool])
def test_indices_that_differ_from_the_anchor_withhold_its_bounds(tmp_path, kind):
    own = {"a.weight": draw(4, 4), "a.index": torch.tensor([0, 1, 1, 0]).to(kind)}
    anchor = {"a.weight": draw(4, 4, seed=1), "a.index": torch.tensor([1, 0, 1, 0]).to(kind)}
    for bound in audited(tmp_path, own, anchor).bounds:
        assert bound.status == "not_applicable"
        assert "a.index differs" in violated(bound)[0]
    for bound in audited(tmp_path, own, {**anchor, "a.index": own["a.index"]}).bounds:
        assert not violated(bound)


def test_a_mask_of_minus_infinity_is_no_parameter(tmp_path):
    mask = torch.full((5, 5), -torch.inf).triu(1)
    own = {"a.weight": draw(5, 5), "attn_mask": mask}
    anchor = {"a.weight": draw(5, 5, seed=1), "attn_mask": mask}
    report = audited(tmp_path, own, anchor, families=("pac_bayes", "rademacher"))
    expected = distance_nats([(own["a.weight"], anchor["a.weight"])])
    assert divergence(report) == pytest.approx(expected, rel=1e-9)
    assert not [line for bound in report.bounds[:-1] for line in violated(bound)]
    other = {**anchor, "attn_mask": mask.T}
    assert "attn_mask differs" in violated(audited(tmp_path, own, other).bounds[0])[0]


def test_what_is_not_finite_withholds_the_bounds_and_is_named(tmp_path):
    own = {"a.weight": draw(4, 4), "b.weight": draw(4, 4, seed=2)}
    own["b.weight"][1, 2] = torch.nan
    anchor = {"a.weight": draw(4, 4, seed=1), "b.weight": draw(4, 4, seed=3)}
    report = audited(tmp_path, own, anchor, families=("compression", "pac_bayes", "rademacher"))
    assert len(report.bounds) == 9
    for bound in report.bounds[:3]:
        assert (bound.status, bound.value) == ("not_applicable", None)
        assert "b.weight" in violated(bound)[0]
    for bound in report.bounds[3:]:
        assert (bound.status, bound.value) == ("not_applicable", None)
        assert "Tensor b.weight" in violated(bound)[0]
    assert not verify(Fields(json.loads(json_text(report)), "")).mismatches


def test_a_tied_tensor_is_counted_once_and_may_be_missing_in_an_anchor(tmp_path):
    weight, other = draw(4, 4), draw(4, 4, seed=1)
    own = {"embed.weight": weight, "head.weight": weight}
    expected = distance_nats([(weight, other)])
    for name in own:
        found = divergence(audited(tmp_path, own, {name: other}))
        assert expected <= found <= expected * (1 + 1e-9)
