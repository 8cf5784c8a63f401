"""Which certificate wins, in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dlgen_cli.bounds.holdout import CLOPPER_PEARSON


def verdict(values: Mapping[str, float | None], *, altered: bool = False) -> str:
    """Compare the certificates of one checkpoint, where they speak of one population.

    Args:
        values: upper bounds on the risk by theorem; None where one does not apply. All hold at
            once, unless labels are altered.
        altered: labels of the sample were altered, and those of the holdout were not: the others
            bound risks on another population than the holdout's, and nothing is compared.

    Returns:
        One sentence, or two; numbers have four digits, rounded up.
    """
    found = {name: value for name, value in values.items() if value is not None}
    return _two_populations(found) if altered else _one_population(found)


def _one_population(found: dict[str, float]) -> str:
    if not found:
        return "No certificate applies."
    if min(found.values()) >= 1:
        return "Every certificate is vacuous: nothing is said about the risk."
    holdout = found.pop(CLOPPER_PEARSON.name, None)
    name = min(found, key=found.__getitem__, default=None)
    if holdout is None:
        return f"{name} certifies a risk of at most {_shown(min(found.values()))}."
    if name is None or found[name] >= 1:
        return (
            f"The holdout certifies a risk of at most {_shown(holdout)}; from the training "
            "examples theory certifies nothing."
        )
    if found[name] < holdout:
        return (
            f"{name} certifies a risk of at most {_shown(found[name])} from the training examples "
            f"and beats the holdout's {_shown(holdout)}."
        )
    return (
        f"The holdout certifies a risk of at most {_shown(holdout)}; from the training examples "
        f"theory certifies {_shown(found[name])} ({name})."
    )


def _two_populations(found: Mapping[str, float]) -> str:
    below = {name: value for name, value in found.items() if value < 1}
    holdout = below.pop(CLOPPER_PEARSON.name, None)
    real = "nothing" if holdout is None else f"a risk of at most {_shown(holdout)}"
    others = [f"{name} at most {_shown(value)}" for name, value in below.items()]
    return (
        f"On real labels the holdout certifies {real}. On the population with altered labels, "
        f"which is another one, theory certifies {', '.join(others) or 'nothing'}."
    )


def _shown(value: float) -> str:
    """Four digits, rounded up; more where a value below 1 would not show as that."""
    shown = math.ceil(value * 10_000) / 10_000
    return repr(value) if value < 1 <= shown else f"{shown:.4f}"
