"""One theorem a file: numbers in, `Bound` out. No tensors, no files."""

from dlgen_cli.bounds.compression import all_ranks, fixed_rank, margin_lipschitz
from dlgen_cli.bounds.compression_layer_ranks import layer_ranks
from dlgen_cli.bounds.compression_occam import occam
from dlgen_cli.bounds.compression_stored import stored
from dlgen_cli.bounds.disagreement import disagreement_risk
from dlgen_cli.bounds.gibbs_risk import DrawnErrors, IntegratedRisk
from dlgen_cli.bounds.holdout import clopper_pearson
from dlgen_cli.bounds.layered_network import CompressionSetting, LayeredNetwork, LinearMap
from dlgen_cli.bounds.mean_betting import betting
from dlgen_cli.bounds.norms import LayerNorms
from dlgen_cli.bounds.pac_bayes import Anchor, anchors_union, mixture, pinsker
from dlgen_cli.bounds.pac_bayes_drawn import DrawnNetwork, drawn_risk
from dlgen_cli.bounds.pac_bayes_kl import GibbsSample, kl_risk
from dlgen_cli.bounds.pac_bayes_posterior import Posterior, posterior_risk
from dlgen_cli.bounds.rademacher import Box, expected, markov, printed

__all__ = [
    "Anchor",
    "Box",
    "CompressionSetting",
    "DrawnErrors",
    "DrawnNetwork",
    "GibbsSample",
    "IntegratedRisk",
    "LayerNorms",
    "LayeredNetwork",
    "LinearMap",
    "Posterior",
    "all_ranks",
    "anchors_union",
    "betting",
    "clopper_pearson",
    "disagreement_risk",
    "drawn_risk",
    "expected",
    "fixed_rank",
    "kl_risk",
    "layer_ranks",
    "margin_lipschitz",
    "markov",
    "mixture",
    "occam",
    "pinsker",
    "posterior_risk",
    "printed",
    "stored",
]
