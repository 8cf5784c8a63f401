"""The lines of a compression bound: bits, complexity, distance, and what they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from dlgen_cli.bounds.arithmetic import LN2, ZERO, log_inverse, upward
from dlgen_cli.bounds.concentration import binomial_tail_inverse_upper
from dlgen_cli.bounds.derivations.derivation import Derivation, Step, read_number
from dlgen_cli.bounds.layered_network import LayeredNetwork, read_network
from dlgen_cli.bounds.norms import LayerNorms
from dlgen_cli.bounds.propagation import propagate_all
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import read_sides
from dlgen_cli.records import GraphNode

#: Where there are more layers, the distance is not worked out layer by layer.
_MOST_LAYERS = 8

Choice = Literal["none", "rank", "union"]


@upward
def gap_by_compression(terms: Fields, choice: Choice) -> Sequence[Step]:
    """``sqrt( (bits ln 2 + ...) / (2m) ) + 2 beta dist``.

    Args:
        terms: as recorded.
        choice: what was chosen after looking: nothing, one rank, or as ``union_nats`` tells.
    """
    m, beta = terms.count("examples"), Decimal(terms.number("loss_lipschitz"))
    delta = Decimal(terms.number("delta"))
    sides = read_sides(terms)
    bits, width = terms.count("bits"), terms.count("bits_per_parameter")
    lines = Derivation({"m": m, "β": beta, "δ": delta, "b": width})
    if "widths" in terms.values:
        lines.recorded("bits", "factors, biases and scales, as stored", Decimal(bits))
    else:
        lines.recorded("P", "numbers in all factors and biases", Decimal(bits // width))
        lines.step("bits", "{b}·{P}", Decimal(bits))
    paid = "({bits} + 1)·ln 2" if sides == 2 else "{bits}·ln 2"
    nats = (bits + sides - 1) * LN2 + log_inverse(delta)
    if choice == "rank":
        largest = Decimal(terms.count("largest_rank"))
        lines.recorded("r_max", "ranks that were compared", largest)
        nats += largest.ln()
        lines.step("nats", paid + " + ln({r_max}) + ln(1/{δ})", nats)
    elif choice == "union":
        union = Decimal(terms.number("union_nats"))
        lines.recorded("union", "logarithm of the choices that there were, in nats", union)
        nats += union
        lines.step("nats", paid + " + {union} + ln(1/{δ})", nats)
    else:
        lines.step("nats", paid + " + ln(1/{δ})", nats)
    complexity = lines.step("complexity", "√( {nats} / (2·{m}) )", (nats / (2 * m)).sqrt())
    distance = _distance(lines, terms)
    approximation = lines.step("approximation", "2·{β}·{dist}", 2 * beta * distance)
    lines.step("value", "{complexity} + {approximation}", complexity + approximation)
    return lines.steps


def _distance(lines: Derivation, terms: Fields) -> Decimal:
    """The distance, layer by layer where the network is a short chain."""
    network, norms = read_network(terms)
    distance = read_number(terms, "distance")
    if len(network.maps) > _MOST_LAYERS or not all(_keeps_norms(node) for node in network.nodes):
        what = f"propagated through the {len(network.maps)} layers, each norm an upper end"
        return lines.recorded("dist", what, distance)
    return _along_chain(lines, network, norms, Decimal(terms.number("radius")))


def _keeps_norms(node: GraphNode) -> bool:
    """Whether a node is an affine layer, or leaves radius and deviation as they are."""
    if node.kind in {"linear", "diagonal"}:
        return True
    unmoved = (node.factor_upper, node.offset_upper, node.cap_upper, node.spread_upper)
    return node.kind in {"input", "lipschitz", "identity"} and unmoved == (1.0, 0.0, None, None)


def _along_chain(
    lines: Derivation, network: LayeredNetwork, norms: dict[str, LayerNorms], radius: Decimal
) -> Decimal:
    found = propagate_all(network.nodes, norms, radius)
    lines.recorded("ρ_0", "R, the largest norm of an input", radius)
    lines.recorded("Δ_0", "at the input nothing has moved", ZERO)
    layers = [node for node in network.nodes if node.layer is not None]
    for n, node in enumerate(layers, start=1):
        one, after = norms[node.layer or ""], found[node.name]
        values = {
            f"‖W_{n}‖": one.norm_upper,
            f"‖W_{n}′‖": one.moved_norm_upper,
            f"‖W_{n} − W_{n}′‖": one.error_upper,
            f"‖c_{n}′‖": one.moved_bias_norm_upper,
            f"‖c_{n} − c_{n}′‖": one.bias_error_upper,
        }
        for symbol, value in values.items():
            lines.given(symbol, Decimal(value))
        w, moved, error, bias, bias_error = (f"{{{symbol}}}" for symbol in values)
        last = f"{{Δ_{n - 1}}}", f"{{ρ_{n - 1}}}"
        shift = f" + {bias_error}" if one.bias_error_upper else ""
        lines.step(f"Δ_{n}", f"{w}·{last[0]} + {error}·{last[1]}{shift}", after.deviation)
        offset = f" + {bias}" if one.moved_bias_norm_upper else ""
        if n < len(layers):
            lines.step(f"ρ_{n}", f"{moved}·{last[1]}{offset}", after.radius)
    return lines.step("dist", f"{{Δ_{len(layers)}}}", found[network.nodes[-1].name].deviation)


@upward
def risk_by_code_length(terms: Fields) -> Sequence[Step]:
    """``sup { p : P( Bin(m, p) <= errors ) >= e^-nats }``."""
    errors, m = terms.count("errors"), terms.count("examples")
    bits, delta = Decimal(terms.number("bits")), Decimal(terms.number("delta"))
    union = Decimal(terms.number("union_nats"))
    lines = Derivation({"m": m, "errors": errors, "δ": delta, "bits": bits, "union": union})
    nats = bits * LN2 + union + log_inverse(delta)
    lines.step("nats", "{bits}·ln 2 + {union} + ln(1/{δ})", nats)
    lines.step(
        "value",
        "sup{{ p : P(Bin({m}, p) ≤ {errors}) ≥ e^(−{nats}) }}",
        binomial_tail_inverse_upper(errors, m, -nats.next_plus()),
    )
    return lines.steps
