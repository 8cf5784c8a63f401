"""The four postulates: four finished runs side by side, and a verdict on each postulate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlgen_cli.bounds.arithmetic import to_float
from dlgen_cli.bounds.concentration import clopper_pearson_upper
from dlgen_cli.checkpoints.runs.run_config import RunConfig
from dlgen_cli.checkpoints.runs.run_directory import read_config, read_metrics
from dlgen_cli.errors import DataError
from dlgen_cli.records import REGIMES, Interval

#: The regimes whose runs are judged, in the order of their postulates.
JUDGED = tuple(name for name, one in REGIMES.items() if one.postulate is not None)
#: What the four runs must have in common for their test errors to be compared.
_SHARED = ("architecture", "architecture_arguments", "source", "examples", "input", "optimizer")
#: A network fits its examples at this training error or less.
FITTED = 0.01
#: "Generalizes": at most this share of the error of a guess.
GENERALIZES = 0.5
#: "Far better than chance": at most this share of the error of a guess.
FAR_BELOW_CHANCE = 0.75
#: "At chance": at least this share of the error of a guess.
AT_CHANCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """One of the four runs.

    Attributes:
        dataset: its regime.
        examples: the ``m`` examples trained on.
        altered: how many of them are not the real ones.
        parameters: of the network.
        train_error: share of wrong answers on the examples trained on, in [0, 1].
        test_error: the same on the real test set.
        test_error_interval: encloses the risk on real data; all four hold at once with
            probability ``1 - delta`` over the test set.
        chance_error: the risk of a guess, ``1 - 1/classes``.
        epochs: that were run.
        curve: ``epochs``, ``train_error`` and ``test_error`` at the evaluated epochs.
    """

    dataset: str
    examples: int
    altered: int
    parameters: int
    train_error: float
    test_error: float
    test_error_interval: Interval
    chance_error: float
    epochs: int
    curve: Mapping[str, list[float]]


def read_runs(directory: Path, delta: float) -> list[FinishedRun]:
    """Read the runs ``directory/standard``, ``directory/random`` and so on.

    Args:
        directory: holds a checkpoint directory for each of `JUDGED`.
        delta: probability with which one of the intervals of the test errors may fail, in (0, 1).

    Returns:
        The runs in the order of `JUDGED`.

    Raises:
        CheckpointError: one of them is missing, damaged or not finished.
        DataError: they cannot be compared, or one is of another regime.
    """
    configs = {name: read_config(directory / name) for name in JUDGED}
    compare(configs)
    limit_delta = delta / (2 * len(configs))  # a lower and an upper limit for each run
    return [
        _finished(name, config, read_metrics(directory / name), limit_delta)
        for name, config in configs.items()
    ]


def compare(configs: Mapping[str, RunConfig]) -> None:
    """Check that runs differ in their labels alone.

    Raises:
        DataError: they differ in the network, the source, the number of examples or the steps.
    """
    first_name, first = next(iter(configs.items()))
    for name, config in configs.items():
        if config["dataset"] != name:
            raise DataError(
                f"The run {name} was trained on {config['dataset']}.",
                remedy="Name each run's directory after its --dataset.",
            )
        for key in _SHARED:
            ours, theirs = _facts(first, key), _facts(config, key)
            if ours != theirs:
                raise DataError(
                    f"The runs cannot be compared: {key.replace('_', ' ')} is {theirs} in {name} "
                    f"and {ours} in {first_name}.",
                    remedy="Train the four with the same options, or give another --out.",
                )


def _facts(config: RunConfig, key: str) -> Any:
    value = config[key]  # type: ignore[literal-required]
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return value


def _finished(
    name: str, config: RunConfig, metrics: list[dict[str, Any]], delta: float
) -> FinishedRun:
    tests = config["counts"]["test"]
    wrong = round(config["test_error"] * tests)
    evaluated = [one for one in metrics if one["train_error"] is not None]
    return FinishedRun(
        dataset=name,
        examples=config["examples"],
        altered=config["counts"]["altered"],
        parameters=config["counts"]["parameters"],
        train_error=config["train_error"],
        test_error=config["test_error"],
        test_error_interval=Interval(
            lower=max(0.0, math.nextafter(1 - _upper_limit(tests - wrong, tests, delta), 0.0)),
            upper=_upper_limit(wrong, tests, delta),
        ),
        chance_error=1 - 1 / config["counts"]["classes"],
        epochs=config["epochs"],
        curve={
            "epochs": [one["epoch"] for one in evaluated],
            "train_error": [one["train_error"] for one in evaluated],
            "test_error": [one["test_error"] for one in evaluated],
        },
    )


def _upper_limit(errors: int, trials: int, delta: float) -> float:
    return to_float(clopper_pearson_upper(errors, trials, delta)) or 1.0


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
        runs: one for each of `JUDGED`, in this order.

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
