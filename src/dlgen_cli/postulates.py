"""The four postulates: finished runs side by side, and a verdict on each postulate."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

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
        seed: of all its randomness.
        examples: the ``m`` examples trained on.
        altered: how many of them are not the real ones.
        parameters: of the network.
        train_error: share of wrong answers on the examples trained on, in [0, 1].
        test_error: the same on the real test set.
        test_error_interval: encloses the risk on real data; those of all runs hold at once
            with probability ``1 - delta`` over the test set.
        chance_error: the risk of a guess, ``1 - 1/classes``.
        epochs: that were run.
        curve: ``epochs``, ``train_error`` and ``test_error`` at the evaluated epochs.
    """

    dataset: str
    seed: int
    examples: int
    altered: int
    parameters: int
    train_error: float
    test_error: float
    test_error_interval: Interval
    chance_error: float
    epochs: int
    curve: Mapping[str, list[float]]


def read_runs(directories: Sequence[Path], delta: float) -> list[FinishedRun]:
    """Read the runs ``directory/standard``, ``directory/random`` and so on of each directory.

    Args:
        directories: one for each seed; each holds a checkpoint directory for each of `JUDGED`.
        delta: probability with which one of the intervals of the test errors may fail, in (0, 1).

    Returns:
        The runs, those of a directory together and in the order of `JUDGED`.

    Raises:
        CheckpointError: one of them is missing, damaged or not finished.
        DataError: they cannot be compared, or one is of another regime.
    """
    paths = [directory / name for directory in directories for name in JUDGED]
    configs = {path: read_config(path) for path in paths}
    compare(configs)
    limit_delta = delta / (2 * len(configs))  # a lower and an upper limit for each run
    return [
        _finished(path.name, config, read_metrics(path), limit_delta)
        for path, config in configs.items()
    ]


def compare(configs: Mapping[Path, RunConfig]) -> None:
    """Check that runs differ in their labels and seeds alone.

    Args:
        configs: by the directory of the run, which bears the name of its regime.

    Raises:
        DataError: they differ in the network, the source, the number of examples or the steps.
    """
    first_path, first = next(iter(configs.items()))
    for path, config in configs.items():
        name = path.name
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
                    f"and {ours} in {first_path.name}.",
                    remedy="Train all of them with the same options, or give another --save.",
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
        seed=config["seed"],
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


Status = Literal["holds", "does not hold", "undecided"]
#: The weakest first: a postulate stands as it does for the seed that speaks most against it.
_ORDER: tuple[Status, ...] = ("does not hold", "undecided", "holds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One postulate.

    Attributes:
        postulate: its number, 1 to 4.
        statement: what it says.
        status: whether the runs show it, show the contrary, or neither.
        reason: why it is undecided; empty where it is decided.
        rule: what decides.
        evidence: the numbers that decided.
    """

    postulate: int
    statement: str
    status: Status
    reason: str = ""
    rule: str
    evidence: str

    @property
    def holds(self) -> bool:
        """Whether the runs show it."""
        return self.status == "holds"


def judge(runs: Sequence[FinishedRun]) -> list[Verdict]:
    """Judge the four postulates.

    Test errors count by the end of their interval that speaks against the postulate, so a
    verdict "holds" is not due to the luck of the test set, but for the probability with which
    the intervals fail. A run that has not fitted its examples decides nothing, nor does an
    interval that reaches over the limit. With several seeds a postulate holds where it holds for
    each of them.

    Args:
        runs: as `read_runs` returns them: one for each of `JUDGED`, in this order, for each seed.

    Returns:
        Four verdicts.
    """
    groups = [runs[start : start + len(JUDGED)] for start in range(0, len(runs), len(JUDGED))]
    verdicts = [_judge_seed(group) for group in groups]
    seeds = [group[0].seed for group in groups]
    return [_over_seeds(seeds, one) for one in zip(*verdicts, strict=True)]


def _judge_seed(runs: Sequence[FinishedRun]) -> list[Verdict]:
    standard, random, mixed, adversarial = runs
    return [
        _generalizes(standard),
        _memorizes(random),
        _survives_noise(mixed),
        _suffers_from_adversary(standard, mixed, adversarial),
    ]


def _over_seeds(seeds: Sequence[int], verdicts: Sequence[Verdict]) -> Verdict:
    if len(verdicts) == 1:
        return verdicts[0]
    weakest = min(verdicts, key=lambda one: _ORDER.index(one.status))
    found = [
        f"{status} for seed {', '.join(str(seed) for seed in those)}"
        for status in _ORDER
        if (those := [s for s, one in zip(seeds, verdicts, strict=True) if one.status == status])
    ]
    return replace(weakest, evidence="; ".join(found))


def _decide(run: FinishedRun, *, shown: bool, refuted: bool) -> tuple[Status, str]:
    """The status of a postulate about a run, and why it is undecided."""
    if run.train_error > FITTED:
        return "undecided", f"{run.dataset} is not trained to a training error of {FITTED:g}"
    if shown:
        return "holds", ""
    if refuted:
        return "does not hold", ""
    return "undecided", "the intervals reach over the limit"


def _generalizes(run: FinishedRun) -> Verdict:
    limit = GENERALIZES * run.chance_error
    larger = run.parameters > run.examples
    status, reason = _decide(
        run,
        shown=larger and run.test_error_interval.upper <= limit,
        refuted=not larger or run.test_error_interval.lower > limit,
    )
    return Verdict(
        postulate=1,
        statement="A network with more parameters than examples generalizes.",
        status=status,
        reason=reason,
        rule=f"more parameters than examples, training error at most {FITTED:g}, test error at "
        f"most {GENERALIZES:g} of a guess's {run.chance_error:g}",
        evidence=f"{run.parameters:,} parameters, {run.examples:,} examples; {_errors(run)}",
    )


def _memorizes(run: FinishedRun) -> Verdict:
    at_chance = run.test_error_interval.upper >= AT_CHANCE * run.chance_error
    status, reason = _decide(run, shown=at_chance, refuted=not at_chance)
    return Verdict(
        postulate=2,
        statement="It also fits random images with random labels.",
        status=status,
        reason=reason,
        rule=f"training error at most {FITTED:g}, test error not below {AT_CHANCE:g} of a guess's "
        f"{run.chance_error:g}",
        evidence=_errors(run),
    )


def _survives_noise(run: FinishedRun) -> Verdict:
    limit = FAR_BELOW_CHANCE * run.chance_error
    status, reason = _decide(
        run,
        shown=run.test_error_interval.upper <= limit,
        refuted=run.test_error_interval.lower > limit,
    )
    return Verdict(
        postulate=3,
        statement="Trained on half real, half random data, it still tests far better than chance.",
        status=status,
        reason=reason,
        rule=f"training error at most {FITTED:g}, test error at most {FAR_BELOW_CHANCE:g} of a "
        f"guess's {run.chance_error:g}",
        evidence=_errors(run),
    )


def _suffers_from_adversary(
    standard: FinishedRun, mixed: FinishedRun, adversarial: FinishedRun
) -> Verdict:
    others = (standard.test_error_interval, mixed.test_error_interval)
    found = adversarial.test_error_interval
    status, reason = _decide(
        adversarial,
        shown=found.lower > max(one.upper for one in others),
        refuted=found.upper <= max(one.lower for one in others),
    )
    return Verdict(
        postulate=4,
        statement="With half of the labels adversarial its test error deteriorates significantly.",
        status=status,
        reason=reason,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Mean and range of one number over the seeds."""

    mean: float
    lowest: float
    highest: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Spread:
        """That of one number for each seed."""
        return cls(mean=math.fsum(values) / len(values), lowest=min(values), highest=max(values))


def runs_by_regime(runs: Sequence[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """The runs of each regime, one for each seed."""
    return {name: [run for run in runs if run.dataset == name] for name in JUDGED}


def mean_curve(runs: Sequence[FinishedRun]) -> dict[str, list[float]]:
    """Learning curve of one regime: the run's own, or mean and range over its seeds.

    A run that has stopped keeps its last errors.

    Returns:
        ``epochs``, ``train_error`` and ``test_error``; with several seeds also
        ``train_error_lowest``, ``train_error_highest`` and the same of the test error.
    """
    if len(runs) == 1:
        return dict(runs[0].curve)
    epochs = sorted({epoch for run in runs for epoch in run.curve["epochs"]})
    curve: dict[str, list[float]] = {"epochs": epochs}
    for key in ("train_error", "test_error"):
        spreads = [Spread.over([_error_at(run, key, epoch) for run in runs]) for epoch in epochs]
        curve[key] = [one.mean for one in spreads]
        curve[f"{key}_lowest"] = [one.lowest for one in spreads]
        curve[f"{key}_highest"] = [one.highest for one in spreads]
    return curve


def _error_at(run: FinishedRun, key: str, epoch: float) -> float:
    """The error at the last evaluation up to an epoch; the first where there is none."""
    evaluated = max(1, bisect_right(run.curve["epochs"], epoch))
    return run.curve[key][evaluated - 1]
