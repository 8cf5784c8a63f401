"""The formats of reports: a name, a suffix and a writer each."""

import json

import pytest

from dlgen_cli.render import Format


def test_names_and_suffixes_tell_the_formats_apart():
    assert [str(one) for one in Format] == ["table", "json", "markdown", "html", "csv"]
    assert len({one.suffix for one in Format}) == len(Format)
    assert {one for one in Format if one.is_page} == {Format.TABLE, Format.MARKDOWN, Format.HTML}
    assert Format("html") is Format.HTML
    with pytest.raises(ValueError, match="pdf"):
        Format("pdf")


@pytest.mark.parametrize(
    ("name", "begins"),
    [("json", "{"), ("markdown", "# "), ("html", "<!doctype html>"), ("csv", "")],
)
def test_each_writes_its_own_kind(name, begins, audit_report):
    text = Format(name).write(audit_report, 100, 0)
    assert text.lower().startswith(begins)
    assert text.endswith("\n")
    if name == "json":
        assert json.loads(text)["command"] == audit_report.command
