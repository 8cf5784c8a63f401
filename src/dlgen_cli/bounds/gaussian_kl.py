"""Kullback-Leibler divergences between Gaussians, in nats, rounded upward."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import ZERO, upward


@upward
def shifted(squared_distance: Decimal, sigma: Decimal) -> Decimal:
    """``KL(N(a, sigma^2 I) || N(b, sigma^2 I)) = ||a - b||^2 / (2 sigma^2)``.

    Args:
        squared_distance: ``||a - b||_2^2``, at least 0.
        sigma: common standard deviation (not the variance), above 0.

    Returns:
        Nats, rounded upward.
    """
    return squared_distance / (2 * sigma * sigma)


@upward
def to_uniform_mixture(divergences: Sequence[Decimal]) -> Decimal:
    """Upper bound on ``KL(Q || (P_1 + ... + P_K)/K)`` from the K divergences ``KL(Q || P_k)``.

    ``-ln( (1/K) sum_k exp(-KL_k) )``, between ``min_k KL_k`` and ``min_k KL_k + ln K``.

    Source: Hershey and Olsen 2007, "Approximating the Kullback Leibler divergence between
    Gaussian mixture models", the variational bound, https://doi.org/10.1109/ICASSP.2007.366913

    Args:
        divergences: K >= 1 numbers of at least 0, nats.

    Returns:
        Nats, rounded upward.
    """
    least = min(divergences)
    # exp(-(KL_k - least)) in (0, 1]; far terms vanish harmlessly.
    total = sum(((least - divergence).exp() for divergence in divergences), ZERO)
    return least + (Decimal(len(divergences)) / total).ln()
