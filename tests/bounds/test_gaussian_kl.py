"""Divergences of Gaussians, against the general formula and a Monte Carlo mean."""

from decimal import Decimal

import numpy as np
import pytest

from dlgen_cli.bounds.gaussian_kl import shifted, to_uniform_mixture


def test_isotropic_shift_equals_the_general_gaussian_formula():
    rng = np.random.default_rng(0)
    for dimension in (1, 3, 10):
        mean, other, sigma = rng.normal(size=dimension), rng.normal(size=dimension), 0.3
        covariance = sigma**2 * np.eye(dimension)
        inverse = np.linalg.inv(covariance)
        general = 0.5 * (
            np.trace(inverse @ covariance)
            + (other - mean) @ inverse @ (other - mean)
            - dimension
            + np.log(np.linalg.det(covariance) / np.linalg.det(covariance))
        )
        squared = float(np.sum((mean - other) ** 2))
        assert float(shifted(Decimal(squared), Decimal(sigma))) == pytest.approx(general)


def test_mixture_bounds_the_monte_carlo_divergence_from_above():
    rng = np.random.default_rng(1)
    centres, sigma = np.array([-1.0, 0.5, 3.0]), 0.8
    draws = rng.normal(0.0, sigma, size=400_000)

    def log_density(centre):
        return -((draws - centre) ** 2) / (2 * sigma**2)

    mixed = np.logaddexp.reduce([log_density(c) for c in centres], axis=0) - np.log(3)
    divergence = np.mean(log_density(0.0) - mixed)
    divergences = [shifted(Decimal(float(c) ** 2), Decimal(sigma)) for c in centres]
    assert float(to_uniform_mixture(divergences)) >= divergence - 0.01
