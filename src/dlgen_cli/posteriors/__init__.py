"""Gaussian posteriors that are trained for their own certificate, around an anchor."""

from dlgen_cli.posteriors.recipe import PosteriorRecipe, make_posterior_recipe
from dlgen_cli.posteriors.run import PosteriorRun, train_posterior

__all__ = ["PosteriorRecipe", "PosteriorRun", "make_posterior_recipe", "train_posterior"]
