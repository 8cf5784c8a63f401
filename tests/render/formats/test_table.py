import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from dlgen_cli.errors import OutputError
from dlgen_cli.records import LayerSpectrum, Report, SkippedLayer
from dlgen_cli.render import print_table, render_text

# Any number of a table, powers of ten whole.
NUMBER = re.compile(r"\d[\d.,]*(?: × 10\^-?\d+)?")


def printed(
    report: Report, *, width: int = 80, terminal: bool = False, verbosity: int = 0, **console: Any
):
    stream = io.StringIO()
    target = Console(file=stream, width=width, force_terminal=terminal, **console)
    print_table(report, target, verbosity=verbosity)
    return stream.getvalue()


@pytest.mark.parametrize("width", [72, 80, 100, 140])
@pytest.mark.parametrize("verbosity", [0, 1])
def test_no_line_is_wider_than_the_page(any_report: Report, width: int, verbosity: int):
    text = printed(any_report, width=width, verbosity=verbosity)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)


def test_a_pipe_gets_no_escape_codes(any_report: Report):
    assert "\x1b" not in printed(any_report)


def test_a_terminal_gets_colours_and_no_color_takes_them_away(audit_report: Report):
    coloured = printed(audit_report, terminal=True, color_system="standard")
    assert "\x1b[32mholds" in coloured
    plain = printed(audit_report, terminal=True, color_system="standard", no_color=True)
    assert not re.search(r"\x1b\[3\d", plain)


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_powers_of_ten_are_never_broken(audit_report: Report, width: int):
    text = printed(audit_report, width=width)
    assert "1.300 × 10^3699" in text
    assert not re.search(r"×\s*$|10\^\s*$", text, re.MULTILINE)


def test_columns_left_out_are_named(audit_report: Report):
    report = replace(audit_report, command="spectra")
    assert "Left out at this width: kind, weights," in printed(report, width=80)
    assert "Left out at this width:" not in printed(report, width=160)
    assert "Left out at this width: 6 columns." in printed(audit_report, width=80)


def test_verbose_keeps_lower_ends_and_every_skipped_tensor(audit_report: Report):
    report = replace(audit_report, command="compress-bound")
    quiet, verbose = printed(report, width=160), printed(report, width=160, verbosity=1)
    assert "And 22 more; -v shows all." in quiet
    assert verbose.count("num_batches_tracked") == 30
    assert "No --radius was given." in verbose
    assert "No --radius was given." not in quiet


def test_a_violated_line_is_always_written_with_its_evidence(audit_report: Report):
    text = printed(replace(audit_report, command="pacbayes"))
    assert "violated  The anchors do not depend on the bound's sample." in text
    assert "Anchor seed-0 equals the checkpoint." in text
    brief = " ".join(printed(audit_report).split())
    assert "n/a: pac_bayes.anchors: The anchors do not depend on the bound's sample: no." in brief
    assert "Anchor seed-0 equals the checkpoint." in brief


@pytest.mark.parametrize(("width", "lines"), [(80, 46), (140, 43)])
def test_an_audit_fits_one_screen_and_says_what_it_leaves_out(
    audit_report: Report, width: int, lines: int
):
    text = printed(audit_report, width=width)
    assert len(text.splitlines()) <= lines
    assert text.index("Verdict") < text.index("Bounds") < text.index("Layers")
    assert "Layers: 53, with 731,648 weights; the 6 of the largest norm" in text
    assert "classifier.1.weight" in text
    assert "7 more sections: -v shows all" in text
    verbose = printed(audit_report, width=width, verbosity=1)
    assert "more sections" not in verbose
    assert verbose.count("features.") > 100


def test_long_names_are_folded_and_not_cut(small_report: Report):
    name = ".".join(["encoder", "layer", "attention", "projection"] * 5)
    layer = replace(small_report.layers[0], name=name)
    report = replace(small_report, layers=[layer], bounds=[])
    text = printed(report)
    section = text[text.index("Layers") :]
    column = re.findall(r"^  (\S+)", section, re.MULTILINE)
    assert name in "".join(column)


def test_control_characters_of_a_name_do_not_reach_the_terminal(small_report: Report):
    skipped = [SkippedLayer(name="evil\x1b[2Jname", reason="line\nbreak")]
    for format_name in ("table", "markdown", "html"):
        text = render_text(replace(small_report, skipped=skipped), format_name)
        assert "\x1b" not in text
        assert "evil\\x1b" in text.replace("\\\\", "\\")


def test_a_vacuous_bound_is_called_so_with_its_size(small_report: Report):
    text = printed(small_report)
    assert "1.300 × 10^3699  vacuous" in text
    assert "vacuous: 1 or more says nothing about a gap or a risk in [0, 1]." in text


def test_a_headline_that_is_vacuous_says_so(audit_report: Report):
    headline = replace(audit_report.headline, value=None, log10_value=12.0)
    text = printed(replace(audit_report, headline=headline))
    assert "≤ 1.000 × 10^12  vacuous" in text
    assert "A value of 1 or more says nothing." in text


def test_a_zero_layer_has_no_stable_rank(small_report: Report):
    layer: LayerSpectrum = replace(small_report.layers[0], stable_rank=None, truncation=None)
    text = printed(replace(small_report, layers=[layer], bounds=[]))
    assert "–" in text


def test_an_unknown_format_is_an_error(small_report: Report):
    with pytest.raises(OutputError, match="yaml"):
        render_text(small_report, "yaml")
