"""The ledger of a coded run: what its code counts, and what its prior rests on."""

from __future__ import annotations

from dlgen_cli.bounds.assumptions import declared, verified
from dlgen_cli.records import Assumption


def coded_lines(bits: int, settings: int) -> list[Assumption]:
    """What the code of a run of ``--objective coded`` counts."""
    return [
        verified(
            "The network is rebuilt from its code alone.",
            f"All {bits:,} bits of the file are paid: architecture, seed, D, step, lengths, "
            "coordinates. A file tells its own length, so that files are a prefix code.",
        ),
        _family_line(settings),
    ]


def coded_prior_lines(bits: int, settings: int) -> list[Assumption]:
    """What the prior of a Gaussian over coordinates rests on."""
    return [
        verified(
            "The prior is the standard normal over the coordinates, fixed before the sample.",
            f"Architecture, width, seed and D are paid with the {bits} bits that write them, the "
            "prior's deviation with the logarithm of its 49 values.",
        ),
        _family_line(settings),
        verified(
            "The statement is about the random predictor.",
            "It does not cover the network at the posterior's mean.",
        ),
    ]


def landmark_line() -> Assumption:
    """What a posterior over functions rests on that is described at images of the sample."""
    return declared(
        "The prior over functions does not depend on the landmarks.",
        "In exact arithmetic it is the same Gaussian process whatever they are: they only say "
        "where the posterior differs from it. float32 stands for exact arithmetic.",
    )


def _family_line(settings: int) -> Assumption:
    statement = "The architecture's list and its constants were fixed before the sample, or paid."
    if settings > 1:
        return declared(
            statement,
            f"Its constants were chosen among at most {settings:,} settings by trying them on "
            "CIFAR-10: their logarithm is paid.",
        )
    return declared(statement, "Both are part of dlgen; nothing of them was chosen by data.")
