"""One theorem a file: numbers in, `Bound` out. No tensors, no files."""

from dlgen_cli.bounds.compression import (
    CompressionSetting,
    LayeredNetwork,
    LinearMap,
    all_ranks,
    fixed_rank,
    margin_lipschitz,
)
from dlgen_cli.bounds.layer_ranks import layer_ranks
from dlgen_cli.bounds.pac_bayes import Anchor, anchors_union, mixture, pinsker
from dlgen_cli.bounds.propagation import LayerNorms
from dlgen_cli.bounds.rademacher import Box, expected, markov, printed
from dlgen_cli.bounds.stored import stored
from dlgen_cli.bounds.withheld import withheld

__all__ = [
    "Anchor",
    "Box",
    "CompressionSetting",
    "LayerNorms",
    "LayeredNetwork",
    "LinearMap",
    "all_ranks",
    "anchors_union",
    "expected",
    "fixed_rank",
    "layer_ranks",
    "margin_lipschitz",
    "markov",
    "mixture",
    "pinsker",
    "printed",
    "stored",
    "withheld",
]
