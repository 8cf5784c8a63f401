from dataclasses import replace

import pytest

from dlgen_cli.records import Provenance, Report
from dlgen_cli.render.document import build_document
from dlgen_cli.render.model import Table


def test_a_report_with_nothing_is_a_title():
    document = build_document(Report(dlgen_version="0", command="train"))
    assert document.sections == ()
    assert document.subject == ""


def test_sections_stand_in_order(audit_report: Report):
    document = build_document(audit_report)
    titles = [section.title for section in document.written]
    drawn = ["Plots", "Formulas, with the numbers put in"]
    assert [one.title for one in document.sections if one.title not in titles] == drawn
    assert document.subject == "runs/standard"
    assert titles == [
        "Verdict",
        "Bounds, the best first",
        "Layers: 53, with 731,648 weights",
        "Checkpoint and settings",
        "Skipped: 30",
        "Ranks by layer",
        "PAC-Bayes anchors",
        "Where the KL to anchors/seed-0.safetensors comes from",
        "PAC-Bayes: every σ",
        "Rademacher shell",
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
    (section,) = document.sections
    hints = [fact.value for fact in section.blocks[0].facts if fact.label == "hint"]
    assert len(hints) == len(expected)
    assert all(text in hint for text, hint in zip(expected, hints, strict=True))


def test_one_screen_keeps_the_answer_and_names_the_rest(audit_report: Report):
    whole = build_document(audit_report)
    short = build_document(audit_report, one_screen=True)
    details = [section.title for section in whole.written if section.role == "detail"]
    assert [*(section.title.partition(";")[0] for section in short.written), *details] == [
        section.title for section in whole.written
    ]
    assert short.left_out == tuple(details)
    assert build_document(audit_report, 1, one_screen=True).left_out == ()


@pytest.mark.parametrize("labels", [{}, {"labels": "real"}])
def test_certificates_are_listed_again_only_where_they_speak_of_several_labels(
    audit_report: Report, labels: dict[str, str]
):
    rows = [{"theorem": "compression.occam", "risk_upper": 0.4, "status": "holds", **labels}]
    report = replace(audit_report, results={"data": "digits", "certificates": rows})
    (section,) = [one for one in build_document(report).sections if one.title == "Results"]
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert bool(tables) == bool(labels)
