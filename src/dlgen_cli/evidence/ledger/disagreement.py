"""The ledger of a certificate through a surrogate: what it was kept from."""

from __future__ import annotations

from dataclasses import replace

from dlgen_cli.bounds.assumptions import declared, violated
from dlgen_cli.evidence.ledger.shared import told_repeated
from dlgen_cli.records import Assumption


def pair_line() -> Assumption:
    """That no unlabelled example shaped or chose a network."""
    return declared(
        "Both networks were fixed before the unlabelled examples were seen.",
        "Given as such with --surrogate and --unlabelled: no program can tell who looked at what.",
    )


def fresh_line(count: int, shared: int, doubt: str) -> Assumption:
    """Whether an unlabelled example is on record as having trained a network.

    Args:
        count: unlabelled examples.
        shared: of them, those that trained one of the networks, by hash.
        doubt: of which ancestor nothing is known; empty where all are on record.
    """
    statement = "No unlabelled example trained either network."
    if shared:
        return violated(statement, f"{shared:,} of the {count:,} did, by their hashes.")
    weak = f" {doubt}." if doubt else ""
    return declared(
        statement,
        f"None of the {count:,} is on record as having, by hash; one that was stored otherwise "
        f"has another hash.{weak}",
    )


def unlabelled_line(repeated: int) -> Assumption:
    """That the unlabelled examples come from the population of the labelled ones."""
    return declared(
        "The unlabelled examples are independent draws from the population.",
        f"Given as such with --unlabelled; {told_repeated(repeated)}",
    )


def of_surrogate(line: Assumption) -> Assumption:
    """A line on the holdout that says whose it is."""
    return replace(line, statement=f"Of the surrogate: {line.statement}")
