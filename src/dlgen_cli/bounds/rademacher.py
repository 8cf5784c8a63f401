"""Rademacher-shell bounds for parameters in the box ``||theta||_inf <= 1/2``.

Shells ``Theta_k = { 1/2 - k eps <= ||theta||_inf <= 1/2 }``, ``k = 1 .. t``, ``t eps = 1/2``.
The source assumes that the expected Rademacher complexity of the losses of a shell equals its
volume, ``E_S[R(l o H_k o S)] = Volume(Theta_k)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from dlgen_cli.bounds.arithmetic import (
    ONE,
    PI,
    power_complement,
    to_float,
    upward,
    with_logarithm,
)
from dlgen_cli.bounds.assumptions import assumed, declared, verified, violated
from dlgen_cli.bounds.derivations.rademacher import (
    gap_as_printed,
    gap_by_expected_complexity,
    gap_by_markov,
)
from dlgen_cli.bounds.ranges import (
    require_count,
    require_delta,
    require_epsilon,
    require_examples,
    require_nonnegative,
)
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import Part, ReadBack, Theorem
from dlgen_cli.records import Assumption, Bound

_HALF = Fraction(1, 2)
#: What the union over shells multiplies the first term of `markov` by.
SHELLS_PAID = "shells_paid"
_UML = "Shalev-Shwartz and Ben-David 2014, 'Understanding Machine Learning', Theorem 26.5"
_MOHRI = "Mohri, Rostamizadeh and Talwalkar 2018, 'Foundations of Machine Learning', Theorem 3.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A network's place in the box, and the setting of the bound.

    Attributes:
        parameters: p, at least 1.
        linf_norm: ``||theta||_inf``, exact.
        largest: name of the parameter with the largest magnitude, for the report.
        epsilon: width of a shell, in (0, 1/2], fixed before the data.
        examples: m, at least 2.
        delta: failure probability in (0, 1).
    """

    parameters: int
    linf_norm: float
    largest: str
    epsilon: float
    examples: int
    delta: float

    def __post_init__(self) -> None:
        """Refuse numbers outside the theorem's ranges.

        Raises:
            UsageError: naming the number.
        """
        require_count("the number of parameters", self.parameters)
        require_nonnegative("the largest parameter", self.linf_norm)
        require_epsilon(self.epsilon)
        require_examples(self.examples)
        require_delta(self.delta)

    @property
    def shell(self) -> int:
        """The smallest k >= 1 whose shell holds the parameters, in exact arithmetic."""
        distance = _HALF - Fraction(self.linf_norm)
        return max(1, math.ceil(distance / Fraction(self.epsilon)))


@upward
def shell_volume(box: Box, shell: int) -> Decimal:
    """``Volume(Theta_k) = 1 - (1 - 2 k eps)^p``, in [0, 1], rounded upward.

    The cube has side 1, the inner one ``1 - 2 k eps`` (0 where ``k eps`` exceeds 1/2).
    """
    side = min(Fraction(1), 2 * shell * Fraction(box.epsilon))
    return power_complement(Decimal(side.numerator) / side.denominator, box.parameters)


@upward
def _printed_volume(box: Box, shell: int) -> Decimal:
    """``(1/2)^p - (1/2 - k eps)^p``: the true volume times ``2^-p``."""
    return shell_volume(box, shell) * (ONE / 2) ** box.parameters


@upward
def _two_sided_deviation(box: Box, shell: int) -> Decimal:
    """``sqrt( 2 ln( (2 pi^2 / 3) k^2 (2 / delta) ) / m )``."""
    inside = 2 * PI * PI / 3 * shell * shell * 2 / Decimal(box.delta)
    return (2 * inside.ln() / box.examples).sqrt()


@upward
def _expected_terms(box: Box, shell: int) -> tuple[Decimal, Decimal]:
    """Complexity ``2 V_k`` and deviation ``sqrt( ln(1/delta_k) / (2m) )`` of `expected`."""
    inverse_share = PI * PI * shell * shell / (6 * Decimal(box.delta))
    return 2 * shell_volume(box, shell), (inverse_share.ln() / (2 * box.examples)).sqrt()


def _ledger(box: Box) -> list[Assumption]:
    inside = box.linf_norm <= 0.5
    place = f"the largest magnitude is {box.linf_norm:.6g}, in {box.largest}"
    return [
        (verified if inside else violated)(
            "Every parameter lies in [-1/2, 1/2].", place[0].upper() + place[1:] + "."
        ),
        assumed(
            "The expected Rademacher complexity of a shell's losses equals the shell's volume.",
            "The source's assumption, which nothing in a checkpoint can check. It is doubtful for "
            "a thin shell: its volume vanishes, yet it holds whole faces of the cube.",
        ),
        declared(
            "The shell width epsilon was fixed before the data.",
            f"epsilon = {box.epsilon:g} as given.",
        ),
    ]


def _terms(
    box: Box, volume: Decimal, complexity: Decimal, deviation: Decimal, **more: float
) -> dict[str, Any]:
    return {
        "shell": box.shell,
        **with_logarithm("volume", volume),
        **with_logarithm("complexity", complexity),
        "deviation": to_float(deviation),
        "linf_norm": box.linf_norm,
        "largest_parameter": box.largest,
        "parameters": box.parameters,
        "epsilon": box.epsilon,
        "examples": box.examples,
        "delta": box.delta,
        **more,
    }


@upward
def printed(box: Box, assumptions: tuple[Assumption, ...] = ()) -> Bound:
    """Evaluate the bound as the source prints it. It is not valid; shown for comparison only.

    ``((1/2)^p - (1/2 - k eps)^p) / (delta/4) + sqrt( 2 ln( (2 pi^2/3) k^2 (2/delta) ) / m )``.
    The volume is too small by ``2^p``, and the deviation lacks the factor 4 of its theorem.

    Args:
        box: place and setting.
        assumptions: the caller's ledger.

    Returns:
        Status ``not_applicable``, with the value, unless the parameters leave the box: then
        without.
    """
    slips = [
        violated(
            "The volume of the shell is (1/2)^p - (1/2 - k eps)^p.",
            "The cube [-1/2, 1/2]^p has side 1: the printed volume is too small by 2^p, "
            f"p = {box.parameters}.",
        ),
        violated(
            "The deviation term needs no factor 4.",
            f"The data-dependent Rademacher bound carries it ({_UML}).",
        ),
    ]
    volume = _printed_volume(box, box.shell)
    complexity = volume * 4 / Decimal(box.delta)
    deviation = _two_sided_deviation(box, box.shell)
    inside = box.linf_norm <= 0.5
    return PRINTED.conclude(
        value=complexity + deviation if inside else None,
        terms=_terms(box, volume, complexity, deviation),
        assumptions=[*assumptions, *_ledger(box), *slips],
        show_invalid=True,
    )


@upward
def markov(box: Box, assumptions: tuple[Assumption, ...] = (), *, one_shell: bool = False) -> Bound:
    """Bound the gap with probability 1 - delta by the source's route, corrected.

    ``2 V_k / d_k + 4 sqrt( 2 ln(4 / d_k) / m )`` with ``d_k = (delta/2) 6 / (pi^2 k^2)``: Markov's
    inequality turns the expected complexity of shell k into an empirical one. Either step fails
    for shell k with probability d_k, so both hold for all shells with probability 1 - delta.

    Source: Shalev-Shwartz and Ben-David 2014, Theorem 26.5; `shell_volume` for ``V_k``.

    Assumes: the ledger's three lines; loss in [0, 1]; i.i.d. examples.

    Args:
        box: place and setting.
        assumptions: the caller's ledger.
        one_shell: let Markov's step fail with probability delta/2 for one shell, as reports of
            schema 1 did; it holds only where the shell was known beforehand.

    Returns:
        An upper bound, not clipped at 1; not applicable outside the box.
    """
    volume = shell_volume(box, box.shell)
    complexity = 4 * volume / Decimal(box.delta)
    paid: dict[str, float] = {}
    if not one_shell:
        shells = PI * PI * box.shell * box.shell / 6
        complexity *= shells
        paid = {SHELLS_PAID: float(shells)}
    deviation = 4 * _two_sided_deviation(box, box.shell)
    return MARKOV.conclude(
        value=complexity + deviation,
        terms=_terms(box, volume, complexity, deviation, **paid),
        assumptions=[*assumptions, *_ledger(box)],
    )


@upward
def expected(box: Box, assumptions: tuple[Assumption, ...] = ()) -> Bound:
    """Bound the gap with probability 1 - delta by the expected complexity of the shell.

    ``2 V_k + sqrt( ln(1/delta_k) / (2m) )``, ``delta_k = 6 delta / (pi^2 k^2)``. The assumption
    is about the expected complexity, so no Markov step is needed.

    Source: Mohri, Rostamizadeh and Talwalkar 2018, Theorem 3.3; `shell_volume` for ``V_k``.

    Assumes: the ledger's three lines; loss in [0, 1]; i.i.d. examples.

    Args:
        box: place and setting.
        assumptions: the caller's ledger.

    Returns:
        An upper bound, not clipped at 1; not applicable outside the box. ``terms`` tell from
        which distance ``1/2 - ||theta||_inf`` on it says nothing: `informative_distance`.
    """
    volume = shell_volume(box, box.shell)
    complexity, deviation = _expected_terms(box, box.shell)
    return EXPECTED.conclude(
        value=complexity + deviation,
        terms=_terms(
            box,
            volume,
            complexity,
            deviation,
            distance=float(_HALF - Fraction(box.linf_norm)),
            informative_distance=informative_distance(box),
            informative_distance_any_epsilon=informative_distance_any_epsilon(box),
        ),
        assumptions=[*assumptions, *_ledger(box)],
    )


def informative_distance(box: Box) -> float:
    """The largest distance ``1/2 - ||theta||_inf`` at which `expected` is below 1.

    ``k eps`` for the largest informative shell k at the epsilon in force; 0 where no shell is.

    Returns:
        In [0, 1/2], rounded downward.
    """

    def is_informative(shell: int) -> bool:
        with_complexity = upward(sum)(_expected_terms(box, shell))
        return with_complexity < ONE

    last = math.ceil(_HALF / Fraction(box.epsilon))
    if not is_informative(1):
        return 0.0
    low, high = 1, last + 1  # informative at low, not known to be at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_informative(middle) else (low, middle)
    return _to_float_down(min(_HALF, low * Fraction(box.epsilon)))


@upward
def informative_distance_any_epsilon(box: Box) -> float:
    """`informative_distance` if epsilon had been fixed at just that distance.

    Solves ``2 (1 - (1 - 2 d)^p) + sqrt( ln(1/delta_1) / (2m) ) = 1``; about ``1/p``.

    Returns:
        In [0, 1/2], rounded downward.
    """
    _, deviation = _expected_terms(box, 1)
    if deviation >= 1:
        return 0.0
    volume = (ONE - deviation) / 2
    side = -(((ONE - volume).ln() / box.parameters).exp() - ONE)
    return math.nextafter(math.nextafter(float(side / 2), 0.0), 0.0)


def _to_float_down(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, 0.0)


def _read_markov(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    evaluate = partial(markov, one_shell=SHELLS_PAID not in terms.values)
    return _read_back(evaluate)(terms, delta, lines)


def _read_back(evaluate: Callable[..., Bound]) -> ReadBack:
    def read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
        box = Box(
            parameters=terms.count("parameters"),
            linf_norm=terms.number("linf_norm"),
            largest=terms.text("largest_parameter"),
            epsilon=terms.number("epsilon"),
            examples=terms.count("examples"),
            delta=delta,
        )
        return evaluate(box, tuple(lines))

    return read_back


_MADE_OF = (
    Part(term="complexity", phrase="complexity {}"),
    Part(term="deviation", phrase="deviation {}"),
    Part(term="shell", phrase="k = {}", kind="count"),
)
_EMPTY_TERMS = dict.fromkeys(
    ("shell", "volume", "linf_norm", "parameters", "epsilon", "deviation", "complexity")
)
EXPECTED = Theorem(
    name="rademacher.expected",
    family="rademacher",
    title="Rademacher shells, through the expected complexity",
    speaks_of="the gap of the network itself",
    source=_MOHRI,
    evaluate=expected,
    read_back=_read_back(expected),
    made_of=_MADE_OF,
    empty_terms=_EMPTY_TERMS,
    derive=gap_by_expected_complexity,
    contradicted_by="gap",
)
MARKOV = Theorem(
    name="rademacher.markov",
    family="rademacher",
    title="Rademacher shells, corrected, through Markov's inequality",
    speaks_of="the gap of the network itself",
    source=_UML + ", with Markov's inequality",
    evaluate=markov,
    read_back=_read_markov,
    required_terms=(SHELLS_PAID,),
    made_of=_MADE_OF,
    empty_terms=_EMPTY_TERMS,
    derive=gap_by_markov,
    contradicted_by="gap",
)
PRINTED = Theorem(
    name="rademacher.printed",
    family="rademacher",
    title="Rademacher shells as the source prints them (invalid)",
    speaks_of="the gap of the network itself",
    source="The source derivation, with its two slips",
    evaluate=printed,
    read_back=_read_back(printed),
    made_of=_MADE_OF,
    empty_terms=_EMPTY_TERMS,
    derive=gap_as_printed,
)
