"""The four finished runs that the postulates speak of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlgen_cli.bounds.arithmetic import to_float
from dlgen_cli.bounds.concentration import clopper_pearson_upper
from dlgen_cli.checkpoints.run_config import RunConfig
from dlgen_cli.checkpoints.run_directory import read_config, read_metrics
from dlgen_cli.errors import DataError
from dlgen_cli.records import Interval

REGIMES = ("standard", "random", "mixed-random", "mixed-adversarial")
#: What the four runs must have in common for their test errors to be compared.
_SHARED = ("architecture", "architecture_arguments", "source", "examples", "input", "optimizer")


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
        directory: holds a checkpoint directory for each of `REGIMES`.
        delta: probability with which one of the intervals of the test errors may fail, in (0, 1).

    Returns:
        The runs in the order of `REGIMES`.

    Raises:
        CheckpointError: one of them is missing, damaged or not finished.
        DataError: they cannot be compared, or one is of another regime.
    """
    configs = {name: read_config(directory / name) for name in REGIMES}
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
