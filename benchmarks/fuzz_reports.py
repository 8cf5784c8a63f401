"""Change one leaf of a saved report at a time, and count what ``dlgen verify`` does not see.

    python benchmarks/fuzz_reports.py REPORT.json...

Every leaf of a report is changed in several ways: a number slightly up and down, halved, doubled,
and to the other sign; a text longer, otherwise, empty; a truth value to the other; a null to a
number. A change that is no mismatch is unseen unless its field is informational, and those are
listed here and in docs/verify.md. Prints a line for each report and exits with 1 where a change is
unseen.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.verification import verify

#: Fields that tell where a report comes from or how it was made, and that no bound and no other
#: field is made of: patterns of paths, with ``#`` for an index.
INFORMATIONAL = (
    r"schema_version|dlgen_version|status",
    r"errors.*",
    r"provenance\.(checkpoint|format|sha256|architecture|structure|parameters)",
    r"provenance\.coverage\..*",
    r"provenance\.recorded_errors\..*",
    r"settings\.(seed|data|device|arch|part|prefix|input_shape|tolerance|strict|delta_monte_carlo|margin)",
    r"settings\.(include|exclude|freeze|anchors)(\[#\])*",
    r"skipped(\[#\].*)?",
    r"layers\[#\]\.(kind|note|geometry)",
    r"layers\[#\]\.(spectral_norm|folded_norm|row_norm)\.lower",
    r"layers\[#\]\.row_norm\.upper",
    r"layers\[#\]\.truncation\.reshaped_error_upper",
    r"results\.(data|holdout_origin|repeated_images\..*|test_examples|test_error|sample_error|file)",
    r"results\.coordinates\[#\]\.name",
    r"results\.(bytes_before|bytes_after)",
    r"bounds\[#\]\.terms\.network\.nodes\[#\]\.(name|operation)",
    r"bounds\[#\]\.terms\.anchors\[#\]\.layers\[#\]\.name",
    r"bounds\[#\]\.assumptions\[#\]\.(statement|evidence)",
)
#: Shares of delta and the rows of a sweep are compared within rounding, 1e-11 relative, estimates
#: such as a stable rank within 1e-6, and all others to the last bit.
_SLIGHTLY = 1e-5
_PATTERNS = [re.compile(one) for one in INFORMATIONAL]


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every leaf of a tree of JSON with its path; an empty list or object is one too."""
    if isinstance(tree, dict) and tree:
        for name, value in tree.items():
            yield from leaves(value, (*path, name))
    elif isinstance(tree, list) and tree:
        for index, value in enumerate(tree):
            yield from leaves(value, (*path, index))
    else:
        yield path, tree


def changes(value: Any) -> list[Any]:
    """What a leaf is changed to."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, value // 2 - 1, -value - 1]
    if isinstance(value, float):
        others = [value * (1 + _SLIGHTLY), value * (1 - _SLIGHTLY), value / 2, value * 2]
        return [one for one in (*others, value + 1e-3, -value - 1.0) if one != value]
    if isinstance(value, str):
        return [f"{value}x", value[:-1] + "~", ""] if value else ["x"]
    return [0.5, "x"]


def name_of(path: tuple[Any, ...]) -> str:
    """A path with its indices left out, as `INFORMATIONAL` writes it."""
    parts = ["[#]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).removeprefix(".")


def is_informational(path: tuple[Any, ...]) -> bool:
    """Whether docs/verify.md lists the field."""
    return any(one.fullmatch(name_of(path)) for one in _PATTERNS)


def changed(report: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The report with one leaf changed; what is not on the way is shared."""
    top = copy.copy(report)
    inner: Any = top
    for step in path[:-1]:
        inner[step] = copy.copy(inner[step])
        inner = inner[step]
    inner[path[-1]] = value
    return top


def unseen(report: dict[str, Any], every: int = 1, first: int = 0) -> list[tuple[str, Any]]:
    """Changes of leaves that are not informational and that are no mismatch.

    Args:
        report: as read from its JSON.
        every: takes one leaf in so many.
        first: the first one that is taken.
    """
    found = []
    for path, value in [*leaves(report)][first::every]:
        if is_informational(path):
            continue
        found += [
            (".".join(map(str, path)), other)
            for other in changes(value)
            if not verify(Fields(changed(report, path, other))).mismatches
        ]
    return found


def main(paths: list[str]) -> int:
    """Fuzz the reports; the number of changes that were not seen."""
    total = 0
    for path in paths:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        missed = unseen(report)
        total += len(missed)
        print(f"{path}: {len([*leaves(report)])} leaves, {len(missed)} changes unseen")
        for where, other in missed:
            print(f"  {where} -> {other!r}")
    return total


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
