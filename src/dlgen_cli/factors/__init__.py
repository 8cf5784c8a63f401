"""Weights as low-rank factors in b bits: the networks that compression bounds speak of."""

from dlgen_cli.factors.low_rank import Factors, Whole, store_factors, store_whole
from dlgen_cli.factors.quantizer import MOST_BITS, Quantized, quantize, require_bits

__all__ = [
    "MOST_BITS",
    "Factors",
    "Quantized",
    "Whole",
    "quantize",
    "require_bits",
    "store_factors",
    "store_whole",
]
