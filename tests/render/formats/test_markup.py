import csv
import io
from dataclasses import replace
from html.parser import HTMLParser

from dlgen_cli.records import Report
from dlgen_cli.render import render_text

VOID = {"meta"}


class Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        assert tag not in {"script", "link", "img", "iframe"}
        assert not any(name.startswith("on") or name in {"src", "href"} for name, _ in attrs)
        for name, value in attrs:
            if name == "xlink:href":
                assert (value or "").startswith("#")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str):
        assert self.open.pop() == tag


def test_html_is_balanced_and_fetches_nothing(any_report: Report):
    page = Balanced()
    text = render_text(any_report, "html")
    page.feed(text)
    assert page.open == []
    assert text.count("url(") == text.count("url(#")


def test_html_escapes_names(small_report: Report):
    layer = replace(small_report.layers[0], name="<script>alert('x')</script>&")
    text = render_text(replace(small_report, layers=[layer]), "html")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_markdown_tables_are_rectangular_and_names_are_escaped(small_report: Report):
    layer = replace(small_report.layers[0], name="a|b*c`d_e <i> _f_ [x](y)")
    text = render_text(replace(small_report, layers=[layer], bounds=[]), "markdown")
    assert r"a\|b\*c\`d_e \<i\> \_f\_ [x\](y)" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.replace(r"\|", "").count("|") for line in rows}) == 1


def test_csv_is_rectangular(any_report: Report):
    rows = list(csv.reader(io.StringIO(render_text(any_report, "csv"))))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) >= 2


def test_csv_has_a_row_for_each_bound(audit_report: Report):
    rows = list(csv.DictReader(io.StringIO(render_text(audit_report, "csv"))))
    assert [row["theorem"] for row in rows] == [bound.theorem for bound in audit_report.bounds]
    assert list(rows[0])[:6] == ["theorem", "status", "value", "log10_value", "delta", "headline"]
    assert [row["headline"] for row in rows].count("yes") == 1
    assert rows[0]["value"] == ""
    assert float(rows[0]["log10_value"]) == 3699.1139
    assert rows[0]["delta"] == "0.05"
    assert rows[0]["term.bits"] == "123456"


def test_csv_of_a_report_without_bounds_has_layers_and_what_was_skipped(audit_report: Report):
    report = replace(audit_report, bounds=[], headline=None)
    rows = list(csv.DictReader(io.StringIO(render_text(report, "csv"))))
    assert len(rows) == 53 + 30
    assert rows[0]["shape"] == "96x16x3x3"
    assert rows[-1]["skipped"] == "an integer counter, not a parameter"
