"""What every bound does: monotone, one-sided, and strict about its ranges."""

import json
import math

import pytest

from dlgen_cli.bounds import (
    Anchor,
    Box,
    CompressionSetting,
    DrawnErrors,
    GibbsSample,
    LayeredNetwork,
    LinearMap,
    Posterior,
    all_ranks,
    anchors_union,
    expected,
    fixed_rank,
    kl_risk,
    layer_ranks,
    markov,
    mixture,
    pinsker,
    posterior_risk,
    printed,
)
from dlgen_cli.errors import UsageError
from dlgen_cli.records import GraphNode

NODES = [
    GraphNode(name="x", kind="input", operation="input"),
    GraphNode(name="0", kind="linear", operation="linear", inputs=("x",), layer="W0"),
    GraphNode(name="1", kind="linear", operation="linear", inputs=("0",), layer="W1"),
    GraphNode(name="2", kind="linear", operation="linear", inputs=("1",), layer="W2"),
]


def _compression(theorem):
    def evaluate(*, m=5000, delta=0.05, distance=0.5, b=8, **_):
        maps = [
            LinearMap(
                name=f"W{n}",
                rows=6,
                columns=6,
                norm_upper=1.2,
                truncation_errors_upper=[1.2, *(distance / (k + 1) for k in range(5)), 0.0],
            )
            for n in range(3)
        ]
        setting = CompressionSetting(
            bits_per_parameter=b,
            examples=m,
            delta=delta,
            loss_lipschitz=1.0,
            radius=1.0,
        )
        return theorem(LayeredNetwork(nodes=NODES, maps=maps), setting)

    return evaluate


def _pac_bayes(theorem):
    def evaluate(*, m=5000, delta=0.05, distance=0.5, sigma=0.1, **_):
        anchors = [
            Anchor(name="a", squared_distance_upper=distance**2),
            Anchor(name="b", squared_distance_upper=4 * distance**2),
        ]
        return theorem(anchors, [sigma], m, delta)

    return evaluate


def _pac_bayes_kl(*, m=5000, delta=0.05, distance=0.5, sigma=0.1, **_):
    anchors = [
        Anchor(name="a", squared_distance_upper=distance**2),
        Anchor(name="b", squared_distance_upper=4 * distance**2),
    ]
    samples = [GibbsSample(sigma=sigma, draws=1000, trials=1000, errors=20)]
    return kl_risk(anchors, samples, m, delta, 1e-4)


def _posterior(*, m=5000, delta=0.05, distance=0.5, **_):
    one = Posterior(
        name="q",
        distance_nats_upper=50 * distance**2,
        spread_nats_upper=1.5,
        risk=DrawnErrors(draws=1000, trials=1000, errors=20),
    )
    return posterior_risk([one], m, delta, 1e-4, choice_nats=3.0)


def _rademacher(theorem):
    def evaluate(*, m=5000, delta=0.05, distance=0.5, epsilon=1e-7, **_):
        box = Box(
            parameters=500,
            linf_norm=0.5 - distance * 1e-4,
            largest="W",
            epsilon=epsilon,
            examples=m,
            delta=delta,
        )
        return theorem(box)

    return evaluate


BOUNDS = {
    "compression.fixed_rank": _compression(
        lambda network, setting: fixed_rank(network, setting, 2)
    ),
    "compression.all_ranks": _compression(all_ranks),
    "compression.layer_ranks": _compression(layer_ranks),
    "pac_bayes.anchors": _pac_bayes(anchors_union),
    "pac_bayes.mixture": _pac_bayes(mixture),
    "pac_bayes.pinsker": _pac_bayes(pinsker),
    "pac_bayes.kl": _pac_bayes_kl,
    "pac_bayes.posterior": _posterior,
    "rademacher.printed": _rademacher(printed),
    "rademacher.markov": _rademacher(markov),
    "rademacher.expected": _rademacher(expected),
}
WITH_SIGMA = ["pac_bayes.anchors", "pac_bayes.mixture", "pac_bayes.pinsker", "pac_bayes.kl"]
every_bound = pytest.mark.parametrize("name", BOUNDS)


@every_bound
def test_it_carries_its_name_source_and_a_json_value(name):
    bound = BOUNDS[name]()
    assert bound.theorem == name
    assert bound.title
    assert bound.source
    json.dumps(bound.terms, allow_nan=False)
    assert bound.value > 0
    assert bound.log10_value == pytest.approx(math.log10(bound.value), rel=1e-12, abs=1e-12)


@every_bound
def test_it_falls_with_examples_and_with_delta(name):
    evaluate = BOUNDS[name]
    by_m = [evaluate(m=m).value for m in (8, 9, 100, 10_000, 10**8)]
    assert by_m == sorted(by_m, reverse=True)
    by_delta = [evaluate(delta=d).value for d in (1e-12, 0.01, 0.05, 0.5, 0.999)]
    assert by_delta == sorted(by_delta, reverse=True)


@every_bound
def test_it_rises_with_distance(name):
    by_distance = [BOUNDS[name](distance=d).value for d in (1e-6, 0.1, 0.5, 2.0, 100.0)]
    assert by_distance == sorted(by_distance)


@every_bound
@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_it_refuses_a_delta_outside_the_open_interval(name, delta):
    with pytest.raises(UsageError, match="delta"):
        BOUNDS[name](delta=delta)


@every_bound
@pytest.mark.parametrize("m", [1, 0, -5])
def test_it_refuses_fewer_than_two_examples(name, m):
    with pytest.raises(UsageError, match=r"^m is"):
        BOUNDS[name](m=m)


@pytest.mark.parametrize("name", WITH_SIGMA)
@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_it_refuses_a_sigma_that_is_no_deviation(name, sigma):
    with pytest.raises(UsageError, match="sigma"):
        BOUNDS[name](sigma=sigma)


@pytest.mark.parametrize("name", [name for name in BOUNDS if name.startswith("rad")])
@pytest.mark.parametrize("epsilon", [0.0, -0.1, 0.51, math.nan])
def test_it_refuses_an_epsilon_outside_its_range(name, epsilon):
    with pytest.raises(UsageError, match="epsilon"):
        BOUNDS[name](epsilon=epsilon)


@pytest.mark.parametrize("name", [name for name in BOUNDS if name.startswith("comp")])
@pytest.mark.parametrize("b", [0, -3])
def test_it_refuses_fewer_than_one_bit(name, b):
    with pytest.raises(UsageError, match=r"^b is"):
        BOUNDS[name](b=b)
