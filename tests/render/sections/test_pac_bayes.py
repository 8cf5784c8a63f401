"""Tables of bounds that do not apply warn."""

from dlgen_cli.records import Report
from dlgen_cli.render.document import build_document
from dlgen_cli.render.model import Paragraph


def test_a_table_of_a_bound_that_does_not_apply_warns(audit_report: Report):
    sections = {section.title: section for section in build_document(audit_report).sections}
    notes = [b.text for b in sections["PAC-Bayes anchors"].blocks if isinstance(b, Paragraph)]
    assert notes == ["pac_bayes.anchors does not apply: these numbers bound nothing."]
