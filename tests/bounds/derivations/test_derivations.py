"""Every line is arithmetic that anyone can redo: mpmath does, from the printed numbers alone."""

import json
import re
from decimal import Decimal

import mpmath
import pytest

from dlgen_cli.bounds import (
    Anchor,
    Box,
    CompressionSetting,
    DrawnErrors,
    DrawnNetwork,
    GibbsSample,
    IntegratedRisk,
    LayeredNetwork,
    LinearMap,
    Posterior,
    all_ranks,
    anchors_union,
    betting,
    clopper_pearson,
    disagreement_risk,
    drawn_risk,
    expected,
    fixed_rank,
    kl_risk,
    layer_ranks,
    markov,
    mixture,
    occam,
    pinsker,
    posterior_risk,
    printed,
    stored,
)
from dlgen_cli.bounds.derivations.derivation import shown_number
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.records import GraphNode

_SETTING = CompressionSetting(
    bits_per_parameter=8, examples=5000, delta=0.05, loss_lipschitz=1.25, radius=2.0
)
_ANCHORS = [
    Anchor(name="near", squared_distance_upper=3.5),
    Anchor(name="far", squared_distance_upper=4.25),
]


def chain():
    """Two layers with a bias each and an activation between them."""
    maps = [
        LinearMap(
            name=name,
            rows=4,
            columns=3,
            norm_upper=norm,
            truncation_errors_upper=(norm, norm / 2, norm / 8, 0.0),
            bias_norm_upper=0.5,
            bias_parameters=4,
        )
        for name, norm in (("first", 1.5), ("second", 2.5))
    ]
    nodes = [
        GraphNode(name="x", kind="input", operation="input"),
        GraphNode(name="a", kind="linear", operation="linear", inputs=("x",), layer="first"),
        GraphNode(name="b", kind="lipschitz", operation="relu", inputs=("a",)),
        GraphNode(name="c", kind="linear", operation="linear", inputs=("b",), layer="second"),
    ]
    return LayeredNetwork(nodes=nodes, maps=maps)


def box(**changed):
    values = {"parameters": 1000, "linf_norm": 0.4375, "largest": "w", "epsilon": 1e-3}
    return Box(**{**values, "examples": 5000, "delta": 0.05, **changed})


def bounds():
    network = chain()
    yield fixed_rank(network, _SETTING, 2)
    yield all_ranks(network, _SETTING)
    yield layer_ranks(network, _SETTING)
    norms = network.at_rank(2)
    ranks = dict.fromkeys(norms, 2)
    yield stored(network, _SETTING, norms, ranks=ranks, stored_bits=600, choices=18)
    yield occam(1200.0, 40, 5000, 0.05, union_nats=3.25)
    yield from (one(_ANCHORS, [0.1, 0.5], 5000, 0.05) for one in (anchors_union, mixture, pinsker))
    for trials in (400, 4000):
        sample = GibbsSample(sigma=0.5, draws=400, trials=trials, errors=trials // 8)
        yield kl_risk(_ANCHORS, [sample], 5000, 0.04, 0.01)
    measured = {"name": "one", "distance_nats_upper": 12.5, "spread_nats_upper": 3.25}
    drawn = Posterior(**measured, risk=DrawnErrors(draws=400, trials=400, errors=20))
    yield posterior_risk([drawn], 5000, 0.04, 0.01, choice_nats=1.5)
    integrated = Posterior(**measured, risk=IntegratedRisk(upper=0.0625, cells=4096))
    yield posterior_risk([integrated], 5000, 0.05, choice_nats=1.5)
    networks = [DrawnNetwork(name="one", log_density_ratio_nats=19.5, errors=150)] * 2
    yield drawn_risk(networks, 5000, 0.05, choice_nats=1.5)
    yield from (one(box()) for one in (expected, markov, printed))
    yield expected(box(parameters=10**7, linf_norm=0.5, epsilon=1e-9))
    yield clopper_pearson(7, 500, 0.05)
    yield disagreement_risk(3, 800, 7, 500, 0.05)
    yield betting({0: 400, 1000: 90, 4096: 10}, 0.05, union_nats=1.25)


def binomial_tail(errors, n, p):
    return mpmath.fsum(
        mpmath.binomial(n, i) * p**i * (1 - p) ** (n - i) for i in range(int(errors) + 1)
    )


def binary_kl(q, p):
    first = q * mpmath.log(q / p) if q else 0
    return first + (1 - q) * mpmath.log((1 - q) / (1 - p))


def redo(text, value):
    """What a line says, computed from its text; for an inverse, whether ``value`` solves it."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    words = {"√(": "sqrt(", "ln(": "log(", "ln 2": "log(2)", "π": "pi", "e^(": "exp("}
    words |= {"−": "-", "·": "*", "×": "*", "^": "**", "²": "**2"}
    for word, code in words.items():
        text = text.replace(word, code)
    text = re.sub(r"⌈(.*)⌉", r"ceil(\1)", text)
    names = {name: getattr(mpmath, name) for name in ("sqrt", "log", "exp", "pi", "ceil")}

    def calculate(code):
        return eval(code, {**names, "min": min, "max": max})

    if found := re.fullmatch(r"sup\{ p : P\(Bin\((\d+), p\) ≤ (\d+)\) ≥ (.*) \}", text):
        n, errors, tail = (calculate(part) for part in found.groups())
        assert mpmath.almosteq(binomial_tail(errors, n, value), tail, rel_eps=1e-3)
        return value
    if found := re.fullmatch(r"kl⁻¹\( (.*) \| (.*) \)", text):
        q, exponent = (calculate(part) for part in found.groups())
        assert mpmath.almosteq(binary_kl(q, value), exponent, rel_eps=1e-3)
        return value
    return calculate(text)


@pytest.mark.parametrize("bound", list(bounds()), ids=lambda one: one.theorem)
def test_every_line_follows_from_the_numbers_in_it(bound):
    steps = THEOREMS[bound.theorem].derive(Fields(json.loads(json.dumps(bound.terms))))
    with mpmath.workdps(60):
        for step in steps:
            value = mpmath.mpf(str(step.value))
            if step.formula:
                assert mpmath.almosteq(redo(step.numbers, value), value, rel_eps=1e-3), step
    assert steps[-1].symbol == "value"
    if bound.value is not None:
        assert float(steps[-1].value) == pytest.approx(bound.value, rel=1e-12)


def test_numbers_are_shown_as_typed_or_rounded_up():
    shown = {
        Decimal(1 / 20): "0.05",
        Decimal(12288): "12,288",
        Decimal(1) / 3: "0.333334",
        Decimal("1234567.2"): "1,234,570",
        Decimal("1e-9"): "10^(-9)",
        Decimal("3.25e40"): "3.25 × 10^40",
        Decimal(0): "0",
    }
    assert {value: shown_number(value) for value in shown} == shown
