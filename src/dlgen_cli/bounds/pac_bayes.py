"""PAC-Bayes bounds on the gap of a Gaussian predictor, against Gaussian priors at anchors.

Posterior ``Q = N(theta, sigma^2 I)``, priors ``P_k = N(theta_k, sigma^2 I)``, so that
``KL_k = ||theta - theta_k||^2 / (2 sigma^2)``. Every statement is about the random predictor Q,
not about the mean network, and holds with probability 1 - delta for all anchors and all sigma
of the list at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from dlgen_cli.bounds.arithmetic import log10, share_of, to_float, upward, with_logarithm
from dlgen_cli.bounds.assumptions import violated
from dlgen_cli.bounds.derivations.pac_bayes import (
    gap_by_mixture,
    gap_by_nearest_anchor,
    gap_by_pinsker,
)
from dlgen_cli.bounds.gaussian_kl import shifted, to_uniform_mixture
from dlgen_cli.bounds.maurer import (
    Gap,
    Moment,
    moment_terms,
    moment_upper,
    pinsker_gap,
    read_moment,
)
from dlgen_cli.bounds.ranges import (
    require_delta,
    require_examples,
    require_nonnegative,
    require_positive,
)
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import Part, ReadBack, Theorem, read_sides, sides_terms
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Assumption, Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The centre of one prior, and how far the checkpoint lies from it.

    Attributes:
        name: for the tables.
        squared_distance_upper: upper bound on ``||theta - theta_k||_2^2``; 0 only where the two
            are equal.
        contributions: ``(tensor, squared distance)``, in the checkpoint's order.
    """

    name: str
    squared_distance_upper: float
    contributions: Sequence[tuple[str, float]] = ()


@upward
def theorem_31_1_gap(divergence: Decimal, m: int, delta: Decimal) -> Decimal:
    """Bound ``L_D(Q) - L_S(Q)`` by ``sqrt( (KL + ln(m/delta)) / (2(m-1)) )``.

    Source: Shalev-Shwartz and Ben-David 2014, "Understanding Machine Learning", Theorem 31.1,
    https://www.cs.huji.ac.il/~shais/UnderstandingMachineLearning/ (after McAllester 1999).

    Args:
        divergence: ``KL(Q || P)`` in nats, an upper bound, at least 0.
        m: examples, at least 2.
        delta: failure probability of this one statement, in (0, 1).

    Returns:
        Upper bound, not clipped at 1; holds with probability 1 - delta for all Q at once.
    """
    return ((divergence + (m / delta).ln()) / (2 * (m - 1))).sqrt()


@dataclass(frozen=True, slots=True)
class Scored:
    """One sigma, evaluated: for the family of anchors and for each anchor alone.

    Attributes:
        sigma: standard deviation.
        divergence: of the family, nats.
        value: of the family.
        anchor_divergences: nats, in the order of the anchors.
        anchor_values: of each anchor at its own share of delta.
    """

    sigma: float
    divergence: Decimal
    value: Decimal
    anchor_divergences: Sequence[Decimal]
    anchor_values: Sequence[Decimal]

    def row(self) -> dict[str, Any]:
        """This sigma as a row of the table over sigmas."""
        return {
            "sigma": self.sigma,
            **with_logarithm("kl_nats", self.divergence),
            "value": to_float(self.value),
            "log10_value": log10(self.value),
        }


#: One KL from those to all anchors.
Combine = Callable[[Sequence[Decimal]], Decimal]


@upward
def score_sigma(
    anchors: Sequence[Anchor],
    sigma: float,
    m: int,
    deltas: tuple[Decimal, Decimal],
    gap: Gap,
    combine: Combine,
) -> Scored:
    """Evaluate one sigma; ``deltas`` are the shares of the family and of one anchor alone."""
    family, alone = deltas
    divergences = [
        shifted(Decimal(anchor.squared_distance_upper), Decimal(sigma)) for anchor in anchors
    ]
    divergence = combine(divergences)
    return Scored(
        sigma=sigma,
        divergence=divergence,
        value=gap(divergence, m, family),
        anchor_divergences=divergences,
        anchor_values=[gap(one, m, alone) for one in divergences],
    )


def anchor_rows(anchors: Sequence[Anchor], best: Scored) -> list[dict[str, Any]]:
    """The table over anchors at one sigma, for the report."""
    rows = []
    for anchor, divergence, value in zip(
        anchors, best.anchor_divergences, best.anchor_values, strict=True
    ):
        total = anchor.squared_distance_upper
        rows.append(
            {
                "name": anchor.name,
                "squared_distance_upper": total,
                **with_logarithm("distance", upward(Decimal.sqrt)(Decimal(total))),
                **with_logarithm("kl_nats", divergence),
                "value": to_float(value),
                "log10_value": log10(value),
                "layers": [
                    {"name": name, "squared_distance": part, "share": part / total if total else 0}
                    for name, part in anchor.contributions
                ],
            }
        )
    return rows


def check_anchors(anchors: Sequence[Anchor], sigmas: Sequence[float], m: int, delta: float) -> None:
    """Refuse numbers that the theorems do not accept.

    Raises:
        UsageError: no anchor, no sigma, or a number outside its range, named.
    """
    if not anchors:
        raise UsageError("No anchor was given; PAC-Bayes needs at least one.")
    if not sigmas:
        raise UsageError("No sigma was given; PAC-Bayes needs at least one.")
    for sigma in sigmas:
        require_positive("sigma", sigma)
    for anchor in anchors:
        require_nonnegative(f"the distance to {anchor.name}", anchor.squared_distance_upper)
    require_examples(m)
    require_delta(delta)


def equal_anchors(anchors: Sequence[Anchor]) -> list[Assumption]:
    """A violated line for every anchor that equals the checkpoint."""
    return [
        violated(
            "The anchors do not depend on the bound's sample.",
            f"Anchor {anchor.name} equals the checkpoint, which was trained on that sample.",
        )
        for anchor in anchors
        if anchor.squared_distance_upper == 0
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    """What tells the three statements apart."""

    theorem: Theorem
    gap: Gap
    combine: Combine
    share_of_family: int
    share_of_anchor: int
    form: Callable[[int], Mapping[str, Any]]  #: terms, from m, that tell how it is evaluated


def _bound(
    statement: _Statement,
    anchors: Sequence[Anchor],
    sigmas: Sequence[float],
    m: int,
    delta: float,
    assumptions: Sequence[Assumption],
) -> Bound:
    check_anchors(anchors, sigmas, m, delta)
    shares = (statement.share_of_family, statement.share_of_anchor)
    family, alone = (share_of(Decimal(delta), len(sigmas) * parts) for parts in shares)
    deltas = (family, alone)
    scored = [
        score_sigma(anchors, sigma, m, deltas, statement.gap, statement.combine) for sigma in sigmas
    ]
    best = min(scored, key=lambda one: one.value)
    return statement.theorem.conclude(
        value=best.value,
        terms={
            **with_logarithm("kl_nats", best.divergence),
            "sigma": best.sigma,
            "examples": m,
            "delta": delta,
            **statement.form(m),
            "anchors": anchor_rows(anchors, best),
            "sigmas": [one.row() for one in scored],
        },
        assumptions=[*assumptions, *equal_anchors(anchors)],
    )


def anchors_union(
    anchors: Sequence[Anchor],
    sigmas: Sequence[float],
    m: int,
    delta: float,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the gap of Q by its nearest anchor, with a union over the anchors.

    ``sqrt( (min_k KL_k + ln(2 m K S / delta)) / (2 (m - 1)) )`` with probability 1 - delta, for
    K anchors and S values of sigma.

    Source: `theorem_31_1_gap` at ``delta / (2 K S)``; the 2 is the source's.

    Assumes: anchors and sigmas fixed before the sample; loss in [0, 1]; i.i.d. examples.

    Args:
        anchors: at least one.
        sigmas: standard deviations above 0, at least one.
        m: examples, at least 2.
        delta: failure probability in (0, 1).
        assumptions: the caller's ledger.

    Returns:
        An upper bound on ``L_D(Q) - L_S(Q)``, not clipped at 1. Not applicable where an anchor
        equals the checkpoint.

    Raises:
        UsageError: a number outside its range, named.
    """
    statement = _Statement(
        theorem=ANCHORS,
        gap=theorem_31_1_gap,
        combine=min,
        share_of_family=2 * len(anchors),
        share_of_anchor=2 * len(anchors),
        form=lambda _: {},
    )
    return _bound(statement, anchors, sigmas, m, delta, assumptions)


def mixture(
    anchors: Sequence[Anchor],
    sigmas: Sequence[float],
    m: int,
    delta: float,
    assumptions: Sequence[Assumption] = (),
    *,
    sides: int = 1,
) -> Bound:
    """Bound the gap of Q by one prior, the uniform mixture of all anchors' Gaussians.

    ``sqrt( (KL + ln(m S / delta)) / (2 (m - 1)) )`` with probability 1 - delta, where
    ``KL = -ln( (1/K) sum_k exp(-KL_k) ) <= min_k KL_k + ln K``: never above `anchors_union`.

    Source: `theorem_31_1_gap` and `dlgen_cli.bounds.gaussian_kl.to_uniform_mixture`.

    Assumes, Args, Returns, Raises: as `anchors_union`, and ``sides``: delta is divided among so
    many statements. The theorem has one; 2 is what older reports paid.
    """
    statement = _Statement(
        theorem=MIXTURE,
        gap=theorem_31_1_gap,
        combine=to_uniform_mixture,
        share_of_family=sides,
        share_of_anchor=sides * len(anchors),
        form=lambda _: sides_terms(sides),
    )
    return _bound(statement, anchors, sigmas, m, delta, assumptions)


def pinsker(
    anchors: Sequence[Anchor],
    sigmas: Sequence[float],
    m: int,
    delta: float,
    assumptions: Sequence[Assumption] = (),
    *,
    moment: Moment = moment_upper,
) -> Bound:
    """Bound the gap of Q by Maurer's theorem, relaxed by Pinsker's inequality.

    ``sqrt( (KL + ln(xi(m) S / delta)) / (2 m) )`` with probability 1 - delta, with the
    mixture's KL: the tighter companion of `mixture`.

    Source: `dlgen_cli.bounds.maurer`.

    Assumes, Args, Returns, Raises: as `anchors_union`, and ``moment``: xi.
    """
    statement = _Statement(
        theorem=PINSKER,
        gap=pinsker_gap(moment),
        combine=to_uniform_mixture,
        share_of_family=1,
        share_of_anchor=len(anchors),
        form=partial(moment_terms, moment),
    )
    return _bound(statement, anchors, sigmas, m, delta, assumptions)


def read_anchors(terms: Fields) -> list[Anchor]:
    """The anchors, as `anchor_rows` recorded them."""
    return [
        Anchor(
            name=row.text("name"),
            squared_distance_upper=row.number("squared_distance_upper"),
            contributions=[
                (part.text("name"), part.number("squared_distance")) for part in row.rows("layers")
            ],
        )
        for row in terms.rows("anchors")
    ]


def _read_back(
    evaluate: Callable[..., Bound], read_form: Callable[[Fields], Mapping[str, Any]]
) -> ReadBack:
    def read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
        sigmas = [row.number("sigma") for row in terms.rows("sigmas")]
        anchors, m = read_anchors(terms), terms.count("examples")
        return evaluate(anchors, sigmas, m, delta, lines, **read_form(terms))

    return read_back


MADE_OF = (
    Part(term="kl_nats", phrase="KL {} nats"),
    Part(term="sigma", phrase="σ = {}", kind="setting"),
    Part(term="empirical_risk_upper", phrase="risk on the sample {}"),
    Part(term="draws", phrase="{} draws", kind="count"),
)
_EMPTY_TERMS: Mapping[str, Any] = {"kl_nats": None, "sigma": None, "anchors": []}
ANCHORS = Theorem(
    name="pac_bayes.anchors",
    family="pac_bayes",
    title="PAC-Bayes for the random predictor Q, around the nearest anchor",
    speaks_of="the gap of the random predictor Q, not of the network itself",
    source="Shalev-Shwartz and Ben-David 2014, Theorem 31.1, with a union over the anchors",
    evaluate=anchors_union,
    read_back=_read_back(anchors_union, lambda _: {}),
    made_of=MADE_OF,
    empty_terms=_EMPTY_TERMS,
    derive=gap_by_nearest_anchor,
)
MIXTURE = Theorem(
    name="pac_bayes.mixture",
    family="pac_bayes",
    title="PAC-Bayes for the random predictor Q, one prior mixed of all anchors",
    speaks_of="the gap of the random predictor Q, not of the network itself",
    source=(
        "Shalev-Shwartz and Ben-David 2014, Theorem 31.1; Hershey and Olsen 2007, "
        "https://doi.org/10.1109/ICASSP.2007.366913"
    ),
    evaluate=mixture,
    read_back=_read_back(mixture, lambda terms: {"sides": read_sides(terms)}),
    made_of=MADE_OF,
    empty_terms=_EMPTY_TERMS,
    derive=gap_by_mixture,
)
PINSKER = Theorem(
    name="pac_bayes.pinsker",
    family="pac_bayes",
    title="PAC-Bayes for the random predictor Q, Maurer's form relaxed by Pinsker",
    speaks_of="the gap of the random predictor Q, not of the network itself",
    source="Maurer 2004, Theorem 5, https://arxiv.org/abs/cs/0411099, and Pinsker's inequality",
    evaluate=pinsker,
    read_back=_read_back(pinsker, lambda terms: {"moment": read_moment(terms)}),
    made_of=MADE_OF,
    empty_terms=_EMPTY_TERMS,
    derive=gap_by_pinsker,
)
