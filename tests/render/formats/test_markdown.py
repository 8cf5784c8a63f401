"""Reports as Markdown: rectangular tables, names escaped."""

from dataclasses import replace

from dlgen_cli.records import Report
from dlgen_cli.render import render_text


def test_markdown_tables_are_rectangular_and_names_are_escaped(small_report: Report):
    layer = replace(small_report.layers[0], name="a|b*c`d_e <i> _f_ [x](y)")
    text = render_text(replace(small_report, layers=[layer], bounds=[]), "markdown")
    assert r"a\|b\*c\`d_e \<i\> \_f\_ [x\](y)" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.replace(r"\|", "").count("|") for line in rows}) == 1
