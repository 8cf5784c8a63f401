"""The ledger names what is declared."""

from dlgen_cli.records import Report
from dlgen_cli.render.document import build_document
from dlgen_cli.render.model import Paragraph


def test_what_is_declared_is_named_in_short(audit_report: Report):
    def paragraphs(verbosity: int) -> list[str]:
        section = build_document(audit_report, verbosity).sections
        ledger = next(one for one in section if one.title == "Assumptions")
        return [block.text for block in ledger.blocks if isinstance(block, Paragraph)]

    lines = [line for bound in audit_report.bounds for line in bound.assumptions]
    declared = {line.statement for line in lines if line.status == "declared"}
    (text,) = paragraphs(0)
    assert text.startswith("You vouch for: ")
    assert all(text.count(statement) == 1 for statement in declared)
    assert not paragraphs(1)
