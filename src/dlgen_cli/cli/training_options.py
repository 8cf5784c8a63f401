"""The options that determine a training run, shared by the commands that train."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

# Options that are settings of the recipe under another name, and those that are no settings.
_RENAMED = {"arch": "architecture", "lr": "learning_rate"}
_NOT_SETTINGS = frozenset({"data_dir"})


@dataclass(kw_only=True)
class FeatureOptions:
    """Rows of features in the place of images."""

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
        typer.Option(
            "--normalize",
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

    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="Images: cifar10, digits, or a directory with train/CLASS/* and test/CLASS/*.",
            show_default="cifar10",
        ),
    ] = None
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            help="Architecture: mobilenet_v2, mlp, or a classification model of torchvision; over "
            "features, linear or dense (with hidden layers).",
            show_default="mlp for digits, linear for features, else mobilenet_v2",
        ),
    ] = None
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            help="Dimension of the mlp's matrices, or of dense's hidden layers.",
            show_default="mlp 64, dense 512",
        ),
    ] = None
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth", help="Number of mlp's or dense's matrices.", show_default="mlp 3, dense 2"
        ),
    ] = None
    stem: Annotated[
        str | None,
        typer.Option(
            "--stem",
            help="First strides of mobilenet_v2: small (32 x 32 becomes 4 x 4), medium (2 x 2) or "
            "imagenet (1 x 1); each costs a CPU several times the next.",
            show_default="small",
        ),
    ] = None
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size",
            help="mobilenet_v2 resizes images to this many pixels a side and normalizes them as "
            "ImageNet's; its stem is imagenet then.",
            show_default="images as they are",
        ),
    ] = None
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            help="Weights to start from, of `dlgen anchors` or a run; they fix the network.",
            show_default="a random initialization",
        ),
    ] = None
    optimizer: Annotated[
        str | None,
        typer.Option("--optimizer", help="adam, or sgd with momentum 0.9.", show_default="adam"),
    ] = None
    lr: Annotated[
        float | None,
        typer.Option("--lr", help="Learning rate.", show_default="adam 0.001 (mlp 0.003), sgd 0.1"),
    ] = None
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
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
        ),
    ] = None
    holdout: Annotated[
        int | None,
        typer.Option(
            "--holdout",
            help="Real examples set aside before anything else and never trained on.",
            show_default="0",
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
        typer.Option(
            "--adversary",
            help="Wrong labels of mixed-adversarial: shift (y + 1) or uniform.",
            show_default="shift",
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Seed of all randomness of the run.", show_default="0"),
    ] = None
    device: Annotated[
        str | None,
        typer.Option("--device", help="auto, cpu, cuda or mps.", show_default="auto"),
    ] = None
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="float32, bfloat16 (mixed precision), or auto: mixed on CUDA.",
            show_default="auto",
        ),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            help="Threads on the CPU; the bytes of a run depend on their number.",
            show_default="all, mlp 1",
        ),
    ] = None
    compile: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Put the steps through torch.compile."),
    ] = None
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Where cifar10 lies: torchvision's files or train/ and test/ as image folders; "
            "downloaded where it is not there.",
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """The settings of the recipe by name; None where the user said nothing."""
        return {
            _RENAMED.get(one.name, one.name): getattr(self, one.name)
            for one in fields(TrainingOptions)
            if one.name not in _NOT_SETTINGS
        }
