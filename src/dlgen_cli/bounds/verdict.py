"""Which certificate wins, in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dlgen_cli.bounds.holdout import CLOPPER_PEARSON


def verdict(values: Mapping[str, float | None]) -> str:
    """Compare the certificates of one checkpoint.

    Args:
        values: upper bounds on the risk by theorem; None where one does not apply. All hold at
            once.

    Returns:
        One sentence; numbers have four digits, rounded up.
    """
    found = {name: value for name, value in values.items() if value is not None}
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


def _shown(value: float) -> str:
    """Four digits, rounded up; more where a value below 1 would not show as that."""
    shown = math.ceil(value * 10_000) / 10_000
    return repr(value) if value < 1 <= shown else f"{shown:.4f}"
