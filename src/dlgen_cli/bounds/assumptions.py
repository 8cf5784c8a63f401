"""Lines of a bound's ledger."""

from __future__ import annotations

from dlgen_cli.records import Assumption


def assumed(statement: str, evidence: str) -> Assumption:
    """A line that nobody checked."""
    return Assumption(statement=statement, status="assumed", evidence=evidence)


def declared(statement: str, evidence: str) -> Assumption:
    """A line that the user put on the record."""
    return Assumption(statement=statement, status="declared", evidence=evidence)


def verified(statement: str, evidence: str) -> Assumption:
    """A line that the program checked."""
    return Assumption(statement=statement, status="verified", evidence=evidence)


def violated(statement: str, evidence: str) -> Assumption:
    """A line that the program found to be false."""
    return Assumption(statement=statement, status="violated", evidence=evidence)
