"""Ranges of the numbers that the theorems accept, checked by name."""

from __future__ import annotations

import math

from dlgen_cli.errors import UsageError


def require_finite(name: str, value: float) -> None:
    """Refuse NaN and infinity.

    Raises:
        UsageError: naming the option.
    """
    if not math.isfinite(value):
        raise UsageError(f"{name} is {value}; a finite number was expected.")


def require_delta(delta: float) -> None:
    """Refuse a failure probability outside (0, 1).

    Raises:
        UsageError: naming the value.
    """
    if not 0 < delta < 1:
        raise UsageError(
            f"delta is {delta}; a failure probability strictly between 0 and 1 was expected.",
            remedy="Try --delta 0.05.",
        )


def require_examples(m: int, least: int = 2) -> None:
    """Refuse a sample of fewer than ``least`` examples.

    Raises:
        UsageError: naming the count.
    """
    if m < least:
        raise UsageError(
            f"m is {m}; at least {least} examples were expected.",
            remedy="Give the number of training examples with --m.",
        )


def require_positive(name: str, value: float) -> None:
    """Refuse a number that is not finite and above zero.

    Raises:
        UsageError: naming the option.
    """
    require_finite(name, value)
    if value <= 0:
        raise UsageError(f"{name} is {value}; a number above 0 was expected.")


def require_nonnegative(name: str, value: float) -> None:
    """Refuse a number that is not finite or is below zero.

    Raises:
        UsageError: naming the quantity.
    """
    require_finite(name, value)
    if value < 0:
        raise UsageError(f"{name} is {value}; a number of at least 0 was expected.")


def require_probability(name: str, value: float) -> None:
    """Require a number from 0 to 1.

    Raises:
        UsageError: it is not.
    """
    if not 0 <= value <= 1:
        raise UsageError(f"{name} is {value}; a number from 0 to 1 was expected.")


def require_count(name: str, value: int) -> None:
    """Refuse an integer below 1.

    Raises:
        UsageError: naming the option.
    """
    if value < 1:
        raise UsageError(f"{name} is {value}; an integer of at least 1 was expected.")


def require_epsilon(epsilon: float) -> None:
    """Refuse a shell width outside (0, 1/2].

    Raises:
        UsageError: naming the value.
    """
    if not 0 < epsilon <= 0.5:
        raise UsageError(
            f"epsilon is {epsilon}; a shell width above 0 and at most 0.5 was expected.",
            remedy="Try --epsilon 1e-9.",
        )
