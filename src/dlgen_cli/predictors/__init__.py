"""The empirical risk of a network, and of a Gaussian distribution over its weights."""

from dlgen_cli.predictors.coded.gibbs import coded_gibbs_errors, coded_risk_upper
from dlgen_cli.predictors.deviations import Deviation, Factor
from dlgen_cli.predictors.evaluation import count_disagreements, count_errors
from dlgen_cli.predictors.folded_network import (
    FoldedNetwork,
    coordinates,
    fold_network,
    open_folded,
    replace_parameters,
)
from dlgen_cli.predictors.gaussian_head import head_risks
from dlgen_cli.predictors.gibbs import (
    Draws,
    GaussianWeights,
    GibbsCounts,
    gibbs_errors,
    standard_deviations,
)

__all__ = [
    "Deviation",
    "Draws",
    "Factor",
    "FoldedNetwork",
    "GaussianWeights",
    "GibbsCounts",
    "coded_gibbs_errors",
    "coded_risk_upper",
    "coordinates",
    "count_disagreements",
    "count_errors",
    "fold_network",
    "gibbs_errors",
    "head_risks",
    "open_folded",
    "replace_parameters",
    "standard_deviations",
]
