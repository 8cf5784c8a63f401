"""One theorem a file: numbers in, `Bound` out. No tensors, no files."""

from dlgen_cli.bounds.compression import (
    CompressionSetting,
    LayeredNetwork,
    LinearMap,
    all_ranks,
    fixed_rank,
    margin_lipschitz,
)
from dlgen_cli.bounds.holdout import clopper_pearson
from dlgen_cli.bounds.layer_ranks import layer_ranks
from dlgen_cli.bounds.occam import occam
from dlgen_cli.bounds.pac_bayes import Anchor, anchors_union, mixture, pinsker
from dlgen_cli.bounds.pac_bayes_kl import GibbsSample, kl_risk
from dlgen_cli.bounds.posterior import Posterior, posterior_risk
from dlgen_cli.bounds.propagation import LayerNorms
from dlgen_cli.bounds.rademacher import Box, expected, markov, printed
from dlgen_cli.bounds.stored import stored
from dlgen_cli.bounds.withheld import withheld

__all__ = [
    "Anchor",
    "Box",
    "CompressionSetting",
    "GibbsSample",
    "LayerNorms",
    "LayeredNetwork",
    "LinearMap",
    "Posterior",
    "all_ranks",
    "anchors_union",
    "clopper_pearson",
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
    "withheld",
]
