"""Entries of a report by name and type: what is not there, or of another type, is named."""

import json
import math

import pytest

from dlgen_cli.bounds.recorded_fields import Fields, UnusableField, read_assumptions, read_report
from dlgen_cli.errors import ReportFileError
from dlgen_cli.records import SCHEMA_VERSION

ENTRIES = Fields(
    {
        "float": 0.5,
        "whole": 7,
        "flag": True,
        "null": None,
        "text": "word",
        "nan": math.nan,
        "texts": ["a", "b"],
        "numbers": [1, 2.5],
        "mixed": ["a", 1],
        "object": {"one": 1, "two": 2},
        "rows": [{"one": 1}, {"one": "1"}],
    },
    "bounds[0].terms",
)


@pytest.mark.parametrize(
    ("ask", "name", "value"),
    [
        ("number", "float", 0.5),
        ("number", "whole", 7),
        ("optional_number", "null", None),
        ("optional_number", "missing", None),
        ("optional_number", "whole", 7),
        ("count", "whole", 7),
        ("text", "text", "word"),
        ("flag", "flag", True),
        ("texts", "texts", ["a", "b"]),
        ("numbers", "numbers", [1, 2.5]),
        ("counts", "object", {"one": 1, "two": 2}),
        ("get", "missing", None),
    ],
)
def test_an_entry_of_its_type_comes_as_it_stands(ask, name, value):
    found = getattr(ENTRIES, ask)(name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        ("number", "flag"),
        ("number", "nan"),
        ("number", "missing"),
        ("optional_number", "text"),
        ("count", "float"),
        ("count", "flag"),
        ("text", "whole"),
        ("flag", "whole"),
        ("items", "object"),
        ("texts", "mixed"),
        ("fields", "texts"),
    ],
)
def test_another_entry_is_refused_where_it_stands(ask, name):
    with pytest.raises(UnusableField) as caught:
        getattr(ENTRIES, ask)(name)
    assert caught.value.where == f"bounds[0].terms.{name}"
    assert caught.value.found is ENTRIES.get(name)


def test_the_place_inside_a_list_or_an_object_is_told():
    with pytest.raises(UnusableField) as caught:
        [row.count("one") for row in ENTRIES.rows("rows")]
    assert caught.value.where == "bounds[0].terms.rows[1].one"
    with pytest.raises(UnusableField) as caught:
        ENTRIES.numbers("mixed")
    assert caught.value.where == "bounds[0].terms.mixed.0"


def test_a_ledger_has_the_four_statuses_and_no_other():
    rows = [
        {"statement": "A.", "status": status, "evidence": "B."}
        for status in ("verified", "declared", "assumed", "violated")
    ]
    lines = read_assumptions(Fields({"assumptions": rows}))
    assert [line.status for line in lines] == [row["status"] for row in rows]
    rows[2]["status"] = "believed"
    with pytest.raises(UnusableField) as caught:
        read_assumptions(Fields({"assumptions": rows}))
    assert caught.value.where == "assumptions[2].status"


REPORT = {
    "schema_version": SCHEMA_VERSION,
    "dlgen_version": "0",
    "command": "audit",
    "status": "success",
    "settings": {},
    "bounds": [{}],
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        (json.dumps(REPORT | {"x": math.inf}), "holds Infinity"),
        ("[]", "no report of dlgen"),
        (json.dumps({**REPORT, "bounds": []}), "holds no bound"),
        (json.dumps({**REPORT, "status": "error"}), "report of a failure"),
        (json.dumps({**REPORT, "schema_version": "0"}), "the schema '0'"),
        (json.dumps({"schema_version": SCHEMA_VERSION}), "no report of dlgen"),
    ],
)
def test_what_is_no_report_is_refused(content, message, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(ReportFileError, match=message):
        read_report(path)


def test_a_report_is_read(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(REPORT))
    assert read_report(path).values == REPORT
    with pytest.raises(ReportFileError, match="cannot be read"):
        read_report(tmp_path)
