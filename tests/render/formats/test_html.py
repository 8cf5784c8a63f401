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
