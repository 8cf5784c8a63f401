"""The picture of a report in the README: ``python docs/picture.py`` draws it anew."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

from rich.console import Console

from dlgen_cli import api
from dlgen_cli.render import print_table

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "report.svg"
COMMAND = "dlgen certify fixtures/digits-mlp --data digits --sigma 0.3"
_COLUMNS = 84


def picture() -> str:
    """What the command prints in a terminal, as SVG; it loads no font and nothing else."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        report = api.certify("fixtures/digits-mlp", "digits", sigma=0.3)
    finally:
        os.chdir(before)
    console = Console(
        record=True,
        file=io.StringIO(),
        width=_COLUMNS,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    print_table(report.record, console)
    svg = console.export_svg(title=COMMAND, unique_id="dlgen")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
