import pytest

from dlgen_cli.records import Provenance, Report
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


@pytest.mark.parametrize(
    ("recorded", "structure", "expected"),
    [
        (None, "chain", ["FILE.py:NAME"]),
        ("net.py:Net", "chain", ["--arch net.py:Net"]),
        ("resnet18", "graph", []),
    ],
)
def test_a_chain_says_how_to_give_the_architecture(recorded, structure, expected):
    provenance = Provenance(
        checkpoint="x.pt",
        format="torch",
        sha256="0" * 64,
        architecture=recorded,
        structure=structure,
        parameters=1,
    )
    document = build_document(Report(dlgen_version="0", command="audit", provenance=provenance))
    hints = [fact.value for fact in document.facts if fact.label == "hint"]
    assert len(hints) == len(expected)
    assert all(text in hint for text, hint in zip(expected, hints, strict=True))
