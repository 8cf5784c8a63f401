"""The Rademacher-shell bounds in detail: the shell, its volume, and what would be informative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.records import Bound
from dlgen_cli.render import numbers, terms
from dlgen_cli.render.model import Block, Column, Fact, Facts, Section, Table
from dlgen_cli.render.sections.bounds import value


def rademacher_section(bounds: Sequence[Bound]) -> Section | None:
    """Show the place of the network in the box and each bound's terms; None without them.

    Args:
        bounds: all bounds of the report.

    Returns:
        A table, a row for each bound, then what the bounds share.
    """
    ours = terms.of_family(bounds, "rademacher")
    if not ours:
        return None
    table = Table(
        columns=(
            Column(header="bound", kind="name"),
            Column(header="volume ≤"),
            Column(header="complexity ≤"),
            Column(header="deviation ≤"),
            Column(header="value ≤"),
        ),
        rows=tuple(
            (
                terms.short_name(bound),
                terms.upper(bound.terms, "volume"),
                terms.upper(bound.terms, "complexity"),
                terms.upper(bound.terms, "deviation"),
                value(bound),
            )
            for bound in ours
        ),
    )
    shared = {name: term for bound in ours for name, term in bound.terms.items()}
    facts = tuple(Fact(label=label, value=text) for label, text in _place(shared))
    blocks: tuple[Block, ...] = (table, Facts(facts=facts)) if facts else (table,)
    return Section(title="Rademacher shell", blocks=blocks)


def _place(shared: Mapping[str, Any]) -> list[tuple[str, str]]:
    place = []
    if terms.has(shared, "linf_norm"):
        largest = shared.get("largest_parameter")
        where = f", in {largest}" if isinstance(largest, str) and largest else ""
        place.append(("‖θ‖∞", terms.upper(shared, "linf_norm") + where))
    if isinstance(shared.get("shell"), int):
        epsilon = terms.number(shared, "epsilon")
        width = "" if epsilon is None else f", each {numbers.setting(epsilon)} wide"
        place.append(("shell k", terms.count(shared, "shell") + width))
    if isinstance(shared.get("parameters"), int):
        place.append(("parameters", terms.count(shared, "parameters")))
    distance = terms.number(shared, "distance")
    if distance is not None:
        place.append(("½ − ‖θ‖∞", numbers.lower(distance)))
    informative = terms.number(shared, "informative_distance")
    if informative is not None:
        text = f"while ½ − ‖θ‖∞ is at most {numbers.lower(informative)}"
        place.append(("informative", text if informative > 0 else "at no distance"))
    anywhere = terms.number(shared, "informative_distance_any_epsilon")
    if anywhere is not None:
        text = f"at most {numbers.lower(anywhere)}" if anywhere > 0 else "at no distance"
        place.append(("at any epsilon", text))
    return place
