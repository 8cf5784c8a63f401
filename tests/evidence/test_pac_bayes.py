"""The PAC-Bayes bounds of a checkpoint against its anchors."""

from dlgen_cli.audit.audit import audit
from dlgen_cli.evidence.options import AuditOptions


def test_the_checkpoint_as_its_own_anchor_is_a_violation(digits_mlp):
    report = audit(
        AuditOptions(checkpoint=digits_mlp, anchors=[digits_mlp / "model.safetensors"]),
        command="pacbayes",
        families=("pac_bayes",),
        with_layers=False,
    )
    assert not report.layers
    for bound in report.bounds:
        assert (bound.status, bound.value) == ("not_applicable", None)
        assert any(
            line.status == "violated" and "equals the checkpoint" in line.evidence
            for line in bound.assumptions
        )
