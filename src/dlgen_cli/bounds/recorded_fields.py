"""Reading a report that anyone may have written: every field is asked for by name and type."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from dlgen_cli.errors import ReportFileError
from dlgen_cli.records import SCHEMA_VERSION, Assumption

#: Reports of this schema are read too: they know no other status than ``holds`` below 1.
FIRST_SCHEMA = "1"
_REMEDY = "Save one with --json, for example: dlgen audit CKPT --json > report.json."


class UnusableField(Exception):  # noqa: N818 - a finding, not a failure
    """A field is missing, or holds what a report of dlgen never holds there.

    Attributes:
        where: the field.
        found: what is there; None where nothing is.
        expected: in words.
    """

    def __init__(self, where: str, found: object, expected: str) -> None:
        super().__init__(f"{where}: {expected} was expected")
        self.where, self.found, self.expected = where, found, expected


class Fields:
    """A JSON object whose entries are asked for by name and type."""

    def __init__(self, values: object, where: str = "") -> None:
        if not isinstance(values, Mapping):
            raise UnusableField(where, values, "an object")
        self.values: Mapping[str, Any] = values
        self.where = where

    def path(self, name: str) -> str:
        """Where an entry stands in the report."""
        return f"{self.where}.{name}" if self.where else name

    def get(self, name: str) -> Any:
        """The entry, of any type; None where there is none."""
        return self.values.get(name)

    def number(self, name: str) -> float:
        """A finite number; whole numbers stay whole."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(name, "a number")
        if not math.isfinite(value):
            self._refuse(name, "a finite number")
        return value

    def optional_number(self, name: str) -> float | None:
        """A finite number, or None where the entry is null or missing."""
        return None if self.get(name) is None else self.number(name)

    def count(self, name: str) -> int:
        """A whole number."""
        value = self.number(name)
        if not isinstance(value, int):
            self._refuse(name, "a whole number")
        return value

    def text(self, name: str) -> str:
        """A text."""
        value = self.get(name)
        if not isinstance(value, str):
            self._refuse(name, "a text")
        return value

    def flag(self, name: str) -> bool:
        """A truth value."""
        value = self.get(name)
        if not isinstance(value, bool):
            self._refuse(name, "true or false")
        return value

    def fields(self, name: str) -> Fields:
        """An object."""
        return Fields(self.get(name), self.path(name))

    def items(self, name: str) -> list[Any]:
        """A list."""
        value = self.get(name)
        if not isinstance(value, list):
            self._refuse(name, "a list")
        return value

    def rows(self, name: str) -> Iterator[Fields]:
        """A list of objects."""
        for index, row in enumerate(self.items(name)):
            yield Fields(row, f"{self.path(name)}[{index}]")

    def counts(self, name: str) -> dict[str, int]:
        """An object of whole numbers."""
        inner = self.fields(name)
        return {one: inner.count(one) for one in inner.values}

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        found = self.items(name)
        if not all(isinstance(one, str) for one in found):
            self._refuse(name, "a list of texts")
        return found

    def numbers(self, name: str) -> list[float]:
        """A list of finite numbers."""
        inner = Fields(dict(enumerate(self.items(name))), self.path(name))
        return [inner.number(index) for index in inner.values]

    def _refuse(self, name: str, expected: str) -> NoReturn:
        raise UnusableField(self.path(name), self.get(name), expected)


def read_assumptions(bound: Fields) -> tuple[Assumption, ...]:
    """The ledger of a recorded bound."""
    lines = []
    for row in bound.rows("assumptions"):
        status = row.text("status")
        if status not in {"verified", "declared", "assumed", "violated"}:
            raise UnusableField(row.path("status"), status, "a status of an assumption")
        lines.append(
            Assumption(
                statement=row.text("statement"),
                status=status,  # type: ignore[arg-type]  # checked above
                evidence=row.text("evidence"),
            )
        )
    return tuple(lines)


def read_report(path: Path) -> Fields:
    """Read a report with bounds that was saved as JSON.

    Args:
        path: of the file.

    Returns:
        The envelope.

    Raises:
        ReportFileError: see `read_envelope`; or the report holds no bound.
    """
    values = read_envelope(path)
    if not values["bounds"]:
        raise ReportFileError(f"{path} holds no bound.", remedy=_REMEDY)
    return Fields(values)


def read_envelope(path: Path) -> dict[str, Any]:
    """Read a report that was saved as JSON, with or without bounds.

    Args:
        path: of the file.

    Raises:
        ReportFileError: the file cannot be read, is no report of a known schema, or tells of a
            failure.
    """
    try:
        content = path.read_text(encoding="utf-8")
        values = json.loads(content, parse_constant=_refuse_constant)
    except OSError as error:
        raise ReportFileError(
            f"{path} cannot be read: {error.strerror}.", remedy=_REMEDY
        ) from error
    except (ValueError, RecursionError) as error:
        raise ReportFileError(f"{path} is no JSON of dlgen: {error}.", remedy=_REMEDY) from error
    names = {"schema_version", "dlgen_version", "command", "status", "settings", "bounds"}
    if not isinstance(values, dict) or not names <= values.keys():
        raise ReportFileError(f"{path} is no report of dlgen.", remedy=_REMEDY)
    if values["schema_version"] not in (FIRST_SCHEMA, SCHEMA_VERSION):
        raise ReportFileError(
            f"{path} has the schema {values['schema_version']!r}; {FIRST_SCHEMA!r} or "
            f"{SCHEMA_VERSION!r} was expected.",
            remedy="Verify it with the version of dlgen that wrote it.",
        )
    if values["status"] != "success":
        raise ReportFileError(f"{path} is the report of a failure.", remedy=_REMEDY)
    if not isinstance(values["bounds"], list):
        raise ReportFileError(f"{path} is no report of dlgen.", remedy=_REMEDY)
    return values


def is_first(report: Fields) -> bool:
    """Whether a report is of the first schema."""
    return bool(report.get("schema_version") == FIRST_SCHEMA)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")
