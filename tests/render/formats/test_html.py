"""A page: whole in itself, safe, readable without its script."""

import re
from dataclasses import replace
from html.parser import HTMLParser

from dlgen_cli.bounds import clopper_pearson
from dlgen_cli.records import Report
from dlgen_cli.render import render_text

VOID = {"meta", "wbr"}


class Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        assert tag not in {"link", "img", "iframe"}
        assert not any(name.startswith("on") or name in {"src", "href"} for name, _ in attrs)
        assert (tag, attrs) == ("script", []) or tag != "script"
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
    (script,) = re.findall("<script>(.*?)</script>", text, flags=re.DOTALL)
    for word in ("fetch", "XMLHttp", "import", "eval", "http", "innerHTML =", "src"):
        assert word not in script
    assert not re.search("https?:", text)


def test_html_escapes_names(small_report: Report):
    layer = replace(small_report.layers[0], name="<script>alert('x')</script>&")
    report = replace(small_report, layers=[layer])
    text = render_text(report, "html")
    assert text.count("<script>") == 1
    assert "alert(" in text
    assert "&lt;script&gt;" in text


def test_the_answer_is_a_card_and_details_are_folded(audit_report: Report):
    text = render_text(audit_report, "html")
    assert text.index('class="card good"') < text.index("Bounds, the best first")
    assert '<p class="claim">≤ 0.4124 <span>holds</span></p>' in text
    for title in ("Ranks by layer", "Rademacher shell", "Assumptions"):
        assert f'<details class="section"><summary><h2>{title}</h2></summary>' in text
    for title in ("Verdict", "Bounds, the best first", "Plots", "Checkpoint and settings"):
        assert f"<summary><h2>{title}" not in text


def test_exponents_are_raised(audit_report: Report):
    text = render_text(audit_report, "html")
    assert "1.300\u00a0×\u00a010<sup>3699</sup>" in text
    assert "epsilon = 10<sup>−9</sup>" in text
    assert not re.search(r"10\^", text)


def test_bars_show_each_norm_against_the_largest(audit_report: Report):
    text = render_text(audit_report, "html")
    bars = re.findall(r'<td class="number bar" style="--part: ([\d.]+)%">([^<]*)</td>', text)
    assert bars
    assert ("100.0", "90,000") in bars
    assert ("0.1", "52.50") in bars
    assert all(0 <= float(part) <= 100 for part, _ in bars)


def test_a_long_name_may_be_broken_at_its_dots_alone(small_report: Report):
    name = "encoder.layers.11.self_attention.projection.weight"
    layer = replace(small_report.layers[0], name=name)
    text = render_text(replace(small_report, layers=[layer]), "html")
    (cell,) = re.findall(r'<td class="name">(encoder.*?)</td>', text)
    assert cell.replace("<wbr>", "") == name
    assert {part[-1] for part in cell.split("<wbr>")[:-1]} <= set("._")


def test_the_formulas_hold_the_numbers_of_the_report(small_report: Report):
    bound = clopper_pearson(3, 142, 0.05)
    text = render_text(replace(small_report, bounds=[bound]), "html")
    working = text[text.index('<details class="working">') :]
    assert f"<summary>holdout.clopper_pearson ≤ {bound.value:.5f}"[:45] in working
    assert "<mn>142</mn>" in working
    assert "<mi>errors</mi>" in working
    assert "This is the value on the page: holds." in working
    assert "<mtext>" not in working


def test_terms_that_cannot_be_worked_out_are_no_failure(audit_report: Report):
    assert "It cannot be worked out" in render_text(audit_report, "html")
