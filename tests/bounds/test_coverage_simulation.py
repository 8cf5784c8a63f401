"""Coverage: over draws of the sample, a bound fails no more often than its delta says.

The risks are known exactly. Two families of predictors, both chosen on the sample:

- *Coins*: x is a string of M independent bits, each 1 with probability p; predictor h errs where
  bit h is 1. All M risks are p, errors are independent binomials, and the predictor with the
  fewest errors is taken. The union over M predictors is then nearly tight.
- *Tables*: x is one of d cells, the label a fair coin; weights w in R^d predict sign(w_x). Every
  predictor has risk 1/2, the Gaussian one N(theta, sigma^2 I) too, however well it fits.

The same check catches wrong variants: a point estimate, a bisection's midpoint, half the union,
Monte Carlo trials in the place of draws, and the full m with a prior that was trained on half.
"""

from collections import Counter
from decimal import Decimal
from functools import cache, lru_cache

import numpy as np
import pytest
from scipy import stats

from dlgen_cli.bounds import (
    Anchor,
    CompressionSetting,
    DrawnNetwork,
    GibbsSample,
    anchors_union,
    clopper_pearson,
    disagreement_risk,
    drawn_risk,
    mixture,
    occam,
    pinsker,
)
from dlgen_cli.bounds.arithmetic import ZERO
from dlgen_cli.bounds.betting import betting_mean_upper, loss_counts, stakes
from dlgen_cli.bounds.compression import evaluate
from dlgen_cli.bounds.maurer import maurer_risk, moment_upper

DRAWS = 2000
DELTA = 0.05
#: A bound that fails with probability delta exceeds this rate once in a million runs.
MOST = float(stats.binom.isf(1e-6, DRAWS, DELTA)) / DRAWS


def failure_rate(bound, risk, *samples):
    """How often the bound of a sample is below the risk; equal samples are evaluated once."""
    cached = lru_cache(maxsize=None)(bound)
    failed = [cached(*one) < risk for one in zip(*(s.tolist() for s in samples), strict=True)]
    return np.mean(failed)


def is_caught(*simulation):
    return failure_rate(*simulation) > MOST


N, RISK = 2000, 0.0704  # a little above 9/128, the midpoint of a cell of a bisection


@pytest.fixture(scope="module")
def holdout_errors():
    return np.random.default_rng(1).binomial(N, RISK, size=DRAWS)


def test_holdout(holdout_errors):
    rate = failure_rate(lambda k: clopper_pearson(k, N, DELTA).value, RISK, holdout_errors)
    assert DELTA / 2 < rate <= MOST  # exact, so that it is not idle either


def test_a_point_estimate_and_a_midpoint_are_caught(holdout_errors):
    def midpoint(errors):
        low, high = 0.0, 1.0
        for _ in range(6):  # a cell of 1/64 is left
            middle = (low + high) / 2
            below = stats.binom.cdf(errors, N, middle) >= DELTA
            low, high = (middle, high) if below else (low, middle)
        return (low + high) / 2

    assert is_caught(midpoint, RISK, holdout_errors)
    assert is_caught(lambda k: k / N, RISK, holdout_errors)


def test_disagreement_with_a_certified_surrogate(holdout_errors):
    """h errs where g does, and where they differ: its risk is the sum of both probabilities."""
    apart = np.random.default_rng(11).binomial(300, 0.02, size=DRAWS)

    def risk(delta, errors, disagreements):
        return disagreement_risk(disagreements, 300, errors, N, delta).value

    true = RISK + 0.02
    assert failure_rate(lambda *two: risk(DELTA, *two), true, holdout_errors, apart) <= MOST
    assert is_caught(lambda k, d: k / N + d / 300, true, holdout_errors, apart)
    # without the disagreements, it is that of g; with their share alone, half of it is not paid
    assert is_caught(lambda k, _: risk(DELTA, k, 0) - 0.012, true, holdout_errors, apart)
    assert is_caught(
        lambda k, d: clopper_pearson(k, N, DELTA).value + d / 300, true, holdout_errors, apart
    )


def test_a_pair_that_was_chosen_by_the_unlabelled_examples_is_caught(holdout_errors):
    """Of many networks the one that agrees most with g on the unlabelled examples is taken."""
    apart = np.random.default_rng(12).binomial(300, 0.1, size=(DRAWS, 512)).min(axis=1)

    def risk(errors, disagreements):
        return disagreement_risk(disagreements, 300, errors, N, DELTA).value

    assert is_caught(risk, RISK + 0.1, holdout_errors, apart)


SCORES = 400


@pytest.fixture(scope="module")
def skewed_losses():
    """Losses of mean 0.1: most are small, one in sixteen is 1."""
    rng = np.random.default_rng(8)
    losses = rng.choice([0, 0.0625, 0.125, 1], p=[0.5, 0.25, 0.1875, 0.0625], size=(DRAWS, SCORES))
    return losses, 0.25 * 0.0625 + 0.1875 * 0.125 + 0.0625


def ln_wealth(losses, mean, stake):
    return np.log((1 - stake) + stake * (1 - losses) / (1 - mean)).sum(axis=1)


def test_betting_on_a_mean(skewed_losses):
    """The limit is below the mean where the wealth at the mean is 1/delta, and only there."""
    losses, mean = skewed_losses
    wealth = np.mean([np.exp(ln_wealth(losses, mean, c)) for c in stakes(SCORES)[1:]], axis=0)
    share = len(stakes(SCORES)[1:]) / len(stakes(SCORES))  # who stakes all has lost it at a 1
    refuted = share * wealth >= 1 / DELTA
    assert np.mean(refuted) <= MOST
    nats = Decimal(1 / DELTA).ln()
    for is_refuted, chosen in ((True, refuted), (False, ~refuted)):
        for row in losses[chosen][:10].tolist():
            assert (betting_mean_upper(loss_counts(Counter(row)), nats) < mean) == is_refuted


def test_members_of_a_group_that_count_as_independent_are_caught(skewed_losses):
    """Twenty examples of a group that share their loss: the group counts, and not its members."""
    losses, mean = skewed_losses
    players = stakes(20 * SCORES)
    wealth = [np.exp(np.minimum(20 * ln_wealth(losses, mean, c), 600)) for c in players[1:]]
    assert np.mean(np.sum(wealth, axis=0) / len(players) >= 1 / DELTA) > MOST
    assert np.mean(losses.mean(axis=1) < mean) > MOST  # and so is the mean itself


M, COIN, PREDICTORS = 10_000, 0.3, 64


@pytest.fixture(scope="module")
def fewest_errors():
    errors = np.random.default_rng(2).binomial(M, COIN, size=(DRAWS, PREDICTORS))
    return errors.min(axis=1)


def test_occam_on_a_finite_class(fewest_errors):
    bits = np.log2(PREDICTORS)
    bound = lru_cache(maxsize=None)(lambda k: occam(bits, k, M, DELTA))
    rate = failure_rate(lambda k: bound(k).value, COIN, fewest_errors)
    assert DELTA / 2 < rate <= MOST
    relaxed = failure_rate(lambda k: bound(k).terms["kl_form"], COIN, fewest_errors)
    assert relaxed <= rate


def test_a_union_in_nats_is_one_in_bits(fewest_errors):
    nats = float(np.log(PREDICTORS))
    rate = failure_rate(lambda k: occam(0, k, M, DELTA, union_nats=nats).value, COIN, fewest_errors)
    assert DELTA / 2 < rate <= MOST


def test_half_the_union_is_caught(fewest_errors):
    bits = np.log2(PREDICTORS / 2)
    assert is_caught(lambda k: occam(bits, k, M, DELTA).value, COIN, fewest_errors)
    assert is_caught(lambda k: clopper_pearson(k, M, DELTA).value, COIN, fewest_errors)


def test_one_side_of_a_compression_bound_needs_one_side_of_the_union(fewest_errors):
    """The class is that of the compressed networks, and its best network is at distance 0."""
    setting = CompressionSetting(
        bits_per_parameter=1, examples=M, delta=DELTA, loss_lipschitz=1.0, radius=1.0
    )

    def risk(bits):
        complexity = evaluate(setting, bits, ZERO, choices=1).complexity
        return lambda errors: Decimal(errors) / M + complexity

    assert failure_rate(risk(6), Decimal(COIN), fewest_errors) <= MOST  # 2^6 predictors
    assert is_caught(risk(0), Decimal(COIN), fewest_errors)


def test_maurer_on_a_finite_class(fewest_errors):
    """Q is the best predictor, P uniform: the KL is the logarithm of their number."""

    def risk(divergence, moment):
        return lambda errors: maurer_risk(Decimal(errors) / M, moment)(
            divergence, M, Decimal(DELTA)
        )

    nats = Decimal(PREDICTORS).ln()
    assert failure_rate(risk(nats, moment_upper), Decimal(COIN), fewest_errors) <= MOST
    assert is_caught(risk(ZERO, lambda _: Decimal(1)), Decimal(COIN), fewest_errors)


CELLS, SIGMA = 12, 0.5


def draw_tables(examples, cells, seed):
    """Labels summed by cell, and their counts: arrays (DRAWS, cells)."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, cells, size=(DRAWS, examples))
    y = rng.choice([-1, 1], size=(DRAWS, examples))
    row = np.arange(DRAWS)[:, None]
    sums, counts = np.zeros((DRAWS, cells), dtype=int), np.zeros((DRAWS, cells), dtype=int)
    np.add.at(sums, (row, x), y)
    np.add.at(counts, (row, x), 1)
    return sums, counts


def gibbs_risk(theta, sums, counts):
    """``L_S(Q)``, exactly: the weight of a cell is positive with probability Phi(theta/sigma)."""
    wrong = stats.norm.sf(theta / SIGMA)  # of a label +1
    plus, minus = (counts + sums) / 2, (counts - sums) / 2
    return (plus * wrong + minus * (1 - wrong)).sum(axis=1) / counts.sum(axis=1)


@pytest.fixture(scope="module")
def fitted():
    """Tables fitted by one gradient step from 0, with the squared distance to 0 and to another."""
    examples = 240
    sums, counts = draw_tables(examples, CELLS, seed=3)
    theta = 0.1 * sums
    other = np.where(np.arange(CELLS) % 2, 0.25, -0.25)
    distances = [(theta**2).sum(axis=1), ((theta - other) ** 2).sum(axis=1)]
    return examples, gibbs_risk(theta, sums, counts), distances


def coarse(distance):
    """Distances on a grid below the true ones: lower bounds, and fewer of them."""
    return np.floor(distance * 4) / 4


@pytest.mark.parametrize("theorem", [anchors_union, mixture, pinsker])
def test_pac_bayes_gaps_on_a_gaussian_family(theorem, fitted):
    examples, empirical, distances = fitted

    @cache
    def gap(*squared):
        anchors = [Anchor(name=str(k), squared_distance_upper=d) for k, d in enumerate(squared)]
        return theorem(anchors, [SIGMA], examples, DELTA).value

    def risk(empirical, *squared):
        return empirical + gap(*squared)

    assert empirical.mean() < 0.45  # it does fit noise: without a bound it is caught
    assert is_caught(lambda one: one, 0.5, empirical)
    assert failure_rate(risk, 0.5, empirical, *map(coarse, distances)) <= MOST


def test_pac_bayes_kl_with_its_monte_carlo_step(fitted):
    examples, empirical, (distance, _) = fitted
    draws, share = 400, DELTA / 5
    errors = np.random.default_rng(4).binomial(draws, empirical)
    limit = lru_cache(maxsize=None)(
        lambda k: GibbsSample(sigma=SIGMA, draws=draws, trials=draws, errors=k).risk_upper(
            Decimal(share)
        )
    )

    def risk(errors, squared):
        divergence = Decimal(squared) / Decimal(2 * SIGMA**2)
        return maurer_risk(limit(errors))(divergence, examples, Decimal(DELTA - share))

    assert failure_rate(risk, 0.5, errors, coarse(distance)) <= MOST


def test_one_drawn_table(fitted):
    """The network that was drawn is scored; without its density it is caught."""
    examples, _, _ = fitted
    sums, counts = draw_tables(examples, CELLS, seed=3)
    theta = 0.1 * sums
    noise = np.random.default_rng(9).standard_normal(theta.shape)
    weights = theta + SIGMA * noise
    ratio = ((weights**2).sum(axis=1) / SIGMA**2 - (noise**2).sum(axis=1)) / 2
    signs = np.sign(weights)
    errors = ((counts - signs * sums) / 2).sum(axis=1).astype(int)

    @cache
    def risk(nats, errors):
        network = DrawnNetwork(name="h", log_density_ratio_nats=nats, errors=errors)
        return drawn_risk([network], examples, DELTA).value

    assert failure_rate(risk, 0.5, np.floor(ratio * 4) / 4, errors) <= MOST
    assert is_caught(lambda k: k / examples, 0.5, errors)


def test_a_drawn_table_without_its_density_is_caught():
    """Tables that know their sample by heart: what that took is in the density alone."""
    examples, cells = 60, 100
    sums, counts = draw_tables(examples, cells, seed=4)
    noise = np.random.default_rng(11).standard_normal(sums.shape)
    weights = 3 * SIGMA * sums + SIGMA * noise
    ratio = ((weights**2).sum(axis=1) / SIGMA**2 - (noise**2).sum(axis=1)) / 2
    signs = np.sign(weights)
    errors = ((counts - signs * sums) / 2).sum(axis=1).astype(int)

    @cache
    def risk(nats, errors):
        network = DrawnNetwork(name="h", log_density_ratio_nats=nats, errors=errors)
        return drawn_risk([network], examples, DELTA).value

    assert failure_rate(risk, 0.5, np.floor(ratio), errors) <= MOST
    assert is_caught(lambda k: risk(0.0, k), 0.5, errors)


def test_the_best_of_many_drawn_tables_needs_their_number():
    """Drawn from the prior itself: the ratio is 1, and the best of many is chosen by its errors."""
    examples, count = 20, 128
    errors = np.random.default_rng(10).binomial(examples, 0.5, size=(DRAWS, count)).min(axis=1)

    @cache
    def risk(errors, paid):
        network = DrawnNetwork(name="h", log_density_ratio_nats=0.0, errors=errors)
        return drawn_risk([network] * paid, examples, DELTA).value

    assert failure_rate(lambda k: risk(k, count), 0.5, errors) <= MOST
    assert is_caught(lambda k: risk(k, 1), 0.5, errors)


def test_monte_carlo_step():
    """Each draw of weights is scored on one example, or all on the whole sample at once."""
    risk, draws, examples = 0.1, 300, 50
    wrong = np.random.default_rng(5).binomial(draws, risk, size=DRAWS)

    def limit(trials, each):
        return lambda k: GibbsSample(
            sigma=1.0, draws=trials, trials=trials * each, errors=k * each
        ).risk_upper(Decimal(DELTA))

    assert DELTA / 2 < failure_rate(limit(draws, 1), Decimal(risk), wrong) <= MOST
    # A draw that errs on every example or on none: the draws count, and not the trials.
    assert failure_rate(limit(draws, examples), Decimal(risk), wrong) <= MOST
    assert is_caught(limit(draws * examples, 1), Decimal(risk), wrong * examples)
    assert is_caught(lambda k: Decimal(k) / draws, Decimal(risk), wrong)


def test_the_full_count_with_a_prior_trained_on_half_is_caught():
    """The posterior is the prior, moved a little: its KL is small, and so must be m."""
    half, cells = 300, 300
    first, first_counts = draw_tables(half, cells, seed=6)
    second, second_counts = draw_tables(half, cells, seed=7)
    theta = 2 * SIGMA * first
    honest = gibbs_risk(theta, second, second_counts)
    dishonest = gibbs_risk(theta, first + second, first_counts + second_counts)
    anchor = [Anchor(name="half", squared_distance_upper=1e-3)]

    for theorem in (anchors_union, mixture, pinsker):
        gap = theorem(anchor, [SIGMA], half, DELTA).value
        assert failure_rate(lambda one, gap=gap: one + gap, 0.5, honest) <= MOST
        gap = theorem(anchor, [SIGMA], 2 * half, DELTA).value
        assert is_caught(lambda one, gap=gap: one + gap, 0.5, dishonest)
