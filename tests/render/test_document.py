from dlgen_cli.records import Report
from dlgen_cli.render.document import build_document


def test_a_report_with_nothing_is_a_title():
    document = build_document(Report(dlgen_version="0", command="train"))
    assert document.sections == ()
    assert document.facts == ()


def test_sections_stand_in_order(audit_report: Report):
    document = build_document(audit_report)
    titles = [section.title for section in document.written]
    assert [section.title for section in document.sections] == [*titles, "Plots"]
    assert titles == [
        "Layers: 53, with 731,648 weights",
        "Skipped: 30",
        "Bounds",
        "Ranks by layer",
        "PAC-Bayes anchors",
        "Where the KL to anchors/seed-0.safetensors comes from",
        "PAC-Bayes: every σ",
        "Rademacher shell",
        "Headline",
        "Assumptions",
    ]
