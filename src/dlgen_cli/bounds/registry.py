"""Every theorem that dlgen knows: one line each, in the order of the documentation."""

from __future__ import annotations

from collections.abc import Mapping

from dlgen_cli.bounds.compression import ALL_RANKS, FIXED_RANK
from dlgen_cli.bounds.compression_layer_ranks import LAYER_RANKS
from dlgen_cli.bounds.compression_occam import OCCAM
from dlgen_cli.bounds.compression_stored import STORED
from dlgen_cli.bounds.disagreement import DISAGREEMENT
from dlgen_cli.bounds.holdout import CLOPPER_PEARSON
from dlgen_cli.bounds.mean_betting import BETTING
from dlgen_cli.bounds.pac_bayes import ANCHORS, MIXTURE, PINSKER
from dlgen_cli.bounds.pac_bayes_drawn import DRAWN
from dlgen_cli.bounds.pac_bayes_kl import KL
from dlgen_cli.bounds.pac_bayes_posterior import POSTERIOR
from dlgen_cli.bounds.rademacher import EXPECTED, MARKOV, PRINTED
from dlgen_cli.bounds.theorem import Theorem

#: By identifier.
THEOREMS: Mapping[str, Theorem] = {
    theorem.name: theorem
    for theorem in (
        FIXED_RANK,
        ALL_RANKS,
        LAYER_RANKS,
        STORED,
        OCCAM,
        ANCHORS,
        MIXTURE,
        PINSKER,
        KL,
        POSTERIOR,
        DRAWN,
        EXPECTED,
        MARKOV,
        PRINTED,
        CLOPPER_PEARSON,
        DISAGREEMENT,
        BETTING,
    )
}
