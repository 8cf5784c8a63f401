"""What a finished run records: ``config.json``, the labels, the model card."""

from __future__ import annotations

import math
import platform
from typing import TYPE_CHECKING

import torch

import dlgen_cli
from dlgen_cli.checkpoints.run_config import CONFIG_SCHEMA, OptimizerFacts, RunConfig
from dlgen_cli.checkpoints.run_directory import RunContents
from dlgen_cli.datasets import hash_images, norm_bound
from dlgen_cli.training.loop import OPTIMIZER_ARGUMENTS, linf_norm
from dlgen_cli.training.model_card import model_card
from dlgen_cli.training.trial import Trial, trial_state

if TYPE_CHECKING:
    from torch import Tensor

    from dlgen_cli.training.recipe import Recipe


def collect_contents(trial: Trial) -> RunContents:
    """Everything that the checkpoint directory of the run shall hold."""
    config = _collect_config(trial)
    return RunContents(
        config=config,
        model=trial.network.state_dict(),
        init=trial.init,
        labels=_collect_labels(trial),
        metrics=trial.metrics,
        resume=trial_state(trial),
        card=model_card(config),
    )


def _collect_config(trial: Trial) -> RunConfig:
    recipe, examples = trial.recipe, trial.examples
    last = trial.metrics[-1]
    config: RunConfig = {
        "schema": CONFIG_SCHEMA,
        "dlgen_version": dlgen_cli.__version__,
        "architecture": recipe.architecture,
        "architecture_arguments": dict(trial.architecture_arguments),
        "dataset": recipe.dataset,
        "adversary": recipe.adversary if recipe.dataset == "mixed-adversarial" else None,
        "source": examples.source,
        "classes": list(examples.classes),
        "examples": len(examples.train.labels),
        "counts": {
            "examples": len(examples.train.labels),
            "altered": int(examples.altered.sum()),
            "holdout": len(examples.holdout),
            "test": len(examples.test.labels),
            "classes": len(examples.classes),
            "parameters": sum(parameter.numel() for parameter in trial.network.parameters()),
        },
        "input": {
            "shape": list(examples.input_shape),
            "scale": examples.scale,
            "norm_bound": norm_bound(math.prod(examples.input_shape), examples.scale),
        },
        "seed": recipe.seed,
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
        "examples_sha256": trial.examples_sha256,
        "train_error": last["train_error"],
        "test_error": last["test_error"],
        "holdout_error": _holdout_error(trial),
        "versions": {
            "dlgen": dlgen_cli.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
        },
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
    return trial.error_on(trial.examples.on(holdout, device, layout))


def _collect_labels(trial: Trial) -> dict[str, Tensor]:
    examples = trial.examples
    spent = {} if trial.start is None else {"anchor_hashes": trial.start.hashes}
    return spent | {
        "labels": examples.train.labels,
        "indices": examples.indices,
        "altered": examples.altered.to(torch.uint8),
        "holdout_indices": examples.holdout_indices,
        "image_hashes": hash_images(examples.train.images),
        "holdout_hashes": hash_images(examples.holdout.images),
    }
