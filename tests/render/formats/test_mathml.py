"""Formulas as MathML: what a fraction, a root or a power holds, and nothing else."""

from xml.etree import ElementTree as ET

import pytest

from dlgen_cli.render.formats.mathml import math

INVISIBLE = {"\u2061": "", "\u2062": ""}


def tree(*lines: str) -> ET.Element:
    return ET.fromstring(math(*lines))


def shown(element: ET.Element) -> str:
    """What a reader sees, fractions as ``[above/below]``, powers as ``[base^exponent]``."""
    parts = [shown(one) for one in element]
    match element.tag:
        case "mfrac":
            return f"[{parts[0]}/{parts[1]}]"
        case "msup":
            return f"[{parts[0]}^{parts[1]}]"
        case "msub":
            return f"[{parts[0]}_{parts[1]}]"
        case "msqrt":
            return f"√[{''.join(parts)}]"
        case _:
            return "".join(parts) + (element.text or "").translate(str.maketrans(INVISIBLE))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("√( nats / (2·m) )", "√[[nats/2·m]]"),
        ("b·P", "b·P"),
        ("2·V_k·shells/(δ/2)", "[2·[V_k]·shells/[δ/2]]"),
        ("(bits + 1)·ln 2 + ln(r_max) + ln(1/δ)", "(bits+1)·ln2+ln([r_max])+ln([1/δ])"),
        ("‖θ − θ_1‖²/(2·σ²)", "[[‖θ−[θ_1]‖^2]/2·[σ^2]]"),
        ("1 − (1 − 2·k·ε)^p", "1−[(1−2·k·ε)^p]"),
        ("max(1, ⌈(1/2 − ‖θ‖_∞)/ε⌉)", "max(1,⌈[[1/2]−[‖θ‖_∞]/ε]⌉)"),
        ("√(π·m/2)·e^(1/(12·m)) + 2/3", "√[[π·m/2]]·[e^[1/12·m]]+[2/3]"),
        ("sup{ p : P(Bin(m, p) ≤ errors) ≥ e^(−nats) }", "sup{p:P(Bin(m,p)≤errors)≥[e^−nats]}"),
        ("kl⁻¹( L̂ | 2.65604 )", "[kl^−1](L^|2.65604)"),
        ("8.13557·(1.85576 × 10^(-13))", "8.13557·(1.85576×[10^−13])"),
        ("(1/2 − 1·10^(-9))^12,288", "[([1/2]−1·[10^−9])^12,288]"),
        ("‖W_1 − W_1′‖·ρ_0", "‖[W_1]−[W_1]′‖·[ρ_0]"),
        ("−ln( (1/K)·(e^(−KL_1)) )", "−ln(([1/K])·([e^−[KL_1]]))"),
    ],
)
def test_fractions_roots_and_powers_hold_what_they_should(text: str, expected: str):
    assert shown(tree(text)) == expected


def test_numbers_follow_the_formula_after_an_equals_sign():
    assert shown(tree("c", "(KL + price)/m", "3/2")) == "c=[KL+price/m]=[3/2]"


@pytest.mark.parametrize("text", ["(a", "a)", "x ≤", "<script>", "a # b", "a_‖", "√"])
def test_what_is_no_formula_stays_text(text: str):
    (only,) = tree(text)
    assert (only.tag, only.text) == ("mtext", text)
