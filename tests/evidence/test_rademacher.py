"""The Rademacher-shell bounds of a checkpoint."""

import torch

from dlgen_cli.audit.audit import audit
from dlgen_cli.evidence.options import AuditOptions


def test_the_largest_parameter_outside_the_box_is_named(tmp_path):
    torch.save({"a.weight": torch.eye(3) / 4, "b.weight": torch.eye(3) * 0.75}, tmp_path / "x.pt")
    report = audit(
        AuditOptions(checkpoint=tmp_path / "x.pt"),
        command="rademacher",
        families=("rademacher",),
        with_layers=False,
    )
    for bound in report.bounds:
        assert (bound.status, bound.value) == ("not_applicable", None)
        assert bound.terms["largest_parameter"] == "b.weight"
