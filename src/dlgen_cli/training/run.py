"""Runs from beginning to end: train, keep the state, write the checkpoint directory."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.errors import TrainingError, UsageError
from dlgen_cli.training.computation import computing
from dlgen_cli.training.facts import collect_contents
from dlgen_cli.training.loop import EpochSettings, EpochSummary, linf_norm, train_epoch
from dlgen_cli.training.progress import ProgressCallback, WorkProgress
from dlgen_cli.training.recipe import Recipe, continue_recipe
from dlgen_cli.training.speed import Speed
from dlgen_cli.training.trial import (
    Trial,
    restore_trial,
    saved_recipe,
    start_trial,
    trial_state,
)

if TYPE_CHECKING:
    from dlgen_cli.checkpoints.runs.run_directory import RunConfig

SAVE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A finished run.

    Attributes:
        directory: its checkpoint directory.
        recipe: its settings.
        config: its facts, as ``config.json`` holds them.
        epochs_now: epochs run in this session; 0 where nothing was left to do.
        images_per_second: training images a second in this session, evaluation not counted;
            None where no epoch was run.
    """

    directory: Path
    recipe: Recipe
    config: RunConfig
    epochs_now: int
    images_per_second: float | None


def run(
    recipe: Recipe,
    directory: Path,
    *,
    data_dir: Path | None = None,
    progress: ProgressCallback | None = None,
    work: WorkProgress | None = None,
    save_seconds: float = SAVE_SECONDS,
) -> RunResult:
    """Train from the beginning and write the checkpoint directory.

    On the CPU the same recipe gives the same bytes of ``model.safetensors``,
    ``init.safetensors``, ``labels.safetensors`` and ``config.json``, however often the run was
    interrupted and resumed. Under ``torchrun`` its processes share every batch; the first one
    writes.

    Args:
        recipe: the settings.
        directory: where the run shall stand; it may exist if it is empty.
        data_dir: where the source keeps its files, for sources that have files.
        progress: called after every step and every epoch.
        work: called as images are decoded and examples evaluated.
        save_seconds: the state is kept after the first epoch that ends this long after the last
            time it was kept, in seconds.

    Returns:
        The finished run.

    Raises:
        UsageError: a setting does not fit the data or the machine.
        TrainingError: the directory is taken or cannot be written, or the loss became NaN or
            infinite.
        KeyboardInterrupt: the user interrupted; `resume` goes on from the last kept state.
    """
    with computing(recipe) as computation:
        require_vacant(directory)
        computation.processes.wait()  # nothing is written before every process has looked
        trial = start_trial(recipe, computation, data_dir, work)
        return _finish(trial, directory, progress, save_seconds)


def resume(
    directory: Path,
    given: Mapping[str, Any] | None = None,
    *,
    data_dir: Path | None = None,
    progress: ProgressCallback | None = None,
    work: WorkProgress | None = None,
    save_seconds: float = SAVE_SECONDS,
) -> RunResult:
    """Go on with an interrupted run, or with a finished one whose stop rule was widened.

    Args:
        directory: the run's directory.
        given: settings that the user asks for now, by the fields of `Recipe`; ``epochs``,
            ``until_train_error`` and ``device`` may differ from the saved ones.
        data_dir: as in `run`.
        progress: as in `run`.
        work: as in `run`.
        save_seconds: as in `run`.

    Returns:
        The finished run; ``epochs_now`` is 0 where nothing was left to do.

    Raises:
        UsageError: there is nothing to resume, or a setting contradicts the saved one.
        CheckpointError: the saved state is damaged.
        DataError: the data changed.
        TrainingError: as in `run`.
        KeyboardInterrupt: as in `run`.
    """
    partial = run_directory.partial_directory(directory)
    source = partial if partial.is_dir() else directory
    if source == directory and not run_directory.is_run_directory(directory):
        raise UsageError(
            f"There is no run to resume in {directory}.",
            remedy="Leave out --resume to start one, or give the --save of the run.",
        )
    _require_resumable(source)
    state = run_directory.read_resume(source)
    recipe = continue_recipe(saved_recipe(state), given or {})
    if recipe.epochs < state["epoch"]:
        raise UsageError(
            f"The run already has {state['epoch']} epochs; --epochs is {recipe.epochs}.",
            remedy=f"Give more than {state['epoch']}, or leave out --epochs.",
        )
    with computing(recipe) as computation:
        computation.processes.wait()
        trial = restore_trial(state, recipe, computation, data_dir, work)
        if source == directory and trial.is_finished():
            return RunResult(
                directory=directory,
                recipe=recipe,
                config=run_directory.read_config(directory),
                epochs_now=0,
                images_per_second=None,
            )
        return _finish(trial, directory, progress, save_seconds)


def _require_resumable(source: Path) -> None:
    objective = _objective_in_one_go(source) if run_directory.is_run_directory(source) else None
    if objective is not None:
        raise UsageError(
            f"{source} was trained with --objective {objective}, which is not resumed.",
            remedy="Train again with another --save.",
        )


def _objective_in_one_go(directory: Path) -> str | None:
    """The objective of a finished run that cannot go on; None where it can."""
    return run_directory.read_config(directory).get("objective")


def is_finished(directory: Path) -> bool:
    """Whether the directory holds a finished run and no unfinished continuation of it."""
    return run_directory.is_run_directory(directory) and not is_started(directory)


def is_started(directory: Path) -> bool:
    """Whether an unfinished run of this directory keeps its state."""
    return run_directory.partial_directory(directory).is_dir()


def require_same(directory: Path, given: Mapping[str, Any]) -> None:
    """Check that a finished run was made with the settings that the user asks for now.

    Args:
        directory: the run's directory.
        given: as in `resume`; None stands for whatever the run has.

    Raises:
        UsageError: a setting differs.
        CheckpointError: the saved state is damaged.
    """
    continue_recipe(saved_recipe(run_directory.read_resume(directory)), given)


def _finish(
    trial: Trial, directory: Path, progress: ProgressCallback | None, save_seconds: float
) -> RunResult:
    epochs_before = trial.epoch
    _keep(trial, directory)
    try:
        speed = _train(trial, directory, progress, save_seconds)
    except TrainingError:
        if trial.epoch == 0:  # there is nothing worth keeping
            run_directory.remove_partial(directory)
        raise
    contents = collect_contents(trial)
    if trial.computation.processes.is_first:
        replace = run_directory.is_run_directory(directory)
        run_directory.write_run_directory(directory, contents, replace=replace)
    trial.computation.processes.wait()
    epochs_now = trial.epoch - epochs_before
    return RunResult(
        directory=directory,
        recipe=trial.recipe,
        config=contents.config,
        epochs_now=epochs_now,
        images_per_second=speed.images_per_second if epochs_now else None,
    )


def _train(
    trial: Trial, directory: Path, progress: ProgressCallback | None, save_seconds: float
) -> Speed:
    """Run epochs until the stop rule holds."""
    recipe, speed = trial.recipe, Speed(trial, progress)
    saved = time.monotonic()
    while not trial.is_finished():
        with speed.epoch():
            summary = train_epoch(
                trial.network,
                trial.optimizer,
                trial.train,
                _epoch_settings(recipe, trial.epoch + 1),
                trial.computation,
                step_network=trial.step_network,
                tick=speed.tick if progress is not None else None,
            )
        _require_finite(summary, trial)
        trial.epoch += 1
        trial.record(summary)
        if time.monotonic() - saved >= save_seconds:
            _keep(trial, directory)
            saved = time.monotonic()
        speed.show()
    return speed


def _epoch_settings(recipe: Recipe, epoch: int) -> EpochSettings:
    return EpochSettings(
        seed=recipe.seed,
        epoch=epoch,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        linear_decay=recipe.schedule == "linear",
        clip_linf=recipe.clip_linf,
    )


def _keep(trial: Trial, directory: Path) -> None:
    """Keep the state of the unfinished run."""
    if trial.computation.processes.is_first:
        run_directory.write_partial(directory, trial_state(trial), trial.metrics)


def _require_finite(summary: EpochSummary, trial: Trial) -> None:
    if not (math.isfinite(summary.loss) and math.isfinite(linf_norm(trial.network))):
        kept = " The last good state is kept." if trial.epoch else ""
        raise TrainingError(
            f"Training diverged in epoch {trial.epoch + 1}: the loss or a parameter is NaN or "
            f"infinite (loss {summary.loss}).{kept}",
            remedy=f"Start a run with a smaller --lr than {trial.recipe.learning_rate:g}.",
        )


def require_vacant(directory: Path) -> None:
    """Refuse a directory in which something stands, or whose run is unfinished.

    Raises:
        TrainingError: says what stands there.
    """
    other = "another --save."
    partial = run_directory.partial_directory(directory)
    if partial.exists():
        raise TrainingError(
            f"{directory} holds an unfinished run (in {partial}).",
            remedy=f"Finish it with `dlgen train --resume --save {directory}`, or give {other}",
        )
    if run_directory.is_run_directory(directory):
        more = f"Go on with `dlgen train --resume --epochs N --save {directory}`, or give {other}"
        goes_on = _objective_in_one_go(directory) is None
        raise TrainingError(
            f"{directory} holds a finished run.", remedy=more if goes_on else f"Give {other}"
        )
    if directory.is_dir():
        found = sorted(entry.name for entry in directory.iterdir())
        if found:
            names = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise TrainingError(
                f"{directory} exists and is not a run of dlgen train (it holds {names}).",
                remedy="Give another --save.",
            )
    elif directory.exists():
        raise TrainingError(
            f"{directory} is a file, not a directory.", remedy="Give another --save."
        )
