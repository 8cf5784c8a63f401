"""What the theorems draw on: the sample count, and what is skipped."""

import pytest
import torch
from reports import bound_of
from state_dicts import save_chain

from dlgen_cli.audit.audit import audit
from dlgen_cli.errors import StrictError
from dlgen_cli.evidence.options import AuditOptions


def test_without_a_record_the_sample_count_is_assumed_and_said(tmp_path):
    save_chain(tmp_path / "x.pt", [(4, 4)])
    report = audit(
        AuditOptions(checkpoint=tmp_path / "x.pt"), command="x", families=("compression",)
    )
    assert report.settings["m"] == 50_000
    line = bound_of(report, "compression.all_ranks").assumptions[0]
    assert (line.status, "50,000" in line.evidence) == ("assumed", True)


def test_strict_makes_a_skipped_tensor_an_error(tmp_path):
    torch.save({"a.weight": torch.eye(4), "norm.weight": torch.ones(4)}, tmp_path / "x.pt")
    with pytest.raises(StrictError, match=r"norm\.weight"):
        audit(AuditOptions(checkpoint=tmp_path / "x.pt", strict=True), command="x")
