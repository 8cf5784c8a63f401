"""What a finished run records: ``config.json``, the labels, the model card."""

from __future__ import annotations

import math
import platform
from typing import TYPE_CHECKING

import torch

import dlgen_cli
from dlgen_cli.checkpoints.runs.run_config import (
    CONFIG_SCHEMA,
    DataFacts,
    OptimizerFacts,
    RunConfig,
)
from dlgen_cli.checkpoints.runs.run_directory import RunContents
from dlgen_cli.datasets import digest_examples, hash_images, looks_of, norm_bound
from dlgen_cli.records import REGIMES
from dlgen_cli.training.loop import OPTIMIZER_ARGUMENTS, linf_norm
from dlgen_cli.training.model_card import model_card
from dlgen_cli.training.trial import Trial, trial_state

if TYPE_CHECKING:
    from torch import Tensor

    from dlgen_cli.training.examples import RunExamples
    from dlgen_cli.training.recipe import Recipe
    from dlgen_cli.training.start import Start


def collect_contents(trial: Trial) -> RunContents:
    """Everything that the checkpoint directory of the run shall hold."""
    config = _collect_config(trial)
    return RunContents(
        config=config,
        model=trial.network.state_dict(),
        init=trial.init,
        labels=example_labels(trial.examples, trial.start),
        metrics=trial.metrics,
        resume=trial_state(trial),
        card=model_card(config),
    )


def data_facts(recipe: Recipe, examples: RunExamples, *, parameters: int) -> DataFacts:
    """What a run records of its examples, whatever is trained on them.

    Args:
        recipe: names the data set, the adversary and the seed.
        examples: all of the run.
        parameters: entries of the network's parameters.
    """
    facts: DataFacts = {
        "schema": CONFIG_SCHEMA,
        "dlgen_version": dlgen_cli.__version__,
        "dataset": recipe.dataset,
        "adversary": recipe.adversary if REGIMES[recipe.dataset].has_adversary else None,
        "source": examples.source,
        "classes": list(examples.classes),
        "examples": len(examples.train.labels),
        "counts": {
            "examples": len(examples.train.labels),
            "altered": int(examples.altered.sum()),
            "holdout": len(examples.holdout),
            "test": len(examples.test.labels),
            "classes": len(examples.classes),
            "parameters": parameters,
        },
        "input": {
            "shape": list(examples.input_shape),
            "scale": examples.scale,
            "norm_bound": norm_bound(
                math.prod(examples.input_shape), examples.scale, is_features=bool(examples.files)
            ),
        },
        "seed": recipe.seed,
        "examples_sha256": digest_examples(examples.train),
        "versions": {
            "dlgen": dlgen_cli.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
        },
    }
    if examples.source_sha256 is not None:
        facts["source_sha256"] = examples.source_sha256
    if examples.files:
        facts["features"] = [
            {"name": one.name, "sha256": one.sha256, "columns": one.columns}
            for one in examples.files
        ]
    return facts


def example_labels(examples: RunExamples, start: Start | None) -> dict[str, Tensor]:
    """What ``labels.safetensors`` holds: labels, indices, hashes and looks of the images.

    Args:
        examples: all of the run.
        start: what it began at, with the hashes of what trained that; None where it was drawn.
    """
    of_start = {}
    if start is not None:
        of_start = {
            "anchor_hashes": start.hashes,
            "anchor_looks": start.looks,
            "anchor_indices": start.indices,
        }
    return of_start | {
        "labels": examples.train.labels,
        "indices": examples.indices,
        "altered": examples.altered.to(torch.uint8),
        "holdout_indices": examples.holdout_indices,
        "image_hashes": hash_images(examples.train.images),
        "image_looks": looks_of(examples.train.images),
        "holdout_hashes": hash_images(examples.holdout.images),
    }


def _collect_config(trial: Trial) -> RunConfig:
    recipe = trial.recipe
    last = trial.metrics[-1]
    parameters = sum(parameter.numel() for parameter in trial.network.parameters())
    config: RunConfig = {
        # The keys that may be missing are not in there, which mypy cannot know.
        **data_facts(recipe, trial.examples, parameters=parameters),  # type: ignore[typeddict-item]
        "architecture": recipe.architecture,
        "architecture_arguments": dict(trial.architecture_arguments),
        "optimizer": _optimizer_facts(recipe),
        "stop": {"epochs": recipe.epochs, "until_train_error": recipe.until_train_error},
        "epochs": trial.epoch,
        "clip_linf": recipe.clip_linf,
        "linf_norm": linf_norm(trial.network),
        "device": trial.computation.device.type,
        "computation": {
            "precision": trial.computation.precision,
            "compiled": trial.computation.compiled,
            "threads": recipe.threads if trial.computation.device.type == "cpu" else None,
            "processes": trial.computation.processes.count,
        },
        "train_error": last["train_error"],
        "test_error": last["test_error"],
        "holdout_error": _holdout_error(trial),
    }
    if trial.start is not None:
        config["anchor"] = trial.start.facts
    return config


def _optimizer_facts(recipe: Recipe) -> OptimizerFacts:
    arguments = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in OPTIMIZER_ARGUMENTS[recipe.optimizer].items()
    }
    return {
        "name": recipe.optimizer,
        "arguments": {"lr": recipe.learning_rate, **arguments},
        "batch_size": recipe.batch_size,
        "schedule": recipe.schedule,
    }


def _holdout_error(trial: Trial) -> float | None:
    holdout = trial.examples.holdout
    if not len(holdout):
        return None
    device, layout = trial.computation.device, trial.train.memory_format
    (error,) = trial.errors_on(trial.examples.on(holdout, device, layout))
    return error
