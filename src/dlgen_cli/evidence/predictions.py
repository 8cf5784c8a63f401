"""Losses of a predictor that was evaluated elsewhere, and the certificates of its risk."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from dlgen_cli import bounds
from dlgen_cli.bounds.assumptions import declared, verified
from dlgen_cli.bounds.betting import loss_counts
from dlgen_cli.datasets.features import DAMAGES
from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.records import Assumption, Bound

Part = Literal["holdout", "sample"]
#: What the column ``split`` may hold.
SPLITS: Mapping[str, Part] = {
    "holdout": "holdout",
    "test": "holdout",
    "sample": "sample",
    "train": "sample",
}
_MOST_DIGITS = 1000
_COLUMNS = ("label", "prediction", "loss", "split", "group")
_REMEDY = "Give the columns label and prediction, or loss; split and group where you have them."


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The losses of one part of the data.

    Attributes:
        counts: how often each loss occurs, exact, in [0, 1]: of the examples, or of groups, each
            the mean of its examples.
        examples: rows that they are made of.
        is_grouped: whether examples came in groups.
        source: the lines of the ledger that say where they come from.
    """

    counts: Mapping[Fraction, int]
    examples: int
    is_grouped: bool
    source: Sequence[Assumption]

    @property
    def errors(self) -> int | None:
        """How many are 1; None where one is neither 0 nor 1, or where they are means of groups."""
        is_count = not self.is_grouped and self.counts.keys() <= {0, 1}
        return self.counts.get(Fraction(1), 0) if is_count else None


def given_losses(errors: int, examples: int) -> Losses:
    """Counts that the user gave.

    Raises:
        UsageError: they contradict each other.
    """
    if not 0 <= errors <= examples or examples < 1:
        raise UsageError(
            f"--errors is {errors} and --examples {examples}; errors from 0 to the examples, at "
            "least 1, were expected."
        )
    line = declared(
        f"The predictor errs on {errors:,} of {examples:,} examples.",
        "As given with --errors and --examples.",
    )
    counts = {Fraction(1): errors, Fraction(0): examples - errors}
    return Losses(counts=counts, examples=examples, is_grouped=False, source=[line])


def read_predictions(path: Path, default: Part) -> dict[Part, Losses]:
    """Read a table of predictions or losses.

    Args:
        path: comma-separated text with a header, or ``.npz`` arrays of one length; told by content.
            Columns: ``label`` and ``prediction``, which are compared, or ``loss`` in [0, 1]; and
            ``split``, one of `SPLITS`, and ``group``.
        default: the part that all rows belong to where there is no ``split``.

    Returns:
        The parts that occur.

    Raises:
        DataError: the file cannot be read as such a table; the row is named.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", remedy=_REMEDY) from error
    table = _arrays(content, path) if content.startswith(b"PK") else _rows(content, path)
    losses = _losses(table, path)
    splits = [_part(text, path) for text in table["split"]] if "split" in table else None
    digest = hashlib.sha256(content).hexdigest()
    has_groups = "group" in table
    found: dict[Part, Losses] = {}
    for part in ("holdout", "sample"):
        chosen = [row for row in range(len(losses)) if (splits[row] if splits else default) == part]
        if chosen:
            groups = [_group(table["group"][row], path) for row in chosen] if has_groups else None
            line = verified(
                "Each example was counted once.",
                f"{len(chosen):,} rows of {path.name}, sha256 {digest[:12]}.",
            )
            found[part] = _part_of([losses[row] for row in chosen], groups, line)
    return found


def _part_of(losses: Sequence[Fraction], groups: Sequence[str] | None, line: Assumption) -> Losses:
    if groups is None:
        return Losses(counts=Counter(losses), examples=len(losses), is_grouped=False, source=[line])
    members: dict[str, list[Fraction]] = {}
    for loss, group in zip(losses, groups, strict=True):
        members.setdefault(group, []).append(loss)
    means = Counter(sum(one, Fraction(0)) / len(one) for one in members.values())
    return Losses(counts=means, examples=len(losses), is_grouped=True, source=[line])


def _rows(content: bytes, path: Path) -> dict[str, list[str]]:
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        rows = [row for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no comma-separated text: {error}.", remedy=_REMEDY) from error
    names = [name.strip().lower() for name in rows[0]] if rows else []
    twice = next((name for name in _COLUMNS if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns {twice}; one was expected.", remedy=_REMEDY)
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise DataError(
                f"Row {number} of {path} has {len(row)} cells; {len(names)} were expected, as in "
                "its header.",
                remedy=_REMEDY,
            )
    columns = zip(*rows[1:], strict=True) if len(rows) > 1 else [()] * len(names)
    table = zip(names, columns, strict=True)
    return {name: [cell.strip() for cell in cells] for name, cells in table if name in _COLUMNS}


def _arrays(content: bytes, path: Path) -> dict[str, list[str]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name in _COLUMNS}
    except DAMAGES as error:
        raise DataError(f"{path} is no npz file: {error}.", remedy=_REMEDY) from error
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise DataError(
            f"The arrays of {path} have the shapes {shapes}; one length was expected.",
            remedy=_REMEDY,
        )
    return {name: [str(one) for one in array.tolist()] for name, array in arrays.items()}


def _losses(table: Mapping[str, Sequence[str]], path: Path) -> list[Fraction]:
    if "loss" in table:
        found = [_loss(text, row, path) for row, text in enumerate(table["loss"], 1)]
    elif "label" in table and "prediction" in table:
        pairs = zip(table["label"], table["prediction"], strict=True)
        found = [Fraction(not _is_same(*pair)) for pair in pairs]
    else:
        raise DataError(
            f"Of the columns that are read, {path} has {', '.join(table) or 'none'}.",
            remedy=_REMEDY,
        )
    if not found:
        raise DataError(f"{path} has no row.", remedy=_REMEDY)
    return found


def _loss(text: str, row: int, path: Path) -> Fraction:
    loss = _number(text)
    if loss is None or not 0 <= loss <= 1:
        raise DataError(
            f"The loss of example {row} of {path} is {text!r}; a number from 0 to 1 was expected.",
            remedy="Scale the loss to [0, 1], with a range that was fixed in advance.",
        )
    return loss


def _is_same(label: str, prediction: str) -> bool:
    """Whether two cells are the same text or the same number; an empty prediction is an error."""
    if label == prediction:
        return label != ""
    number = _number(label)
    return number is not None and number == _number(prediction)


def _number(text: str) -> Fraction | None:
    """A decimal number or a quotient of whole ones, exact; None for any other text.

    One of too many digits is text as well: written out, ``1e-999999999`` would fill the memory.
    """
    power = re.fullmatch(r"[^eE]*[eE][-+]?0*([0-9]*)", text)
    if len(text) > _MOST_DIGITS or (power and int(power[1] or 0) > _MOST_DIGITS):
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None


def _group(text: str, path: Path) -> str:
    if not text:
        raise DataError(
            f"{path} has an example without a group.", remedy="Name its group, one of its own too."
        )
    return text


def _part(text: str, path: Path) -> Part:
    found = SPLITS.get(text.lower())
    if found is None:
        raise DataError(
            f"{path} has the split {text!r}; one of {', '.join(SPLITS)} was expected.",
            remedy=_REMEDY,
        )
    return found


def bound_losses(part: Part, losses: Losses, nats: float, delta: float) -> Bound:
    """Bound the risk by the losses of one part.

    Losses of 0 and 1 are counted: Clopper-Pearson on the holdout, Occam on the sample. Others, and
    those of groups, are bounded by betting.

    Args:
        part: where they come from.
        losses: of that part.
        nats: what the choice of the predictor costs on the sample; not paid on the holdout.
        delta: failure probability in (0, 1).
    """
    lines = [*losses.source, *_lines(part, losses, nats)]
    paid, errors = (nats if part == "sample" else 0.0), losses.errors
    if errors is None:
        return bounds.betting(loss_counts(losses.counts), delta, union_nats=paid, assumptions=lines)
    if part == "holdout":
        return bounds.clopper_pearson(errors, losses.examples, delta, lines)
    return bounds.occam(0, errors, losses.examples, delta, union_nats=paid, assumptions=lines)


def _lines(part: Part, losses: Losses, nats: float) -> list[Assumption]:
    given = "As given: nothing but these numbers is known of the predictor."
    if part == "holdout":
        fixed = declared("The predictor was neither trained nor chosen on these examples.", given)
    else:
        fixed = declared(
            "The choice of the predictor is paid for.",
            f"--nats {nats:g}: the logarithm of the number of predictors in a list fixed before "
            "the sample, or the length of this one in a code fixed before it.",
        )
    if not losses.is_grouped:
        return [fixed, declared("The examples are independent draws from the population.", given)]
    return [
        fixed,
        declared("The groups are independent draws from the population.", given),
        verified(
            "Examples of a group may depend on each other.",
            f"{sum(losses.counts.values()):,} groups of {losses.examples:,} examples; each counts "
            "once, with its mean loss: the risk is that of a random example of a random group.",
        ),
    ]
