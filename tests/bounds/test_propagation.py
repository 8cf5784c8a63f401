"""The table of rules, the chain formula as a special case, sensitivities by differences."""

import math
import random
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.bounds.arithmetic import UPWARD
from dlgen_cli.bounds.norms import LayerNorms
from dlgen_cli.bounds.propagation import Propagation, propagate, propagate_all, sensitivities
from dlgen_cli.errors import UsageError
from dlgen_cli.records import GraphNode

INPUT = GraphNode(name="x", kind="input", operation="input")
ROUNDING = Decimal("1." + 24 * "0" + "1")
NORMS = st.floats(min_value=0.0, max_value=100.0)


def chain(count, gamma=1.0):
    nodes = [INPUT]
    for position in range(count):
        nodes.append(
            GraphNode(
                name=f"l{position}",
                kind="linear",
                operation="linear",
                inputs=(nodes[-1].name,),
                layer=f"w{position}",
            )
        )
        if position < count - 1:
            nodes.append(
                GraphNode(
                    name=f"a{position}",
                    kind="lipschitz",
                    operation="relu",
                    inputs=(nodes[-1].name,),
                    factor_upper=gamma,
                )
            )
    return nodes


def one_node(kind, inputs=("x",), **facts):
    return GraphNode(name="y", kind=kind, operation=kind, inputs=inputs, **facts)


@given(
    st.lists(st.tuples(NORMS, NORMS, NORMS), min_size=1, max_size=6),
    st.floats(min_value=0.1, max_value=4.0),
    st.floats(min_value=0.1, max_value=10.0),
)
def test_a_chain_without_biases_is_the_telescoping_sum(norms, gamma, radius):
    layers = {
        f"w{n}": LayerNorms(norm_upper=a, moved_norm_upper=b, error_upper=e)
        for n, (a, b, e) in enumerate(norms)
    }
    count = len(norms)
    with localcontext(prec=100):
        expected = Decimal(0)
        for n, (_, _, error) in enumerate(norms):
            term = Decimal(error)
            for other, (norm, moved, _) in enumerate(norms):
                if other != n:
                    term *= Decimal(moved if other < n else norm)
            expected += term
        expected *= Decimal(radius) * Decimal(gamma) ** (count - 1)
        found = propagate(chain(count, gamma), layers, radius).deviation
        assert expected <= found <= expected * (1 + Decimal("1e-40"))


@given(
    st.lists(st.tuples(NORMS, NORMS), min_size=1, max_size=6),
    st.floats(min_value=0.1, max_value=4.0),
)
def test_sensitivities_of_a_chain_are_products_of_the_other_norms(norms, gamma):
    layers = {f"w{n}": LayerNorms.unmoved(norm) for n, (norm, _) in enumerate(norms)}
    slopes = sensitivities(chain(len(norms), gamma), layers, 2.0)
    with localcontext(prec=100):
        total = Decimal(0)
        for n, (_, error) in enumerate(norms):
            product = 2 * Decimal(gamma) ** (len(norms) - 1)
            for other, (norm, _) in enumerate(norms):
                product *= Decimal(norm) if other != n else 1
            found = slopes[f"w{n}"].weight
            assert product <= found <= product * (1 + Decimal("1e-40"))
            total += found * Decimal(error)
    moved = {
        f"w{n}": LayerNorms(norm_upper=norm, moved_norm_upper=norm, error_upper=error)
        for n, (norm, error) in enumerate(norms)
    }
    deviation = propagate(chain(len(norms), gamma), moved, 2.0).deviation
    with localcontext(prec=100):
        assert abs(deviation - total) <= total * Decimal("1e-40")


def test_the_sweep_bounds_the_deviation_of_each_layer_alone():
    """Random graphs of all kinds: the linear form at unit errors, layer by layer."""
    source = random.Random(3)
    for _ in range(20):
        nodes, layers = random_graph(source)
        slopes = sensitivities(nodes, layers, 1.5)
        for name, norms in layers.items():
            for weight, bias in ((1.0, 0.0), (0.0, 1.0)):
                moved = LayerNorms(
                    norm_upper=norms.norm_upper,
                    moved_norm_upper=norms.moved_norm_upper,
                    error_upper=weight,
                    moved_bias_norm_upper=norms.moved_bias_norm_upper,
                    bias_error_upper=bias,
                )
                found = propagate(nodes, {**layers, name: moved}, 1.5).deviation
                linear = slopes[name].weight if weight else slopes[name].bias
                assert found <= linear * ROUNDING


def random_graph(source):
    nodes, layers = [INPUT], {}
    for position in range(12):
        before = nodes[-1].name
        other = source.choice(nodes).name
        kind = source.choice(
            ["linear", "linear", "lipschitz", "sum", "concat", "scale", "max_pool"]
        )
        facts = {"inputs": (before,)}
        if kind == "linear":
            facts["layer"] = source.choice([*layers, f"w{position}"])
            layers.setdefault(
                facts["layer"], LayerNorms.unmoved(source.uniform(0, 2), source.uniform(0, 1))
            )
        elif kind == "sum":
            facts |= {"inputs": (before, other), "coefficients_upper": (1.0, source.uniform(0, 2))}
        elif kind == "concat":
            facts["inputs"] = (before, other, before)
        else:
            facts["factor_upper"] = source.uniform(0.2, 2)
            if kind == "lipschitz":
                facts |= {"offset_upper": source.uniform(0, 1), "cap_upper": 5.0}
        nodes.append(GraphNode(name=f"n{position}", kind=kind, operation=kind, **facts))
    return nodes, layers


@given(st.integers(0, 10_000))
def test_one_choice_of_norms_after_another_is_each_choice_alone(seed):
    source = random.Random(seed)
    nodes, layers = random_graph(source)
    propagation = Propagation(nodes, 1.5)
    for _ in range(6):
        name = source.choice([*layers, ""])
        if name:
            size, error = source.uniform(0, 2), source.choice([0.0, source.uniform(0, 1)])
            layers[name] = LayerNorms(
                norm_upper=source.choice([size, layers[name].norm_upper]),
                moved_norm_upper=source.choice([size, size + error]),
                error_upper=error,
                moved_bias_norm_upper=layers[name].moved_bias_norm_upper,
                bias_error_upper=source.choice([0.0, error]),
            )
        assert propagation.bounds(layers) == propagate_all(nodes, layers, 1.5)


def test_a_later_choice_is_checked_too():
    propagation = Propagation(chain(1), 1.0)
    propagation.bounds({"w0": LayerNorms.unmoved(1.0)})
    with pytest.raises(UsageError, match="norm of w0"):
        propagation.bounds({"w0": LayerNorms.unmoved(-1.0)})
    with pytest.raises(UsageError, match="w0 has no norms"):
        propagation.bounds({})


RULES = [
    (one_node("sum", ("x", "x"), coefficients_upper=(1.0, 0.5)), 4.5, 1.5),
    (one_node("scale", factor_upper=0.25), 0.75, 0.25),
    (one_node("max_pool", factor_upper=2.0), 6.0, 2.0),
    (one_node("identity"), 3.0, 1.0),
    (one_node("lipschitz", factor_upper=0.5, offset_upper=2.0), 3.5, 0.5),
    (one_node("lipschitz", cap_upper=2.5, spread_upper=0.5), 2.5, 0.5),
    (one_node("lipschitz", cap_upper=7.0, spread_upper=7.0), 3.0, 1.0),
]


@pytest.mark.parametrize(("node", "radius", "deviation"), RULES)
def test_each_rule(node, radius, deviation):
    first = GraphNode(name="x0", kind="input", operation="input")
    layer = GraphNode(name="x", kind="linear", operation="linear", inputs=("x0",), layer="w")
    layers = {"w": LayerNorms(norm_upper=1.0, moved_norm_upper=3.0, error_upper=1.0)}
    found = propagate([first, layer, node], layers, 1.0)
    assert (float(found.radius), float(found.deviation)) == (radius, deviation)


def test_a_concatenation_takes_the_root_of_the_sum_of_squares():
    nodes = [
        INPUT,
        *(
            GraphNode(name=n, kind="diagonal", operation="d", inputs=("x",), layer=n)
            for n in ("a", "b")
        ),
        GraphNode(name="y", kind="concat", operation="cat", inputs=("a", "b")),
    ]
    layers = {
        "a": LayerNorms(norm_upper=1.0, moved_norm_upper=3.0, error_upper=5.0),
        "b": LayerNorms(norm_upper=1.0, moved_norm_upper=4.0, error_upper=12.0),
    }
    found = propagate(nodes, layers, 1.0)
    assert 5 <= found.radius <= 5 * ROUNDING
    assert 13 <= found.deviation <= 13 * ROUNDING
    slopes = sensitivities(nodes, layers, 1.0)
    assert slopes["a"].weight == slopes["b"].weight == 1


def test_biases_widen_the_radius_and_move_the_output():
    layers = {
        "w0": LayerNorms(
            norm_upper=2.0,
            moved_norm_upper=2.5,
            error_upper=0.5,
            moved_bias_norm_upper=1.0,
            bias_error_upper=0.25,
        ),
        "w1": LayerNorms(norm_upper=3.0, moved_norm_upper=3.0, error_upper=0.125),
    }
    found = propagate_all(chain(2), layers, 2.0)
    assert (found["l0"].radius, found["l0"].deviation) == (6, Decimal("1.25"))
    assert found["l1"].deviation == 3 * Decimal("1.25") + Decimal("0.125") * 6


def test_a_layer_that_is_called_twice_counts_twice():
    nodes = [
        INPUT,
        GraphNode(name="a", kind="linear", operation="l", inputs=("x",), layer="w"),
        GraphNode(name="b", kind="linear", operation="l", inputs=("a",), layer="w"),
    ]
    assert sensitivities(nodes, {"w": LayerNorms.unmoved(3.0)}, 1.0)["w"].weight == 6


def test_products_beyond_floats_are_kept():
    layers = {
        f"w{n}": LayerNorms(norm_upper=1e300, moved_norm_upper=1e300, error_upper=1e300)
        for n in range(5)
    }
    assert propagate(chain(5), layers, 1.0).deviation.log10() > 1500


@given(st.integers(0, 10_000))
def test_everything_is_rounded_upward(seed):
    source = random.Random(seed)
    nodes, layers = random_graph(source)
    found = propagate(nodes, layers, source.uniform(0.1, 2)).radius
    assert found.is_finite()
    assert found >= 0
    assert len(found.as_tuple().digits) <= UPWARD.prec


def test_a_node_without_a_rule_is_named():
    node = one_node("unsupported", reason="features.3: softmax has no rule")
    with pytest.raises(UsageError, match=r"no rule for y .*features\.3: softmax"):
        propagate([INPUT, node], {}, 1.0)
    with pytest.raises(UsageError, match=r"features\.3"):
        sensitivities([INPUT, node], {}, 1.0)


@pytest.mark.parametrize("norm", [-1.0, math.inf, math.nan, Decimal(-1), Decimal("NaN")])
def test_what_is_no_norm_is_refused(norm):
    with pytest.raises(UsageError, match="norm of w0"):
        propagate(chain(1), {"w0": LayerNorms.unmoved(norm)}, 1.0)


def test_a_layer_without_norms_is_named():
    with pytest.raises(UsageError, match="w0 has no norms"):
        propagate(chain(1), {}, 1.0)
