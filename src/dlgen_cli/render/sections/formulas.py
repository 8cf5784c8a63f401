"""The bounds worked out: the formulas of `dlgen explain`, with the numbers of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from dlgen_cli.bounds import explanation
from dlgen_cli.bounds.derivations.derivation import Step
from dlgen_cli.bounds.recorded_fields import Fields, UnusableField
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.records import Bound
from dlgen_cli.render.formats.json_text import plain
from dlgen_cli.render.model import Section, Working
from dlgen_cli.render.sections.bounds import has_value, value


def formulas_section(bounds: Sequence[Bound]) -> Section | None:
    """Work out every bound that has a derivation; None where none has.

    Args:
        bounds: in any order.

    Returns:
        What only a page shows, a block for each bound; the work is done when the page is written.
    """
    blocks = [
        Working(title=f"{bound.theorem} ≤ {value(bound)}", work=partial(_worked, bound))
        for bound in bounds
        if bound.theorem in THEOREMS and THEOREMS[bound.theorem].derive and has_value(bound)
    ]
    if not blocks:
        return None
    return Section(title="Formulas, with the numbers put in", blocks=tuple(blocks))


def _worked(bound: Bound) -> tuple[Sequence[Step], str]:
    fields = Fields(plain(asdict(bound)))
    try:
        steps = explanation.derive(fields)
    except UnusableField as error:
        return (), f"It cannot be worked out: {error}."
    return steps, explanation.agreement(fields, steps) if steps else "No value is given."
