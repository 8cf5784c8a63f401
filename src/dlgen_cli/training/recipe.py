"""All settings of a training run, checked before anything is loaded or written."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from dlgen_cli import architectures
from dlgen_cli.architectures.dense import HEADS, Normalization
from dlgen_cli.datasets import require_source
from dlgen_cli.errors import UsageError
from dlgen_cli.records import REGIMES
from dlgen_cli.training.regimes import Adversary

Optimizer = Literal["adam", "sgd"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]
Schedule = Literal["constant", "linear"]
Stem = Literal["imagenet", "medium", "small"]

DEFAULT_SOURCE = "cifar10"
DEFAULT_ARCHITECTURE = "mobilenet_v2"
DEFAULT_ARCHITECTURES: Mapping[str, str] = {"digits": "mlp"}
DEFAULT_LEARNING_RATES: Mapping[str, float] = {"adam": 0.001, "sgd": 0.1}
#: What stands for the source where rows of features are given.
FEATURES = "features"
_WITH_STEMS = "mobilenet_v2"
#: What a head with hidden layers takes where nothing else is given.
_DENSE_DEFAULTS: Mapping[str, Any] = {"width": 512, "depth": 2}
#: Networks beside the mlp that have a width, and the one that they take by default.
WITH_WIDTH: Mapping[str, int] = {"filter_bank": 32, "filter_kernel": 64, "small_convnet": 16}
#: What an mlp takes where nothing else is given; it is small, and one thread suits it.
_MLP_DEFAULTS: Mapping[str, Any] = {
    "width": 64,
    "depth": 3,
    "epochs": 3000,
    "learning_rate": 0.003,
    "threads": 1,
}

# What may differ when a run goes on: how long, and where it computes.
CHANGEABLE = frozenset({"epochs", "until_train_error", "evaluate_every", "device"})

OPTIONS: Mapping[str, str] = {
    "dataset": "--dataset",
    "source": "--data",
    "features": "--features",
    "normalization": "--normalize",
    "architecture": "--arch",
    "width": "--width",
    "depth": "--depth",
    "stem": "--stem",
    "image_size": "--image-size",
    "start": "--start",
    "optimizer": "--optimizer",
    "learning_rate": "--lr",
    "schedule": "--schedule",
    "batch_size": "--batch-size",
    "epochs": "--epochs",
    "until_train_error": "--until-train-error",
    "evaluate_every": "--evaluate-every",
    "m": "--m",
    "holdout": "--holdout",
    "clip_linf": "--clip-linf",
    "adversary": "--adversary",
    "seed": "--seed",
    "device": "--device",
    "precision": "--precision",
    "threads": "--threads",
    "compile": "--compile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What determines a run. Same recipe, same bytes (on the CPU).

    There is no explicit regularization to set: no weight decay, no dropout, no augmentation, no
    label smoothing.

    Attributes:
        dataset: the label regime, one of `dlgen_cli.records.REGIMES`.
        source: where the images come from; `FEATURES` where they are rows of features.
        features: files of features, see `dlgen_cli.datasets.load_features`; none for images.
        normalization: of the rows of a head over features: ``rows`` brings each file's part of a
            row to a root mean square of 1, ``none`` leaves it; None for other networks.
        architecture: name of the network.
        width: dimension of the mlp's square matrices, of the hidden layers of a dense head, or
            channels of another network in `WITH_WIDTH`; None for the rest.
        depth: number of the matrices of an mlp or a dense head; None for other networks.
        stem: the mobilenet_v2's stem; None for other networks.
        image_size: what a mobilenet_v2 resizes images to, which it then takes with pixels in
            [0, 1] and normalizes itself; None for images as they are.
        start: file of the weights to start from, which fix the network; None draws them.
        optimizer: ``adam`` or ``sgd`` (momentum 0.9).
        learning_rate: step size, above 0.
        schedule: ``constant``, or ``linear`` for a step size that falls to 0 at the last epoch.
        batch_size: examples for each step, at least 1.
        epochs: the most passes over the training examples, at least 0.
        until_train_error: stop after the epoch with this training error or less, in [0, 1];
            None runs all epochs.
        evaluate_every: epochs between two evaluations, at least 1; the last epoch has one too.
        m: examples to train on, at least 1; None for all that the holdout leaves.
        holdout: real examples set aside before anything else, at least 0.
        clip_linf: bound on the magnitude of every parameter, above 0; None for no bound.
        adversary: how wrong labels are made in ``mixed-adversarial``.
        seed: the seed that all randomness is derived from.
        device: where to compute.
        precision: ``float32``, ``bfloat16`` for mixed precision, or ``auto``: mixed on CUDA.
        threads: on the CPU, at least 1; sums round by their number, so it is part of the recipe.
        compile: put the steps through ``torch.compile``.
    """

    dataset: str = "standard"
    source: str = DEFAULT_SOURCE
    features: tuple[str, ...] = ()
    normalization: Normalization | None = None
    architecture: str = DEFAULT_ARCHITECTURE
    width: int | None = None
    depth: int | None = None
    stem: Stem | None = None
    image_size: int | None = None
    start: str | None = None
    optimizer: Optimizer = "adam"
    learning_rate: float = DEFAULT_LEARNING_RATES["adam"]
    schedule: Schedule = "constant"
    batch_size: int = 128
    epochs: int = 100
    until_train_error: float | None = 0.0
    evaluate_every: int = 1
    m: int | None = None
    holdout: int = 0
    clip_linf: float | None = None
    adversary: Adversary = "shift"
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    threads: int = 1
    compile: bool = False

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            UsageError: a setting is unknown or out of its range; names the option.
        """
        _check_choice("--dataset", self.dataset, REGIMES)
        _check_choice("--optimizer", self.optimizer, get_args(Optimizer))
        _check_choice("--adversary", self.adversary, get_args(Adversary))
        _check_choice("--device", self.device, get_args(Device))
        _check_choice("--precision", self.precision, get_args(Precision))
        _check_choice("--schedule", self.schedule, get_args(Schedule))
        object.__setattr__(self, "features", tuple(self.features))  # JSON holds a list
        self._check_features()
        self._require_own_architecture()
        self._check_architecture_options()
        _check_least("--batch-size", self.batch_size, 1)
        _check_least("--epochs", self.epochs, 0)
        _check_least("--evaluate-every", self.evaluate_every, 1)
        _check_least("--holdout", self.holdout, 0)
        _check_least("--m", 1 if self.m is None else self.m, 1)
        _check_least("--threads", self.threads, 1)
        _check_positive("--lr", self.learning_rate)
        if self.clip_linf is not None:
            _check_positive("--clip-linf", self.clip_linf)
        if self.until_train_error is not None and not 0 <= self.until_train_error <= 1:
            raise UsageError(
                f"--until-train-error is {self.until_train_error}.",
                remedy="Give a share between 0 and 1, or -1 to run all epochs.",
            )

    def _check_features(self) -> None:
        if not self.features:
            require_source(self.source)
        elif REGIMES[self.dataset].has_random_images:
            raise UsageError(
                f"--features was given with --dataset {self.dataset}, which draws random images.",
                remedy="Leave out --dataset.",
            )
        is_head = self.architecture in HEADS
        if self.normalization is not None:
            _check_choice("--normalize", self.normalization, get_args(Normalization))
            if not is_head:
                raise UsageError(
                    f"--normalize was given with --arch {self.architecture}; it belongs to "
                    f"{' and '.join(HEADS)}.",
                    remedy="Leave out --normalize.",
                )
        if is_head and not self.features:
            raise UsageError(
                f"--arch {self.architecture} takes rows of features; none were given.",
                remedy="Give --features FILE.",
            )

    def _require_own_architecture(self) -> None:
        name = self.architecture
        if ":" in name or name.endswith(".py") or architectures.is_transformers(name):
            raise UsageError(
                f"--arch {name} was given; dlgen train takes its own architectures and those of "
                "torchvision.",
                remedy=f"Train it as you do, and audit it: dlgen audit CKPT --arch {name}.",
            )
        architectures.require_known(name)

    def _check_architecture_options(self) -> None:
        is_mlp, is_dense = self.architecture == "mlp", self.architecture == "dense"
        for option, value, belongs in (
            ("--width", self.width, is_mlp or is_dense or self.architecture in WITH_WIDTH),
            ("--depth", self.depth, is_mlp or is_dense),
            ("--stem", self.stem, self.architecture == _WITH_STEMS),
            ("--image-size", self.image_size, self.architecture == _WITH_STEMS),
        ):
            if value is not None and not belongs:
                owners = {"--stem": _WITH_STEMS, "--image-size": _WITH_STEMS}
                owners["--depth"] = "mlp, dense"
                owner = owners.get(option, f"mlp, dense, {', '.join(WITH_WIDTH)}")
                raise UsageError(
                    f"{option} was given with --arch {self.architecture}; it belongs to {owner}.",
                    remedy=f"Leave out {option}.",
                )
        if self.stem is not None:
            _check_choice("--stem", self.stem, get_args(Stem))
        if self.image_size is not None:
            _check_least("--image-size", self.image_size, 1)
        if is_mlp or is_dense:
            _check_least("--width", self.width or 0, 1)
            _check_least("--depth", self.depth or 0, 1)


def make_recipe(given: Mapping[str, Any]) -> Recipe:
    """Fill in what was not given.

    The architecture defaults by source (mlp for digits, a linear head with its rows normalized for
    features, mobilenet_v2 otherwise); for an mlp
    width 64, depth 3, 3,000 epochs, adam at 0.003 and one thread; for other networks 100
    epochs, adam at 0.001 or sgd at 0.1, and all threads; for mobilenet_v2 the small stem, or
    imagenet's with an ``image_size``. ``mobilenet_v2-128`` stands for the ``image_size`` 128.

    Args:
        given: fields of `Recipe` by name; a missing one or None takes its default. A negative
            ``until_train_error`` means that no error stops the run.

    Returns:
        The recipe, checked.

    Raises:
        UsageError: a setting is unknown or out of its range.
    """
    settings = _clean(given)
    if "start" in settings:
        from dlgen_cli.training.start import settings_of

        settings |= settings_of(Path(settings["start"]), settings)
    if settings.get("features"):
        if settings.setdefault("source", FEATURES) != FEATURES:
            raise UsageError(
                f"--features and --source {settings['source']} were given.",
                remedy="Give one of them: features stand in the place of images.",
            )
        settings.setdefault("architecture", "linear")
    source = settings.get("source", DEFAULT_SOURCE)
    settings.setdefault("architecture", DEFAULT_ARCHITECTURES.get(source, DEFAULT_ARCHITECTURE))
    optimizer = settings.get("optimizer", "adam")
    _check_choice("--optimizer", optimizer, get_args(Optimizer))
    defaults: dict[str, Any] = {
        "learning_rate": DEFAULT_LEARNING_RATES[optimizer],
        "threads": _all_threads(),
    }
    if settings["architecture"] == "mlp":
        defaults = {**_MLP_DEFAULTS, **({} if optimizer == "adam" else {"learning_rate": 0.1})}
    elif settings["architecture"] in WITH_WIDTH:
        defaults["width"] = WITH_WIDTH[settings["architecture"]]
    elif settings["architecture"] in HEADS:
        defaults["normalization"] = "rows"
        defaults |= _DENSE_DEFAULTS if settings["architecture"] == "dense" else {}
    elif settings["architecture"] == _WITH_STEMS:
        defaults["stem"] = "small" if settings.get("image_size") is None else "imagenet"
    settings = {**defaults, **settings}
    return Recipe(**settings)


def continue_recipe(saved: Recipe, given: Mapping[str, Any]) -> Recipe:
    """The recipe with which a saved run goes on.

    Args:
        saved: the recipe that the run was started with.
        given: what the user asks for now, as in `make_recipe`.

    Returns:
        The saved recipe with new ``epochs``, ``until_train_error`` and ``device`` where given.

    Raises:
        UsageError: another setting was given with another value than the saved one.
    """
    changes = _clean(given)
    for name, value in changes.items():
        before = getattr(saved, name)
        if name not in CHANGEABLE and value != before:
            raise UsageError(
                f"The run to resume was started with {OPTIONS[name]} {before}, not {value}.",
                remedy=f"Leave out {OPTIONS[name]}, or start another run with another --save.",
            )
    if saved.schedule == "linear" and changes.get("epochs", saved.epochs) != saved.epochs:
        raise UsageError(
            f"The run to resume lets its step size fall to 0 at epoch {saved.epochs}; "
            f"--epochs is {changes['epochs']}.",
            remedy="Leave out --epochs.",
        )
    return replace(saved, **{name: changes[name] for name in CHANGEABLE & changes.keys()})


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """The settings by name, as JSON takes them."""
    return asdict(recipe)


def _clean(given: Mapping[str, Any]) -> dict[str, Any]:
    known = {field.name for field in fields(Recipe)}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise UsageError(
            f"Unknown settings: {', '.join(unknown)}.",
            remedy=f"The settings are: {', '.join(sorted(known))}.",
        )
    settings = {name: value for name, value in given.items() if value is not None}
    if "start" in settings:
        settings["start"] = str(settings["start"])
    if "features" in settings:
        settings["features"] = tuple(str(one) for one in settings["features"])
    if "architecture" in settings:
        settings["architecture"], size = architectures.split_size(settings["architecture"])
        if size is not None and settings.setdefault("image_size", size) != size:
            raise UsageError(
                f"--arch names the image size {size}, --image-size {settings['image_size']}.",
                remedy="Leave out --image-size.",
            )
    if settings.get("until_train_error", 0) < 0:
        settings["until_train_error"] = None
    return settings


def _all_threads() -> int:
    import torch

    return torch.get_num_threads()


def _check_choice(option: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise UsageError(
            f"{option} {value!r} is unknown.", remedy=f"Choose one of: {', '.join(choices)}."
        )


def _check_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{option} is {value}.", remedy=f"Give at least {least}.")


def _check_positive(option: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{option} is {value}.", remedy="Give a positive number.")
