"""Training: a recipe goes in, a checkpoint directory comes out."""

from dlgen_cli.training.progress import Progress, ProgressCallback
from dlgen_cli.training.recipe import Recipe, continue_recipe, make_recipe, recipe_to_dict
from dlgen_cli.training.run import RunResult, is_finished, is_started, require_same, resume, run

__all__ = [
    "Progress",
    "ProgressCallback",
    "Recipe",
    "RunResult",
    "continue_recipe",
    "is_finished",
    "is_started",
    "make_recipe",
    "recipe_to_dict",
    "require_same",
    "resume",
    "run",
]
