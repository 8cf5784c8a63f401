"""The settings of a posterior's training, checked before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from dlgen_cli.errors import UsageError
from dlgen_cli.records import REAL_IMAGE_REGIMES, REGIMES
from dlgen_cli.training.recipe import OPTIONS, Recipe, make_recipe

Spread = Literal["auto", "tensor", "entry", "factor"]

DEFAULT_EPOCHS = 6
DEFAULT_LEARNING_RATE = 0.05
DEFAULT_BATCH = 250
#: Settings of an ordinary run that say nothing here.
_FOREIGN = (
    "optimizer",
    "schedule",
    "until_train_error",
    "evaluate_every",
    "clip_linf",
    "precision",
    "compile",
    "architecture",
    "width",
    "depth",
    "stem",
    "image_size",
    "normalization",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PosteriorRecipe:
    """What determines the training of a posterior. Same recipe, same bytes (on the CPU).

    Attributes:
        examples: which examples, batches, epochs, step size, seed, device and threads; the
            architecture is the anchor's.
        anchor: the checkpoint whose weights are the prior's mean.
        trainable: glob patterns of coordinates (weights and biases after folding); the others stay
            at the anchor. None for the layers that give the logits.
        spread: how the posterior's deviations may differ from the prior's: not at all within a
            ``tensor``, by ``entry``, or by a ``factor`` that all rows of a matrix share; ``auto``
            takes the factor for the layers that give the logits.
    """

    examples: Recipe
    anchor: Path
    trainable: tuple[str, ...] | None = None
    spread: Spread = "auto"

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            UsageError: a setting is unknown or out of its range; names the option.
        """
        if self.spread not in get_args(Spread):
            raise UsageError(
                f"--spread {self.spread!r} is unknown.",
                remedy=f"Choose one of: {', '.join(get_args(Spread))}.",
            )
        if REGIMES[self.examples.dataset].has_random_images:
            raise UsageError(
                f"--objective pac-bayes was given with --dataset {self.examples.dataset}, whose "
                "random images are in no data that a certificate could be evaluated on.",
                remedy=f"Give --dataset {' or '.join(REAL_IMAGE_REGIMES)}.",
            )
        if self.examples.epochs < 1:
            raise UsageError("--epochs is 0.", remedy="Give at least 1.")


def make_posterior_recipe(
    given: Mapping[str, Any],
    *,
    anchor: Path,
    architecture: str,
    arguments: Mapping[str, Any],
    own: Mapping[str, Any],
) -> PosteriorRecipe:
    """Fill in what was not given.

    Args:
        given: fields of `Recipe` by name, as in `make_recipe`.
        anchor: where it lies.
        architecture: of the anchor.
        arguments: of its constructor.
        own: fields of `PosteriorRecipe` by name; None takes the default.

    Raises:
        UsageError: a setting is out of its range or belongs to another objective.
    """
    for name in _FOREIGN:
        if given.get(name) is not None:
            raise UsageError(
                f"{OPTIONS[name]} was given with --objective pac-bayes.",
                remedy=f"Leave out {OPTIONS[name]}: the anchor fixes the network, the objective "
                "its optimizer.",
            )
    known = {
        name: arguments[name]
        for name in ("width", "depth", "stem", "image_size", "normalization")
        if name in arguments
    }
    defaults = {
        "epochs": DEFAULT_EPOCHS,
        "learning_rate": DEFAULT_LEARNING_RATE,
        "batch_size": DEFAULT_BATCH,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    examples = make_recipe({**defaults, **chosen, **known, "architecture": architecture})
    settings = {name: value for name, value in own.items() if value is not None}
    return PosteriorRecipe(examples=examples, anchor=anchor, **settings)


def posterior_settings(recipe: PosteriorRecipe) -> dict[str, Any]:
    """The settings that matter by name, as JSON takes them."""
    examples = asdict(recipe.examples)
    kept = {name: value for name, value in examples.items() if name not in _FOREIGN}
    return {
        "objective": "pac-bayes",
        "anchor": recipe.anchor.name,
        "trainable": None if recipe.trainable is None else list(recipe.trainable),
        "spread": recipe.spread,
        **kept,
    }
