"""The ledger of a trained posterior: its prior's mean and deviations, and what it covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlgen_cli.bounds.assumptions import declared, verified
from dlgen_cli.records import Assumption

if TYPE_CHECKING:
    from dlgen_cli.checkpoints.runs.run_config import AnchorFacts


def prior_mean_line(facts: AnchorFacts, left: int, doubt: str) -> Assumption:
    """Where the prior's mean of a trained posterior comes from.

    Args:
        facts: as the run recorded them.
        left: examples in the bound, once those that trained it have left.
        doubt: why no program can verify that all of those are on record; empty where one can.
    """
    statement = "The prior's mean does not depend on the bound's sample."
    name, origin, examples = facts["name"], facts["origin"], facts["examples"]
    if origin == "initial":
        evidence = "The initialization that the run drew before its first step."
        return declared(statement, evidence)
    file = f"{name}, sha256 {facts['sha256'][:12]}"
    if not examples:
        return declared(statement, f"{file}, records no run; it was given as independent.")
    text = (
        f"{file}, was trained on {examples:,} examples on record; none of them is among the "
        f"{left:,} left in the bound, by hash."
    )
    return declared(statement, f"{text} {doubt}") if doubt else verified(statement, text)


def prior_deviations_line(tensors: int, exponents: int, choice_nats: float) -> Assumption:
    """What the prior's deviations were taken from."""
    return verified(
        "The prior's deviations were fixed before the sample but for a choice that is paid for.",
        "Each is the root mean square of its tensor in the prior's mean times 2^(j/2), j one of "
        f"{exponents}: {choice_nats:,.1f} nats for {tensors:,} tensors.",
    )


def tried_line(settings: int, nats: float) -> Assumption:
    """What the prior's settings were chosen from after looking.

    Args:
        settings: in a list that was fixed in advance.
        nats: the code length of those that a search chose.
    """
    if nats:
        evidence = (
            f"{nats:g} nats as given with --tried-nats: the length of those that the search chose, "
            "in a prefix code over all that it could have reached, fixed before it."
        )
    elif settings > 1:
        evidence = (
            f"{settings:,} as given with --tried, a list fixed before any result was seen "
            "(architecture, views, scale of the head, what is frozen): "
            f"ln {settings:,} nats."
        )
    else:
        evidence = "No other was tried: neither --tried nor --tried-nats was given."
    return declared(
        "All settings of the prior that were tried on these data are paid for.", evidence
    )


def drawn_network_line(file: str, sha256: str) -> Assumption:
    """What a certificate of one drawn network is about."""
    return verified(
        "The statement is about the one network that was drawn and written.",
        f"{file}, sha256 {sha256[:12]}: its errors on the sample were counted.",
    )


def seed_line() -> Assumption:
    """What the draw rests on."""
    return declared(
        "The draw depends on the sample through the posterior alone.",
        "Its seed is the SHA-256 of a constant of dlgen and of the run's files, and stands for "
        "independent standard normals; no run was repeated because of what was drawn from it.",
    )


def random_predictor_line() -> Assumption:
    """What a trained posterior is."""
    return verified(
        "The statement is about the random predictor Q, the trained Gaussian over the weights.",
        "It does not cover the mean network itself.",
    )
