"""What a reader is told of theorems, statuses and words, as Markdown.

The texts are files: ``explanations/`` has one for each theorem, the folder of that name beside the
implicit regularization one for each of its two, ``words.md`` the rest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources import files

from dlgen_cli.bounds.arithmetic import log10, to_float
from dlgen_cli.bounds.derivations.derivation import Step, shown_number
from dlgen_cli.bounds.recorded_fields import Fields, UnusableField
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.errors import UsageError

#: The lines start from numbers that were rounded up to floats.
_ROUNDING = 1e-9
_ENTRY = re.compile(r"^- `([^`]+)`: (.+(?:\n  .+)*)", flags=re.MULTILINE)


def words() -> dict[str, str]:
    """Statuses and words with their meanings, in the order of the file."""
    return {word: " ".join(text.split()) for word, text in _ENTRY.findall(words_text())}


def implicit_texts() -> dict[str, str]:
    """What ``dlgen implicit`` shows, by name: the whole text, with its title."""
    folder = files("dlgen_cli.implicit").joinpath("explanations")
    texts = sorted((one for one in folder.iterdir()), key=lambda one: one.name)
    return {one.name.removesuffix(".md"): one.read_text(encoding="utf-8") for one in texts}


def overview() -> str:
    """Every theorem with its title, then statuses and words."""
    titles = {name: one.title for name, one in THEOREMS.items()}
    for name, text in implicit_texts().items():
        titles[name] = text.partition("\n")[0].removeprefix("# ")
    width = max(map(len, titles))
    lines = [f"    {name:<{width}}  {title}" for name, title in titles.items()]
    return "# What dlgen can explain\n\n## Theorems\n\n" + "\n".join(lines) + "\n\n" + words_text()


def explain(name: str) -> str:
    """A theorem, a status or a word.

    Args:
        name: as `overview` lists it.

    Raises:
        UsageError: there is none of that name; the nearest are named.
    """
    if name in THEOREMS:
        return THEOREMS[name].explain()
    implicit = implicit_texts()
    if name in implicit:
        return implicit[name]
    known = words()
    if name.lower() in known:
        return f"# {name.lower()}\n\n{known[name.lower()]}\n"
    near = get_close_matches(name, [*THEOREMS, *implicit, *known], n=3, cutoff=0.4)
    near += [one for one in (*THEOREMS, *implicit) if name in one and one not in near]
    raise UsageError(
        f"There is no theorem and no word {name!r}.",
        remedy=f"Did you mean {' or '.join(near)}?" if near else "dlgen explain lists them.",
    )


def bounds_of(report: Fields, theorem: str | None) -> list[Fields]:
    """The bounds of a saved report, of one theorem or of all that are known.

    Raises:
        UsageError: there is none.
    """
    rows = [row for row in report.rows("bounds") if row.get("theorem") in THEOREMS]
    found = [row for row in rows if theorem in (None, row.get("theorem"))]
    if not found:
        there = ", ".join(row.text("theorem") for row in rows) or "none that is known here"
        raise UsageError(f"The report holds no bound of {theorem}.", remedy=f"It holds {there}.")
    return found


def derive(bound: Fields) -> Sequence[Step]:
    """The lines of a recorded bound; none where it is withheld.

    Raises:
        UnusableField: a term is missing or impossible.
    """
    theorem = THEOREMS[bound.text("theorem")]
    is_withheld = bound.get("value") is None and bound.get("log10_value") is None
    if theorem.derive is None or is_withheld:
        return ()
    return theorem.derive(bound.fields("terms"))


def worked(bound: Fields) -> str:
    """A recorded bound with its numbers put in, as a section."""
    name, status = bound.text("theorem"), bound.text("status")
    title = f"## {name} with the numbers of the report\n\n"
    try:
        steps = derive(bound)
    except UnusableField as error:
        return f"{title}It cannot be worked out: {error}.\n"
    if not steps:
        reasons = [
            f"- {row.text('statement')} {row.text('evidence')}\n"
            for row in bound.rows("assumptions")
            if row.get("status") == "violated"
        ]
        return f"{title}No value is given ({status}).\n\n" + "".join(reasons)
    width = max(len(step.symbol) for step in steps)
    lines = [line for step in steps for line in _lines(step, width)]
    return (
        f"{title}" + "\n".join(f"    {line}" for line in lines) + f"\n\n{agreement(bound, steps)}\n"
    )


def _lines(step: Step, width: int) -> list[str]:
    shown = shown_number(step.value)
    if not step.formula:
        return [f"{step.symbol:<{width}} = {shown}   ({step.numbers})"]
    lines = [f"{step.symbol:<{width}} = {step.formula}"]
    if step.numbers.strip("()") not in (step.formula, shown.strip("()")):
        lines.append(f"{'':<{width}} = {step.numbers}")
    return [*lines, f"{'':<{width}} = {shown}"]


def agreement(bound: Fields, steps: Sequence[Step]) -> str:
    """Whether the last line is what the report says, in a sentence."""
    status, found = bound.text("status"), steps[-1].value
    value, logarithm = bound.get("value"), bound.get("log10_value")
    if value is not None:
        agrees = math.isclose(to_float(found) or math.inf, value, rel_tol=_ROUNDING)
    else:
        agrees = math.isclose(log10(found) or 0.0, logarithm or 0.0, abs_tol=_ROUNDING)
    if agrees:
        return f"This is the value on the page: {status}. Every number is rounded up."
    recorded = value if value is not None else f"10^{logarithm}"
    return f"The report says {recorded} ({status}); dlgen verify tells what differs."


def words_text() -> str:
    """Statuses and words, with two headings."""
    return files("dlgen_cli.bounds").joinpath("words.md").read_text(encoding="utf-8")
