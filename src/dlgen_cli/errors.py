"""Failures that a user can mend: what was found, what was expected, what to do."""

from __future__ import annotations

from typing import Any


class DlgenError(Exception):
    """Base of every failure that ends in one clear line and exit code 2.

    Attributes:
        code: stable identifier for scripts.
        message: what was found and what was expected.
        remedy: what to do next.
        is_shared: whether every process of an audit that is spread over several has it.
    """

    code = "error"
    is_shared = False

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the remedy, which is no positional argument."""
        return _remake, (type(self), self.message, self.remedy)

    def __str__(self) -> str:
        """The line that the user reads."""
        return f"{self.message} {self.remedy}".strip()


def _remake(kind: type[DlgenError], message: str, remedy: str) -> DlgenError:
    return kind(message, remedy=remedy)


class UsageError(DlgenError):
    """An option is missing, unknown or out of its range."""

    code = "usage"


class CheckpointError(DlgenError):
    """A file cannot be read as a checkpoint."""

    code = "checkpoint"


class TensorError(DlgenError):
    """A tensor holds what cannot be audited: NaN, infinity, a wrong shape."""

    code = "tensor"


class AnchorError(DlgenError):
    """An anchor does not match the checkpoint."""

    code = "anchor"


class DataError(DlgenError):
    """A data set cannot be read or does not fit."""

    code = "data"


class TrainingError(DlgenError):
    """A training run cannot start or go on."""

    code = "training"


class ReportFileError(DlgenError):
    """A file is no report that can be verified."""

    code = "report"


class OutputError(DlgenError):
    """A report or a plot cannot be written."""

    code = "output"


class StrictError(DlgenError):
    """``--strict`` was given and a layer was skipped."""

    code = "strict"


class DependencyError(DlgenError):
    """An optional dependency is missing."""

    code = "dependency"
