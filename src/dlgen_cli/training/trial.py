"""A run in memory: its network, optimizer, examples and history, and how they are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlgen_cli import architectures
from dlgen_cli.devices import resolve_device
from dlgen_cli.errors import CheckpointError, DataError
from dlgen_cli.training.examples import LabelledImages, RunExamples, digest, prepare_examples
from dlgen_cli.training.loop import clamp_parameters, error_rate, initialize, make_optimizer
from dlgen_cli.training.recipe import Recipe, recipe_to_dict

_STATE_KEYS = frozenset({"recipe", "epoch", "metrics", "examples_sha256", "model", "optimizer"})


@dataclass(slots=True, kw_only=True)
class Trial:
    """A run between two epochs.

    Attributes:
        recipe: its settings.
        device: where it computes.
        examples: all examples, on the CPU.
        examples_sha256: digest of the training examples.
        train: the training examples, on the device.
        test: the test set, on the device.
        network: the network, on the device.
        architecture_arguments: what it was built with.
        optimizer: over its parameters.
        init: its initial state dict, on the CPU.
        epoch: epochs run so far.
        metrics: one record for each epoch, the first for epoch 0.
    """

    recipe: Recipe
    device: torch.device
    examples: RunExamples
    examples_sha256: str
    train: LabelledImages
    test: LabelledImages
    network: nn.Module
    architecture_arguments: dict[str, int]
    optimizer: torch.optim.Optimizer
    init: dict[str, Tensor]
    epoch: int = 0
    metrics: list[dict[str, Any]] = field(default_factory=list)

    def record(self, loss: float | None) -> None:
        """Evaluate after an epoch and keep the result."""
        self.metrics.append(
            {
                "epoch": self.epoch,
                "loss": loss,
                "train_error": error_rate(self.network, self.train),
                "test_error": error_rate(self.network, self.test),
            }
        )

    def is_finished(self) -> bool:
        """Whether the stop rule holds: enough epochs, or a training error that is low enough."""
        limit = self.recipe.until_train_error
        reached = limit is not None and self.metrics[-1]["train_error"] <= limit
        return reached or self.epoch >= self.recipe.epochs


def start_trial(recipe: Recipe, data_dir: Path | None = None) -> Trial:
    """Set up a run at epoch 0.

    Raises:
        UsageError: the device is not present, the network is too narrow for the examples, or
            the holdout is too large.
    """
    device = resolve_device(recipe.device)
    examples = prepare_examples(recipe, data_dir)
    arguments = _architecture_arguments(recipe, examples)
    network = architectures.build(recipe.architecture, **arguments)
    initialize(network, recipe.seed)
    if recipe.clip_linf is not None:
        clamp_parameters(network, recipe.clip_linf)
    init = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.to(device)
    trial = Trial(
        recipe=recipe,
        device=device,
        examples=examples,
        examples_sha256=digest(examples.train),
        train=examples.train.to(device),
        test=examples.test.to(device),
        network=network,
        architecture_arguments=arguments,
        optimizer=make_optimizer(network, recipe.optimizer, recipe.learning_rate),
        init=init,
    )
    trial.record(loss=None)
    return trial


def _architecture_arguments(recipe: Recipe, examples: RunExamples) -> dict[str, int]:
    """What the constructor of the recipe's architecture takes; so far that is the mlp's."""
    return {
        "inputs": examples.train.images[0].numel(),
        "width": recipe.width,
        "depth": recipe.depth,
        "classes": examples.classes,
    }


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
            remedy="Start the run again with another --out.",
        )
    try:
        return Recipe(**json.loads(state["recipe"]))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"resume.pt holds settings that this version does not know: {error}.",
            remedy="Start the run again with another --out.",
        ) from error


def restore_trial(state: Mapping[str, Any], recipe: Recipe, data_dir: Path | None = None) -> Trial:
    """Set up a run as it was saved.

    Args:
        state: what `trial_state` returned.
        recipe: the settings to go on with.
        data_dir: where the source keeps its files, for sources that have files.

    Returns:
        The run after the epoch at which it was saved.

    Raises:
        DataError: the training examples are not those that the run was started with.
        CheckpointError: the saved tensors do not fit the network.
    """
    trial = start_trial(recipe, data_dir)
    if trial.examples_sha256 != state["examples_sha256"]:
        raise DataError(
            "The training examples differ from those that the run was started with.",
            remedy="Give the same --data-dir and the same version of the data.",
        )
    try:
        trial.network.load_state_dict(state["model"])
        trial.optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"The state in resume.pt does not fit the network: {error}.",
            remedy="Start the run again with another --out.",
        ) from error
    trial.epoch = state["epoch"]
    trial.metrics = json.loads(state["metrics"])
    return trial
