"""Gaussian posteriors that are trained for their own certificate, around an anchor."""

from dlgen_cli.training.posterior.run import PosteriorRun, train_posterior
from dlgen_cli.training.posterior.settings import PosteriorRecipe, make_posterior_recipe

__all__ = ["PosteriorRecipe", "PosteriorRun", "make_posterior_recipe", "train_posterior"]
