"""A run in memory: its network, optimizer, examples and history, and how they are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlgen_cli import architectures
from dlgen_cli.architectures.dense import HEADS
from dlgen_cli.datasets import digest_examples
from dlgen_cli.errors import CheckpointError, DataError, TensorError, UsageError
from dlgen_cli.training.computation import Computation, memory_format
from dlgen_cli.training.examples import DeviceExamples, RunExamples, prepare_examples
from dlgen_cli.training.loop import (
    EpochSummary,
    clamp_parameters,
    error_rate,
    initialize,
    make_optimizer,
)
from dlgen_cli.training.progress import WorkProgress
from dlgen_cli.training.recipe import WITH_WIDTH, Recipe, recipe_to_dict
from dlgen_cli.training.start import Start, open_start

_STATE_KEYS = frozenset({"recipe", "epoch", "metrics", "examples_sha256", "model", "optimizer"})


@dataclass(slots=True, kw_only=True)
class Trial:
    """A run between two epochs.

    Attributes:
        recipe: its settings.
        computation: where and how it computes.
        examples: all examples, on the CPU.
        examples_sha256: digest of the training examples.
        train: the training examples, on the device.
        test: the test set, on the device.
        network: the network, on the device.
        step_network: what the training steps go through; it shares the network's parameters.
        architecture_arguments: what it was built with.
        optimizer: over its parameters.
        init: its initial state dict, on the CPU.
        start: the weights that it was given to start from; None where they were drawn.
        epoch: epochs run so far.
        work: called as examples are evaluated.
        metrics: one record for each epoch, the first for epoch 0; errors are None where the
            epoch was not evaluated.
    """

    recipe: Recipe
    computation: Computation
    examples: RunExamples
    examples_sha256: str
    train: DeviceExamples
    test: DeviceExamples
    network: nn.Module
    step_network: nn.Module
    architecture_arguments: dict[str, Any]
    optimizer: torch.optim.Optimizer
    init: dict[str, Tensor]
    start: Start | None = None
    work: WorkProgress | None = None
    epoch: int = 0
    metrics: list[dict[str, Any]] = field(default_factory=list)

    def record(self, summary: EpochSummary | None) -> None:
        """Keep what an epoch showed; evaluate where it is due."""
        record: dict[str, Any] = {
            "epoch": self.epoch,
            "loss": summary.loss if summary else None,
            "running_error": summary.running_error if summary else None,
            "train_error": None,
            "test_error": None,
        }
        if self.epoch % self.recipe.evaluate_every == 0 or self.epoch == self.recipe.epochs:
            self.computation.processes.copy_buffers(self.network)
            record["train_error"], record["test_error"] = self.errors_on(self.train, self.test)
        self.metrics.append(record)

    def errors_on(self, *parts: DeviceExamples) -> list[float]:
        """Shares of wrong answers on each of these, in evaluation mode."""
        errors: list[float] = []
        before, total = 0, sum(len(one) for one in parts)
        for one in parts:
            tick = None if self.work is None else partial(_evaluated, self.work, before, total)
            errors.append(error_rate(self.network, one, self.computation, tick))
            before += len(one)
        return errors

    def is_finished(self) -> bool:
        """Whether the stop rule holds: enough epochs, or a training error that is low enough."""
        limit, error = self.recipe.until_train_error, self.metrics[-1]["train_error"]
        reached = limit is not None and error is not None and error <= limit
        return reached or self.epoch >= self.recipe.epochs


def _evaluated(work: WorkProgress, before: int, total: int, done: int) -> None:
    work("evaluating", before + done, total)


def start_trial(
    recipe: Recipe,
    computation: Computation,
    data_dir: Path | None = None,
    work: WorkProgress | None = None,
) -> Trial:
    """Set up a run at epoch 0.

    Args:
        recipe: the settings.
        computation: where and how to compute.
        data_dir: where the source keeps its files, for sources that have files.
        work: called as images are decoded and examples evaluated.

    Raises:
        UsageError: the network does not take the examples, or holdout and m are too large.
        DataError: the source's files are missing or damaged.
    """
    device = computation.device
    examples = prepare_examples(recipe, data_dir, work)
    start = None if recipe.start is None else open_start(Path(recipe.start))
    arguments = dict(start.arguments) if start else architecture_arguments(recipe, examples)
    network = architectures.build(recipe.architecture, **arguments)
    require_fit(network, recipe, examples)
    initialize(network, recipe.seed)
    if start is not None:
        _load(network, start)
    if recipe.clip_linf is not None:
        clamp_parameters(network, recipe.clip_linf)
    init = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    layout = memory_format(network)
    network.to(device, memory_format=layout)  # type: ignore[call-overload]
    trial = Trial(
        recipe=recipe,
        computation=computation,
        examples=examples,
        examples_sha256=digest_examples(examples.train),
        train=examples.on(examples.train, device, layout),
        test=examples.on(examples.test, device, layout),
        network=network,
        step_network=computation.prepare(network),
        architecture_arguments=arguments,
        optimizer=make_optimizer(network, recipe.optimizer, recipe.learning_rate),
        init=init,
        start=start,
        work=work,
    )
    trial.record(None)
    return trial


# Heads beside the classifier, which the loss does not know.
_WITHOUT_EXTRA_HEADS = {"googlenet": {"aux_logits": False}, "inception_v3": {"aux_logits": False}}


def architecture_arguments(recipe: Recipe, examples: RunExamples) -> dict[str, Any]:
    """What the constructor of the recipe's architecture takes."""
    classes = len(examples.classes)
    if recipe.architecture in HEADS:
        columns = [one.columns for one in examples.files]
        hidden = {"width": recipe.width, "depth": recipe.depth}
        return {
            "inputs": sum(columns),
            "num_classes": classes,
            "normalization": recipe.normalization,
            "parts": columns,
            **(hidden if recipe.architecture == "dense" else {}),
        }
    if recipe.architecture == "mlp":
        return {
            "inputs": examples.train.images[0].numel(),
            "width": recipe.width,
            "depth": recipe.depth,
            "classes": classes,
        }
    arguments: dict[str, Any] = {"num_classes": classes}
    if recipe.architecture in WITH_WIDTH:
        arguments |= {"width": recipe.width, "channels": examples.input_shape[0]}
    if recipe.architecture == "filter_bank":
        arguments["pixels"] = min(examples.input_shape[1:])
    if recipe.architecture == "filter_kernel":
        raise UsageError(
            "A filter_kernel was given without --objective coded.",
            remedy="Give --objective coded, or another --arch.",
        )
    if recipe.stem is not None:
        arguments["stem"] = recipe.stem
    if recipe.image_size is not None:
        arguments["image_size"] = recipe.image_size
    return arguments | _WITHOUT_EXTRA_HEADS.get(recipe.architecture, {})


@torch.no_grad()
def require_fit(network: nn.Module, recipe: Recipe, examples: RunExamples) -> None:
    """Try one example before any work."""
    shape = " x ".join(str(size) for size in examples.input_shape)
    network.eval()
    try:
        logits = network(torch.zeros((1, *examples.input_shape)))
        fits = isinstance(logits, Tensor) and logits.shape == (1, len(examples.classes))
    except (RuntimeError, ValueError, AssertionError, TensorError):
        fits = False
    if not fits:
        what = "rows" if examples.files else "images"
        raise UsageError(
            f"The architecture {recipe.architecture} does not take {what} of {shape}.",
            remedy=f"Choose another --arch, or bring the {what} to the size it takes.",
        )


def _load(network: nn.Module, start: Start) -> None:
    try:
        network.load_state_dict(dict(start.tensors))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"The weights of --start do not fit their architecture: {reason}.",
            remedy="Make the file again with `dlgen anchors`.",
        ) from error


def trial_state(trial: Trial) -> dict[str, Any]:
    """All that is needed to go on later, as ``torch.load(weights_only=True)`` reads it."""
    return {
        "recipe": json.dumps(recipe_to_dict(trial.recipe)),
        "epoch": trial.epoch,
        "metrics": json.dumps(trial.metrics),
        "examples_sha256": trial.examples_sha256,
        "model": {name: tensor.cpu() for name, tensor in trial.network.state_dict().items()},
        "optimizer": trial.optimizer.state_dict(),
    }


def saved_recipe(state: Mapping[str, Any]) -> Recipe:
    """The recipe of a saved state.

    Raises:
        CheckpointError: the state was written by something else.
    """
    missing = sorted(_STATE_KEYS - state.keys())
    if missing:
        raise CheckpointError(
            f"resume.pt lacks {', '.join(missing)}: it is not a state of dlgen train.",
            remedy="Start the run again with another --save.",
        )
    try:
        return Recipe(**json.loads(state["recipe"]))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"resume.pt holds settings that this version does not know: {error}.",
            remedy="Start the run again with another --save.",
        ) from error


def restore_trial(
    state: Mapping[str, Any],
    recipe: Recipe,
    computation: Computation,
    data_dir: Path | None = None,
    work: WorkProgress | None = None,
) -> Trial:
    """Set up a run as it was saved.

    Args:
        state: what `trial_state` returned.
        recipe: the settings to go on with.
        computation: where and how to go on.
        data_dir: where the source keeps its files, for sources that have files.
        work: as in `start_trial`.

    Returns:
        The run after the epoch at which it was saved.

    Raises:
        DataError: the training examples are not those that the run was started with.
        CheckpointError: the saved tensors do not fit the network.
    """
    trial = start_trial(recipe, computation, data_dir, work)
    if trial.examples_sha256 != state["examples_sha256"]:
        raise DataError(
            "The training examples differ from those that the run was started with.",
            remedy="Give the same --data and the same version of the data.",
        )
    try:
        trial.network.load_state_dict(state["model"])
        trial.optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"The state in resume.pt does not fit the network: {error}.",
            remedy="Start the run again with another --save.",
        ) from error
    trial.epoch = state["epoch"]
    trial.metrics = json.loads(state["metrics"])
    return trial
