"""Training: a recipe goes in, a checkpoint directory comes out."""

from dlgen_cli.training.progress import Progress, ProgressCallback
from dlgen_cli.training.recipe import Recipe, continue_recipe, make_recipe, recipe_to_dict
from dlgen_cli.training.run import RunResult, resume, run

__all__ = [
    "Progress",
    "ProgressCallback",
    "Recipe",
    "RunResult",
    "continue_recipe",
    "make_recipe",
    "recipe_to_dict",
    "resume",
    "run",
]
