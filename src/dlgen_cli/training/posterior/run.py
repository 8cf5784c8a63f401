"""A posterior's training from an anchor to the run directory that a certificate is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.runs.posterior_file import POSTERIOR_FILE, root_mean_squares, serialize
from dlgen_cli.checkpoints.runs.run_config import RunConfig
from dlgen_cli.checkpoints.runs.run_directory import RunContents
from dlgen_cli.datasets import Split, hash_images, scaled
from dlgen_cli.devices import keep_freed_memory, resolve_device, threads
from dlgen_cli.errors import TrainingError, UsageError
from dlgen_cli.networks import read_network
from dlgen_cli.predictors import FoldedNetwork, count_errors, open_folded
from dlgen_cli.predictors.unfolding import unfolded
from dlgen_cli.training.examples import RunExamples, prepare_examples
from dlgen_cli.training.facts import data_facts, example_labels
from dlgen_cli.training.model_card import model_card
from dlgen_cli.training.posterior.initial_anchor import write_initial_anchor
from dlgen_cli.training.posterior.loop import FitEpoch, fit
from dlgen_cli.training.posterior.settings import (
    PosteriorRecipe,
    make_posterior_recipe,
    posterior_settings,
)
from dlgen_cli.training.posterior.trained_part import TrainedPart, choose_trainable
from dlgen_cli.training.run import require_vacant
from dlgen_cli.training.seeds import generator
from dlgen_cli.training.start import open_start

if TYPE_CHECKING:
    from torch import Tensor

    from dlgen_cli.checkpoints.checkpoint import Checkpoint
    from dlgen_cli.networks import ReadNetwork
    from dlgen_cli.training.start import Start

#: Called with what is done and, within it, how many examples of how many.
ExampleProgress = Callable[[str, int, int], None]
_LEAST_EXAMPLES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PosteriorRun:
    """A finished training of a posterior.

    Attributes:
        directory: its run directory.
        recipe: its settings.
        config: its facts.
        trained: coordinates under a Gaussian; the others stay at the anchor.
        entries: of those coordinates.
        last: what the last epoch showed.
    """

    directory: Path
    recipe: PosteriorRecipe
    config: RunConfig
    trained: tuple[str, ...]
    entries: int
    last: FitEpoch


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anchor:
    """The prior's mean, opened."""

    checkpoint: Checkpoint
    read: ReadNetwork
    folded: FoldedNetwork
    start: Start


def train_posterior(
    anchor: Path | None,
    directory: Path,
    given: Mapping[str, Any],
    own: Mapping[str, Any],
    *,
    data_dir: Path | None = None,
    progress: ExampleProgress | None = None,
) -> PosteriorRun:
    """Train a Gaussian posterior around an anchor and write its run directory.

    Layers before the first trained one are evaluated once and their features kept. Examples that
    trained the anchor leave before anything else. On the CPU the same settings give the same bytes.

    Args:
        anchor: a checkpoint that records its architecture: an anchors file or a run; None, over
            features, for a head of zeros.
        directory: where the run shall stand; it may exist if it is empty.
        given: settings of `dlgen_cli.training.Recipe` by name.
        own: settings of `PosteriorRecipe` by name.
        data_dir: where the source keeps its files.
        progress: is called while it goes on.

    Raises:
        UsageError: a setting does not fit the anchor, the data or the machine.
        CheckpointError: the anchor cannot be read, or hides what trained it.
        TrainingError: the directory is taken, or the objective became NaN.
    """
    require_vacant(directory)
    if anchor is None:
        with TemporaryDirectory(prefix="dlgen-") as folder:
            drawn, settings = write_initial_anchor(Path(folder), given)
            return train_posterior(drawn, directory, settings, own, progress=progress)
    opened = _open(anchor)
    recipe = make_posterior_recipe(
        given,
        anchor=anchor,
        architecture=opened.start.architecture,
        arguments=opened.start.arguments,
        own=own,
    )
    device = resolve_device(recipe.examples.device)
    on_cpu = device.type == "cpu"
    if on_cpu:
        keep_freed_memory()
    with threads(recipe.examples.threads) if on_cpu else nullcontext():
        examples = _unspent(prepare_examples(recipe.examples, data_dir, progress), opened.start)
        config_scale = opened.checkpoint.config
        if config_scale is not None:
            examples = replace(examples, scale=config_scale["input"]["scale"])
        _require_fit(opened, examples)
        return _train(recipe, opened, examples, directory, device, progress)


def _train(
    recipe: PosteriorRecipe,
    anchor: _Anchor,
    examples: RunExamples,
    directory: Path,
    device: torch.device,
    progress: ExampleProgress | None,
) -> PosteriorRun:
    folded = anchor.folded.to(device)
    trainable = choose_trainable(folded.network, recipe.trainable)
    noise = torch.Generator(device).manual_seed(
        generator(recipe.examples.seed, "posterior noise").initial_seed()
    )
    bases = root_mean_squares(anchor.folded.parameters)
    part = TrainedPart(folded, trainable, bases, recipe.spread, noise)
    size = folded.batch_size(own_weights=False)
    count = len(examples.train.labels)
    batches = _batches(examples.train, examples.scale, device, size, progress)
    features = part.features(batches, count)
    features = part.set_bases(features, size)
    metrics: list[dict[str, Any]] = []
    tick = (
        (lambda epoch, done: progress(f"epoch {epoch}", done, count))
        if progress is not None
        else None
    )
    labels = examples.train.labels.to(device)
    for record in fit(part, features, labels, recipe, tick):
        if not math.isfinite(record.loss + record.kl_nats):
            raise TrainingError(
                f"The objective became NaN or infinite in epoch {record.epoch}.",
                remedy=f"Give a smaller --lr than {recipe.examples.learning_rate:g}.",
            )
        metrics.append(_metrics(record))
        last = record
    if any(one.exponent is None for one in part.gaussians.values()):
        part.fix_prior()
    state = unfolded(folded.network, anchor.read.tensors, part.means())
    network = anchor.folded.with_parameters(_coordinates(anchor, state)).to(device)
    train_error = part.mean_error(features, labels, size)
    config = _config(recipe, anchor, examples, network, state, train_error, progress)
    metrics[-1] |= {"train_error": config["train_error"], "test_error": config["test_error"]}
    contents = RunContents(
        config=config,
        model=state,
        init=dict(anchor.read.tensors),
        labels=example_labels(examples, anchor.start),
        metrics=metrics,
        resume={"objective": "pac-bayes", "settings": posterior_settings(recipe)},
        card=model_card(config),
        files={POSTERIOR_FILE: serialize(part.posterior())},
    )
    run_directory.write_run_directory(directory, contents)
    return PosteriorRun(
        directory=directory,
        recipe=recipe,
        config=config,
        trained=tuple(part.gaussians),
        entries=sum(one.prior_mean.numel() for one in part.gaussians.values()),
        last=last,
    )


def _open(path: Path) -> _Anchor:
    start = open_start(path)
    checkpoint = open_checkpoint(path)
    read = read_network(checkpoint)
    return _Anchor(
        checkpoint=checkpoint, read=read, folded=open_folded(checkpoint, read), start=start
    )


def _coordinates(anchor: _Anchor, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    from dlgen_cli.predictors import coordinates

    return coordinates(anchor.read.network, state)


def _unspent(examples: RunExamples, start: Start) -> RunExamples:
    """The examples that did not train the anchor."""
    seen = {row.tobytes() for row in start.hashes.numpy()}
    if not seen:
        return examples
    rows = hash_images(examples.train.images).numpy()
    kept = torch.tensor([row.tobytes() not in seen for row in rows])
    if int(kept.sum()) < _LEAST_EXAMPLES:
        raise UsageError(
            f"The anchor was trained on {int((~kept).sum()):,} of the {len(kept):,} examples; "
            f"{_LEAST_EXAMPLES} or more that it never saw were expected.",
            remedy="Train the anchor on fewer, with --m.",
        )
    return replace(
        examples,
        train=Split(images=examples.train.images[kept], labels=examples.train.labels[kept]),
        indices=examples.indices[kept],
        altered=examples.altered[kept],
    )


def _require_fit(anchor: _Anchor, examples: RunExamples) -> None:
    network = anchor.read.network
    if network.input_shape != examples.input_shape or network.output_shape != (
        len(examples.classes),
    ):
        raise UsageError(
            f"The anchor takes {network.input_shape} to {network.output_shape[0]} classes; the "
            f"data have images of {examples.input_shape} and {len(examples.classes)} classes.",
            remedy="Make an anchor for these data with `dlgen anchors`.",
        )


def _batches(
    part: Split, scale: float, device: torch.device, size: int, progress: ExampleProgress | None
) -> Iterator[Tensor]:
    for start in range(0, len(part.labels), size):
        yield scaled(part.images[start : start + size].to(device), scale)
        if progress is not None:
            progress("features", min(start + size, len(part.labels)), len(part.labels))


def _metrics(record: FitEpoch) -> dict[str, Any]:
    return {
        "epoch": record.epoch,
        "loss": record.loss,
        "running_error": record.running_error,
        "kl_nats": record.kl_nats,
        "train_error": None,
        "test_error": None,
    }


def _error(
    network: FoldedNetwork, part: Split, scale: float, progress: ExampleProgress | None
) -> float:
    count = len(part)
    tick = None if progress is None else lambda done: progress("evaluating", done, count)
    errors = count_errors(
        network,
        part.images,
        part.labels,
        batch=network.batch_size(own_weights=False),
        device=network.device,
        scale=scale,
        tick=tick,
    )
    return errors / count


def _config(
    recipe: PosteriorRecipe,
    anchor: _Anchor,
    examples: RunExamples,
    network: FoldedNetwork,
    state: Mapping[str, Tensor],
    train_error: float,
    progress: ExampleProgress | None,
) -> RunConfig:
    settings, parameters = recipe.examples, anchor.read.network.parameters
    holdout_error = None
    if len(examples.holdout):
        holdout_error = _error(network, examples.holdout, examples.scale, progress)
    return {
        # The keys that may be missing are not in there, which mypy cannot know.
        **data_facts(settings, examples, parameters=parameters),  # type: ignore[typeddict-item]
        "objective": "pac-bayes",
        "anchor": anchor.start.facts,
        "architecture": settings.architecture,
        "architecture_arguments": dict(anchor.start.arguments),
        "optimizer": {
            "name": "adam",
            "arguments": {"lr": settings.learning_rate},
            "batch_size": settings.batch_size,
            "schedule": "linear",
        },
        "stop": {"epochs": settings.epochs, "until_train_error": None},
        "epochs": settings.epochs,
        "clip_linf": None,
        "linf_norm": max(
            float(one.abs().max()) for one in state.values() if one.is_floating_point()
        ),
        "device": network.device.type,
        "train_error": train_error,
        "test_error": _error(network, examples.test, examples.scale, progress),
        "holdout_error": holdout_error,
    }
