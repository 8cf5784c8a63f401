"""What determines a coded run beside its recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dlgen_cli.errors import UsageError
from dlgen_cli.predictors.coded.network import ARCHITECTURES, KERNEL
from dlgen_cli.records import REAL_IMAGE_REGIMES, REGIMES
from dlgen_cli.training.recipe import Recipe

#: Of a filter_kernel, where --dim does not say.
DEFAULT_LANDMARKS = 1000
Predictor = Literal["code", "gaussian"]
_DEFAULTS: Mapping[str, Any] = {"epochs": 100, "learning_rate": 0.01, "threads": 1}
_BANK_DEFAULTS: Mapping[str, Any] = {
    "epochs": 30,
    "learning_rate": 0.05,
    "batch_size": 1000,
    "threads": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedSettings:
    """The settings of ``--objective coded``.

    Attributes:
        dim: D, the number of coordinates; None for a coordinate for each parameter, and for 1,000
            landmarks of a filter_kernel.
        predictor: ``code`` for a quantised network, ``gaussian`` for a random one.
        step: of the quantiser, above 0; rounded to ``2^(j/4)``.
        delta: the failure probability in the bound that is minimised, in (0, 1).
    """

    dim: int | None = None
    predictor: Predictor = "gaussian"
    step: float = 0.5
    delta: float = 0.05

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            UsageError: a setting is unknown or out of its range; names the option.
        """
        if self.predictor not in get_args(Predictor):
            raise UsageError(
                f"--predictor {self.predictor!r} is unknown.", remedy="Choose code or gaussian."
            )
        if self.dim is not None and self.dim < 1:
            raise UsageError(f"--dim is {self.dim}.", remedy="Give at least 1.")
        if not (math.isfinite(self.step) and 2.0**-20 <= self.step <= 2.0**20):
            raise UsageError(f"--step is {self.step}.", remedy="Give a number near 0.5.")


def make_coded_recipe(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for `make_recipe`, with the defaults of a coded run.

    Args:
        given: fields of `Recipe` by name; a missing one or None takes its default: 100 epochs at
            step size 0.01; 30 at 0.05, in batches of 1,000, for filter_bank and filter_kernel; one
            thread.
    """
    settings = {name: value for name, value in given.items() if value is not None}
    is_bank = settings.get("architecture") in {"filter_bank", KERNEL}
    defaults = _BANK_DEFAULTS if is_bank else _DEFAULTS
    return {**defaults, "until_train_error": -1.0, **settings}


def require_codable(recipe: Recipe, settings: CodedSettings) -> None:
    """Check that a recipe is one of a network that a code can name.

    Raises:
        UsageError: another architecture, or a setting that coded runs do not have.
    """
    if recipe.architecture not in ARCHITECTURES:
        raise UsageError(
            f"--objective coded was given with --arch {recipe.architecture}; a network without "
            "batch statistics was expected.",
            remedy=f"Choose one of: {', '.join(ARCHITECTURES)}.",
        )
    if recipe.architecture == KERNEL and settings.predictor == "code":
        raise UsageError(
            f"--predictor code was given with --arch {KERNEL}, whose posterior needs images.",
            remedy="Give --predictor gaussian, or --arch filter_bank.",
        )
    if recipe.clip_linf is not None:
        raise UsageError(
            "--clip-linf was given with --objective coded.", remedy="Leave out --clip-linf."
        )
    if REGIMES[recipe.dataset].has_random_images:
        raise UsageError(
            f"--dataset {recipe.dataset} draws images that no certificate can find again.",
            remedy=f"Choose {' or '.join(REAL_IMAGE_REGIMES)}.",
        )
