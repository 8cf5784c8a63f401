"""The four postulates: a table of the runs, a verdict on each, and the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.render import numbers
from dlgen_cli.render.model import Block, Column, Fact, Facts, Paragraph, Picture, Section, Table

_TONES: Mapping[str, Any] = {"holds": "good", "does not hold": "bad"}


def postulates_sections(results: Mapping[str, Any]) -> list[Section]:
    """Arrange the results of ``postulates`` for reading."""
    curves = results["curves"]

    def draw() -> str:
        from dlgen_cli.render.plots.figures import svg_text
        from dlgen_cli.render.plots.learning_curves import learning_curves

        return svg_text(learning_curves(curves))

    picture = Picture(caption="Errors at the epochs that were evaluated.", draw=draw)
    over_seeds = results.get("over_seeds") or []
    several = [_over_seeds(over_seeds)] if over_seeds and len(over_seeds[0]["seeds"]) > 1 else []
    return [
        _verdicts(results["verdicts"]),
        *several,
        _runs(results["runs"]),
        Section(title="Curves", blocks=(picture,), role="main"),
    ]


def _over_seeds(rows: Sequence[Mapping[str, Any]]) -> Section:
    seeds = ", ".join(str(seed) for seed in rows[0]["seeds"])
    table = Table(
        columns=(
            Column(header="trained on", kind="name"),
            Column(header="train error"),
            Column(header="range", priority=1),
            Column(header="test error"),
            Column(header="range", priority=1),
        ),
        rows=tuple(
            (
                row["dataset"],
                *_mean_and_range(row["train_error"]),
                *_mean_and_range(row["test_error"]),
            )
            for row in rows
        ),
        note=f"Means over the seeds {seeds}, and the range from the lowest to the highest.",
    )
    return Section(title="Over the seeds", blocks=(table,), role="main")


def _mean_and_range(spread: Mapping[str, float]) -> tuple[str, str]:
    return f"{spread['mean']:.4f}", f"{spread['lowest']:.4f}–{spread['highest']:.4f}"


def _runs(runs: Sequence[Mapping[str, Any]]) -> Section:
    first = runs[0]
    facts = Facts(
        facts=(
            Fact(label="parameters", value=numbers.integer(first["parameters"])),
            Fact(label="examples", value=f"{numbers.integer(first['examples'])} in each run"),
        )
    )
    several = len({run.get("seed") for run in runs}) > 1
    rows = tuple(
        (
            run["dataset"],
            *([str(run["seed"])] if several else []),
            numbers.integer(run["altered"]),
            f"{run['train_error']:.4f}",
            f"{run['test_error']:.4f}",
            f"{numbers.lower(run['test_error_lower'])}–{numbers.upper(run['test_error_upper'])}",
            numbers.integer(run["epochs"]),
        )
        for run in runs
    )
    columns = (
        Column(header="trained on", kind="name"),
        *([Column(header="seed")] if several else []),
        Column(header="altered", priority=2),
        Column(header="train error"),
        Column(header="test error"),
        Column(header="interval", priority=1),
        Column(header="epochs", priority=3),
    )
    note = (
        "The intervals enclose the risk on real data, all at once, with probability 1 − delta "
        "over the test set (Clopper and Pearson)."
    )
    table = Table(columns=columns, rows=rows, note=note)
    return Section(title="Runs", blocks=(facts, table), role="main")


def _verdicts(verdicts: Sequence[Mapping[str, Any]]) -> Section:
    blocks: list[Block] = []
    for verdict in verdicts:
        status = verdict["status"]
        reason = f" ({verdict['reason']})" if verdict["reason"] else ""
        blocks += [
            Paragraph(
                text=f"Postulate {verdict['postulate']} {status}{reason}: {verdict['statement']}",
                tone=_TONES.get(status, "caution"),
            ),
            Paragraph(text=f"Found: {verdict['evidence']}."),
            Paragraph(text=f"Rule: {verdict['rule']}.", tone="muted"),
        ]
    return Section(title="Verdicts", blocks=tuple(blocks), role="answer")
