"""The ledger of a change from a base: what the base is, and what the code counts."""

from __future__ import annotations

from dlgen_cli.bounds.assumptions import declared, verified, violated
from dlgen_cli.records import Assumption


def base_line(name: str, sha256: str, *, is_same: bool) -> Assumption:
    """Whether the base is independent of the sample, as far as a program can tell.

    Args:
        name: of its file, with what it records of itself.
        sha256: of its file.
        is_same: it is the checkpoint, which was trained on that sample.
    """
    statement = "The base does not depend on the bound's sample."
    if is_same:
        return violated(statement, f"{name} is the checkpoint, which was trained on that sample.")
    return declared(statement, f"Given with --base: {name}, sha256 {sha256[:12]}.")


def change_line(bits: int, rank: int | None, power: float) -> Assumption:
    """What the code of the change counts.

    Args:
        bits: all of them.
        rank: of the factors; None for whole tensors.
        power: binary logarithm of the step.
    """
    how = "whole tensors" if rank is None else f"factors of rank {rank}"
    return verified(
        "Every bit of the change from the base is paid for.",
        f"All {bits:,} bits, read with the base at hand: rank, step, which tensors changed, and "
        f"multiples of the step for {how}, 2^{power:g} root mean squares of the base's tensor. A "
        "code tells its own length, so that codes are a prefix code.",
    )
