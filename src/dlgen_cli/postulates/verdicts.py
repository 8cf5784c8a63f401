"""Whether each postulate holds, with the rule that decided it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlgen_cli.postulates.runs import FinishedRun

#: A network fits its examples at this training error or less.
FITTED = 0.01
#: "Generalizes": at most this share of the error of a guess.
GENERALIZES = 0.5
#: "Far better than chance": at most this share of the error of a guess.
FAR_BELOW_CHANCE = 0.75
#: "At chance": at least this share of the error of a guess.
AT_CHANCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One postulate.

    Attributes:
        postulate: its number, 1 to 4.
        statement: what it says.
        holds: whether the runs show it.
        rule: what decides.
        evidence: the numbers that decided.
    """

    postulate: int
    statement: str
    holds: bool
    rule: str
    evidence: str


def judge(runs: Sequence[FinishedRun]) -> list[Verdict]:
    """Judge the four postulates.

    Test errors count by the end of their interval that speaks against the postulate, so a
    verdict "holds" is not due to the luck of the test set, but for the probability with which
    the intervals fail. Runs with other seeds may come out otherwise.

    Args:
        runs: standard, random, mixed-random, mixed-adversarial, in this order.

    Returns:
        Four verdicts.
    """
    standard, random, mixed, adversarial = runs
    return [
        _generalizes(standard),
        _memorizes(random),
        _survives_noise(mixed),
        _suffers_from_adversary(standard, mixed, adversarial),
    ]


def _generalizes(run: FinishedRun) -> Verdict:
    return Verdict(
        postulate=1,
        statement="A network with more parameters than examples generalizes.",
        holds=run.parameters > run.examples
        and run.train_error <= FITTED
        and run.test_error_interval.upper <= GENERALIZES * run.chance_error,
        rule=f"more parameters than examples, training error at most {FITTED:g}, test error at "
        f"most {GENERALIZES:g} of a guess's {run.chance_error:g}",
        evidence=f"{run.parameters:,} parameters, {run.examples:,} examples; {_errors(run)}",
    )


def _memorizes(run: FinishedRun) -> Verdict:
    return Verdict(
        postulate=2,
        statement="It also fits random images with random labels.",
        holds=run.train_error <= FITTED
        and run.test_error_interval.upper >= AT_CHANCE * run.chance_error,
        rule=f"training error at most {FITTED:g}, test error not below {AT_CHANCE:g} of a guess's "
        f"{run.chance_error:g}",
        evidence=_errors(run),
    )


def _survives_noise(run: FinishedRun) -> Verdict:
    return Verdict(
        postulate=3,
        statement="Trained on half real, half random data, it still tests far better than chance.",
        holds=run.train_error <= FITTED
        and run.test_error_interval.upper <= FAR_BELOW_CHANCE * run.chance_error,
        rule=f"training error at most {FITTED:g}, test error at most {FAR_BELOW_CHANCE:g} of a "
        f"guess's {run.chance_error:g}",
        evidence=_errors(run),
    )


def _suffers_from_adversary(
    standard: FinishedRun, mixed: FinishedRun, adversarial: FinishedRun
) -> Verdict:
    harmless = max(standard.test_error_interval.upper, mixed.test_error_interval.upper)
    return Verdict(
        postulate=4,
        statement="With half of the labels adversarial its test error deteriorates significantly.",
        holds=adversarial.train_error <= FITTED
        and adversarial.test_error_interval.lower > harmless,
        rule=f"training error at most {FITTED:g}, test error above that of standard and of "
        "mixed-random, their intervals apart",
        evidence=f"{_errors(adversarial)}; {_test(standard)} in standard, {_test(mixed)} in "
        "mixed-random",
    )


def _errors(run: FinishedRun) -> str:
    return f"training error {run.train_error:.4f}, test error {_test(run)}"


def _test(run: FinishedRun) -> str:
    interval = run.test_error_interval
    return f"{run.test_error:.4f} ({interval.lower:.3f} to {interval.upper:.3f})"
