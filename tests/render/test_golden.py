"""Whole pages against files; ``DLGEN_OVERWRITE_GOLDEN=1`` writes the files anew."""

import os
from pathlib import Path

import pytest

from dlgen_cli.render import render_text

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("small", "audit", "results", "comparison", "error")
PAGES = [
    *((kind, "table", width, 0, f"{kind}.{width}.txt") for kind in KINDS for width in (80, 140)),
    ("audit", "table", 80, 1, "audit.verbose.txt"),
    *((kind, "markdown", None, 0, f"{kind}.md") for kind in KINDS),
    *((kind, "csv", None, 0, f"{kind}.csv") for kind in KINDS),
    *((kind, "html", None, 0, f"{kind}.html") for kind in KINDS),
    *((kind, "json", None, 0, f"{kind}.json") for kind in KINDS),
]


@pytest.mark.usefixtures("_no_drawing")
@pytest.mark.parametrize(("kind", "format_name", "width", "verbosity", "file"), PAGES)
def test_page_equals_its_golden_file(
    request: pytest.FixtureRequest,
    kind: str,
    format_name: str,
    width: int | None,
    verbosity: int,
    file: str,
):
    report = request.getfixturevalue(f"{kind}_report")

    text = render_text(report, format_name, width=width, verbosity=verbosity)

    golden = GOLDEN / file
    if os.environ.get("DLGEN_OVERWRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(text.encode("utf-8"))
    assert text == golden.read_bytes().decode("utf-8")
