"""The options that determine a training run, shared by the commands that train."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from dlgen_cli.cli.help import COMPUTATION, DATA, NETWORK, TRAINING
from dlgen_cli.cli.options import DATA_CHOICES, DEVICE_CHOICES
from dlgen_cli.cli.values import Choices

# Options that are settings of the recipe under another name, and those that are no settings.
_RENAMED = {"arch": "architecture", "lr": "learning_rate"}
_NOT_SETTINGS = frozenset({"data_dir"})


@dataclass(kw_only=True)
class FeatureOptions:
    """Rows of features in the place of images."""

    panel: ClassVar[str] = DATA

    features: Annotated[
        list[Path],
        typer.Option(
            "--features",
            metavar="FILE",
            help="Embeddings of any model in place of images: npz or safetensors with train_x, "
            "train_y, test_x, test_y; repeatable, columns are joined.",
        ),
    ] = field(default_factory=list)
    normalize: Annotated[
        str | None,
        Choices(("rows", "none")),
        typer.Option(
            "--normalize",
            metavar="HOW",
            help="What a head does to each file's part of a row: rows (root mean square 1) or "
            "none.",
            show_default="rows",
        ),
    ] = None

    def of_features(self) -> dict[str, Any]:
        """The settings of the recipe by name; None where the user said nothing."""
        return {"features": self.features or None, "normalization": self.normalize}


@dataclass(kw_only=True)
class TrainingOptions:
    """The recipe of a run but for its examples; None takes the default, or the saved value."""

    panel: ClassVar[str] = TRAINING

    source: Annotated[
        str | None,
        DATA_CHOICES,
        typer.Option(
            "--data",
            "--source",
            metavar="DATA",
            help="Images: cifar10, digits, or a directory: train/CLASS/* and test/CLASS/*, or "
            "torchvision's files of CIFAR-10.",
            show_default="cifar10",
            rich_help_panel=DATA,
        ),
    ] = None
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            metavar="NAME",
            help="Architecture: mobilenet_v2, mlp, or a classification model of torchvision; over "
            "features, linear or dense (with hidden layers).",
            show_default="mlp for digits, linear for features, else mobilenet_v2",
            rich_help_panel=NETWORK,
        ),
    ] = None
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            help="Dimension of the mlp's matrices, or of dense's hidden layers.",
            show_default="mlp 64, dense 512",
            rich_help_panel=NETWORK,
        ),
    ] = None
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            help="Number of mlp's or dense's matrices.",
            show_default="mlp 3, dense 2",
            rich_help_panel=NETWORK,
        ),
    ] = None
    stem: Annotated[
        str | None,
        Choices(("small", "medium", "imagenet")),
        typer.Option(
            "--stem",
            metavar="STEM",
            help="First strides of mobilenet_v2: small (32 x 32 becomes 4 x 4), medium (2 x 2) or "
            "imagenet (1 x 1); each costs a CPU several times the next.",
            show_default="small",
            rich_help_panel=NETWORK,
        ),
    ] = None
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size",
            help="mobilenet_v2 resizes images to this many pixels a side and normalizes them as "
            "ImageNet's; its stem is imagenet then.",
            show_default="images as they are",
            rich_help_panel=NETWORK,
        ),
    ] = None
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            help="Weights to start from, of `dlgen anchors` or a run; they fix the network.",
            show_default="a random initialization",
            rich_help_panel=NETWORK,
        ),
    ] = None
    optimizer: Annotated[
        str | None,
        Choices(("adam", "sgd")),
        typer.Option(
            "--optimizer",
            metavar="NAME",
            help="adam, or sgd with momentum 0.9.",
            show_default="adam",
        ),
    ] = None
    lr: Annotated[
        float | None,
        typer.Option("--lr", help="Learning rate.", show_default="adam 0.001 (mlp 0.003), sgd 0.1"),
    ] = None
    schedule: Annotated[
        str | None,
        Choices(("constant", "linear")),
        typer.Option(
            "--schedule",
            metavar="NAME",
            help="Learning rate over the run: constant, or linear to 0 at the last epoch.",
            show_default="constant",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Examples for each step.", show_default="128"),
    ] = None
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", help="The most passes over the data.", show_default="100, mlp 3000"
        ),
    ] = None
    until_train_error: Annotated[
        float | None,
        typer.Option(
            "--until-train-error",
            help="Stop at this share of wrong training answers or less; -1 runs all epochs.",
            show_default="0",
        ),
    ] = None
    evaluate_every: Annotated[
        int | None,
        typer.Option(
            "--evaluate-every",
            help="Epochs between two evaluations on all training and test examples.",
            show_default="1",
        ),
    ] = None
    m: Annotated[
        int | None,
        typer.Option(
            "--m",
            help="Examples to train on.",
            show_default="all that the holdout leaves",
            rich_help_panel=DATA,
        ),
    ] = None
    holdout: Annotated[
        int | None,
        typer.Option(
            "--holdout",
            help="Real examples set aside before anything else and never trained on.",
            show_default="0",
            rich_help_panel=DATA,
        ),
    ] = None
    clip_linf: Annotated[
        float | None,
        typer.Option(
            "--clip-linf",
            help="Keep every parameter within this distance of 0 after every step.",
            show_default="no bound",
        ),
    ] = None
    adversary: Annotated[
        str | None,
        Choices(("shift", "uniform")),
        typer.Option(
            "--adversary",
            metavar="NAME",
            help="Wrong labels of mixed-adversarial: shift (y + 1) or uniform.",
            show_default="shift",
            rich_help_panel=DATA,
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Seed of all randomness of the run.", show_default="0"),
    ] = None
    device: Annotated[
        str | None,
        DEVICE_CHOICES,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="auto, cpu, cuda or mps.",
            show_default="auto",
            rich_help_panel=COMPUTATION,
        ),
    ] = None
    precision: Annotated[
        str | None,
        Choices(("auto", "float32", "bfloat16")),
        typer.Option(
            "--precision",
            metavar="TYPE",
            help="float32, bfloat16 (mixed precision), or auto: mixed on CUDA.",
            show_default="auto",
            rich_help_panel=COMPUTATION,
        ),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            help="Threads on the CPU; the bytes of a run depend on their number.",
            show_default="all, mlp 1",
            rich_help_panel=COMPUTATION,
        ),
    ] = None
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Put the steps through torch.compile.",
            rich_help_panel=COMPUTATION,
        ),
    ] = None
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            hidden=True,
            help="Where cifar10 lies, or is downloaded to; --data takes such a directory too.",
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """The settings of the recipe by name; None where the user said nothing."""
        return {
            _RENAMED.get(one.name, one.name): getattr(self, one.name)
            for one in fields(TrainingOptions)
            if one.name not in _NOT_SETTINGS
        }
