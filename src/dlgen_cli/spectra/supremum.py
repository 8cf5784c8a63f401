"""The supremum over all frequencies of ``||K(w)||``, by exclusion.

Let M be the supremum of one group, attained at ``w0`` with the unit vector v, and N_j the degree
(taps minus one) on axis j. Along any line through w0 the function ``p(s) = |K(w0 + s e) v|^2`` is
a sum of exponentials with frequencies of magnitude at most ``sum_j N_j |e_j|``, and
``0 <= p <= M^2 = p(0)``. So ``2 p / M^2 - 1`` is real, bounded by 1 and attains 1 at 0, and by
the inequality of Bernstein and Szego in the form of Duffin and Schaeffer (1938, "Some properties
of functions of exponential type", Bull. AMS 44, https://doi.org/10.1090/S0002-9904-1938-06725-0)
it is at least the cosine of ``s sum_j N_j |e_j|``. Hence

    ||K(w)|| >= M cos(r / 2),    r = sum_j N_j |w_j - w0_j| <= pi.                     (1)

(This is M. Riesz's lemma for the square, whose degree is N, after it is centred. It gives
the factor ``1 / cos(pi N / (2 n))`` of a grid of n points for the norm itself.) Also, since the
gradient of p vanishes at w0,

    ||K(w)||^2 >= M^2 - 1/2 sum_k <k, w - w0>^2 ||C_k||,                               (2)

k over all lags of the Gram polynomial, which is sharp for kernels that are nearly orthogonal.

Therefore a whole cell of frequencies is done with one test at its centre: if
``||K(centre)||^2 <= U^2 cos^2(r / 2)`` for the radius r of the cell, or below ``U^2`` by the sum in
(2), no frequency of this cell can be one where a supremum above U is attained. Cells that fail are
cut and tested again. When none is left, ``M <= U``. As ``K(-w)`` is the conjugate of ``K(w)``,
one of every pair of mirrored cells is enough.

Cells. One axis: intervals. Two axes: the balls of (1) are diamonds, and diamonds tile the torus.
Three axes: a diamond times an interval. All halve in every direction.

U is a lower bound of the largest M, proved at the best frequency met so far, times
``1 + tolerance``; it only grows, so earlier tests stay valid. If the work exceeds a budget the
tolerance doubles until the search ends: the bracket gets wider and stays true.

Where the suprema only bound what is to be enclosed, the norm on a known map, U is aimed at from
that norm's own lower bound (`Floor`): as far above it as the tolerance says, if that leaves some of
the tolerance between U and M for the cells and for the tests, which are never exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch

from dlgen_cli.records import Interval
from dlgen_cli.spectra.definite import single_loss
from dlgen_cli.spectra.rounding import SLACK
from dlgen_cli.spectra.transfer import (
    Frequencies,
    TransferFamily,
    estimated_squares,
    leading_vector,
    proved_above,
    proved_below,
)

_FINE = 1 << 16  # refinement of a cell's unit in the search for a lower bound
_BUDGET = 15.0  # seconds of tests, roughly, before the tolerance grows
_COARSE = 1.3  # radius of the largest cells
_SPARED = 1.05  # times what a test in float32 gives away must be at hand
_SHOWN = 2048  # entries of a row, of frequencies of a wide kernel that are estimated at once

#: Parts of the tolerance that U stays above M: where cells pay for it, where single places do.
ABOVE_CELLS, ABOVE_PLACES = 0.5, 0.25

_ENOUGH = 0.75  # the part that a floor is asked to leave between U and the estimate of M

#: A lower bound, proved, of something that the suprema bound from above. It is called once with a
#: number, which it does well to reach, and with a frequency and a vector, shape ``(m,)``, at which
#: the transfer matrix is about as large as anywhere.
Floor = Callable[[float, TransferFamily, Frequencies, torch.Tensor], float]


@dataclass(frozen=True, slots=True)
class _Shape:
    """The size of a cell; a unit is ``2 pi / denominator``.

    A diamond reaches one unit along each of the first two axes, an interval one unit to both
    sides.
    """

    denominator: tuple[int, ...]

    @staticmethod
    def of_radius(degrees: tuple[int, ...], radius: float) -> _Shape:
        """Cells of at most a radius: as many tile the torus as their units allow."""
        shares = [2 / 3, 2 / 3, 1 / 3] if len(degrees) == 3 else [1.0] * len(degrees)
        parts = zip(degrees, shares, strict=True)
        return _Shape(tuple(2 * math.ceil(math.pi * n / (radius * part)) for n, part in parts))

    @property
    def diamond(self) -> bool:
        """Whether the first two axes are joined."""
        return len(self.denominator) > 1

    @property
    def count(self) -> float:
        """About how many cells cover half of the torus."""
        each = [2 if self.diamond and axis < 2 else 1 for axis in range(len(self.denominator))]
        cells = math.prod(d * e / 2 for d, e in zip(self.denominator, each, strict=True))
        return cells / (4 if self.diamond else 2)

    def radius(self, degrees: tuple[int, ...]) -> float:
        """Radius r of (1), rounded upward."""
        reach = [2 * math.pi * n / d for n, d in zip(degrees, self.denominator, strict=True)]
        first = max(reach[:2]) + sum(reach[2:]) if self.diamond else sum(reach)
        return first * (1 + 1e-14)

    def bending(self, lags: torch.Tensor, norms: torch.Tensor) -> float:
        """The sum in (2), over all points of a cell, rounded upward."""
        units = torch.tensor([2 * math.pi / d for d in self.denominator], dtype=torch.float64)
        reach = lags.abs().to(torch.float64) * units
        along = reach[:, :2].amax(dim=1) if self.diamond else reach[:, :2].sum(dim=1)
        squares = (along + reach[:, 2:].sum(dim=1)).square()
        return float((squares * norms).sum()) * (1 + 1e-12)  # k and -k: twice a half

    def tile(self, groups: torch.Tensor) -> Frequencies:
        """Centres of cells that cover the torus up to mirroring, for each of the groups."""
        ranges = [
            torch.arange(0, d, 1 if self.diamond and axis < 2 else 2)
            for axis, d in enumerate(self.denominator)
        ]
        if not ranges:
            return Frequencies(groups, groups.new_zeros(groups.numel(), 0), ())
        places = torch.cartesian_prod(*ranges).reshape(-1, len(ranges))
        if self.diamond:
            places = places[places[:, :2].sum(dim=1) % 2 == 0]
        sizes = torch.tensor(self.denominator)
        weights = torch.tensor([math.prod(self.denominator[:j]) for j in range(len(sizes))])
        mirrored = (-places).remainder(sizes)
        places = places[(places @ weights) <= (mirrored @ weights)]
        group = groups.repeat_interleave(len(places))
        return Frequencies(group, places.repeat(groups.numel(), 1), self.denominator)

    def halves(self, at: Frequencies) -> tuple[_Shape, Frequencies]:
        """The cells of half the size that tile those with centres ``at``."""
        axes = len(self.denominator)
        crossing = [(1, 0), (-1, 0), (0, 1), (0, -1)] if self.diamond else [()]
        straight = list(product((-1, 1), repeat=axes - 2 if self.diamond else axes))
        shifts = torch.tensor([c + s for c, s in product(crossing, straight)])
        centres = (2 * at.numerator.unsqueeze(1) + shifts).flatten(0, 1)
        shape = _Shape(tuple(2 * d for d in self.denominator))
        group = at.group.repeat_interleave(len(shifts))
        return shape, Frequencies(group, centres, shape.denominator)


def flat_cells(degrees: tuple[int, ...], tolerance: float) -> float:
    """About how many cells cover half of the torus where the norm is the same everywhere."""
    return _Shape.of_radius(degrees, 2 * math.acos(1 / (1 + tolerance))).count


class _LowerBound:
    """The best proved lower bound so far, climbed from the frequencies shown to it.

    Attributes:
        norm: the bound; where there is a floor, only an estimate.
        best: where it is reached, and by which vector; None at first.
        floor: what `Floor` reached; 0 where there is none.
        above: the part of the tolerance that U then keeps above the estimate.
    """

    def __init__(self, family: TransferFamily) -> None:
        self.family = family
        self.norm = 0.0
        self.best: tuple[Frequencies, torch.Tensor] | None = None
        self.floor = 0.0
        self.above = 1.0

    def rest_on(self, floor: Floor, above: float, tolerance: float) -> None:
        """Aim from a floor from now on, which is asked for as much as the tolerance needs."""
        self.above = above
        if self.best is not None:
            enough = self.norm * (1 + _ENOUGH * tolerance) / (1 + tolerance)
            self.floor = floor(enough, self.family, *self.best)

    def show(self, at: Frequencies, squares: torch.Tensor, *, climb: bool = True) -> None:
        """Take the best of some frequencies by their approximate squared norms; climb from it."""
        if len(at) == 0 or float(squares.max()) < (0.97 * self.norm) ** 2:
            return
        best = at.select(squares.argmax().reshape(1))
        for _ in range(4):
            vector = leading_vector(self.family, best)
            reached = proved_above(self.family, best, vector)
            gained = reached > self.norm * (1 + 1e-5)
            if reached >= self.norm:
                self.norm, self.best = reached, (best, vector)
            if not (gained and climb and best.denominator):
                break
            best = self._ascend(best, vector)

    def square(self, tolerance: float) -> float:
        """``U^2``, rounded upward."""
        aim = max(self.norm * (1 + self.above * tolerance), self.floor * (1 + tolerance))
        return aim**2 * SLACK

    def bracket(self, tolerance: float) -> Interval:
        """Both ends, once every cell is done."""
        lower = self.floor or self.norm
        upper = math.sqrt(self.square(tolerance)) * SLACK
        trivial = math.sqrt(float(self.family.ceiling.max())) * SLACK
        return Interval(lower=lower, upper=max(lower, min(upper, trivial)))

    def _ascend(self, at: Frequencies, vector: torch.Tensor) -> Frequencies:
        """Maximise ``|K(w) v|^2`` over w near a frequency, v fixed."""
        family, group = self.family, int(at.group[0])
        parts = torch.stack([vector.real, vector.imag]) if vector.is_complex() else vector[None]
        even, odd = family.parts(family.single, group)
        parts = parts.to(even.dtype)
        weights = ((parts @ even) * parts).sum(dim=(1, 2)).to(torch.float64)
        slopes = torch.zeros_like(weights)
        if not family.is_real:
            slopes[1:] = -2 * ((parts[:1] @ odd) * parts[1:]).sum(dim=(1, 2))
        fine = tuple(_FINE * d for d in at.denominator)
        scale = torch.tensor([2 * math.pi / d for d in fine], dtype=torch.float64)
        offsets = torch.tensor(list(product(range(-4, 5), repeat=len(fine))))
        place, step = at.numerator[:1] * _FINE, _FINE // 4
        while step:
            near = place + step * offsets
            angles = (near * scale) @ family.lags.T.to(torch.float64)
            heights = angles.cos() @ weights + angles.sin() @ slopes
            place, step = near[heights.argmax()].unsqueeze(0), step // 4
        return Frequencies(at.group[:1], place, fine)


def lattice_supremum(
    family: TransferFamily, tolerance: float, floor: Floor | None = None
) -> Interval:
    """Enclose ``max over groups of sup_w ||K(w)||``.

    Cost: a Cholesky factorisation for every cell. Near an isolated maximum each halving leaves a
    bounded number of cells; a norm that hardly depends on the frequency needs the full grid.

    Args:
        family: transfer matrices; entries at most 1 and one of them at least 1/2.
        tolerance: relative width aimed at.
        floor: a lower bound of what is to be enclosed, which may be less than the supremum.

    Returns:
        Ends whose ratio is about ``1 + tolerance``, more where the budget ran out. With a floor
        the lower one is its, and they may be farther apart.
    """
    if not family.degrees:
        groups = torch.arange(family.taps.shape[0])
        return largest_of_all(family, _Shape(()).tile(groups), tolerance, floor)
    exclusion = _Exclusion(family)
    bound = _LowerBound(family)
    shape = _Shape.of_radius(family.degrees, _COARSE)
    sample = _thinned(family, shape.tile(torch.arange(family.taps.shape[0])))
    squares = estimated_squares(family, sample)
    bound.show(sample, squares)
    if floor is not None:
        bound.rest_on(floor, ABOVE_CELLS, tolerance)
    while True:
        alive = (family.ceiling > bound.square(tolerance)).nonzero().flatten()
        shape = exclusion.first_shape(squares, bound.square(tolerance))
        if shape.count * len(alive) * exclusion.cost <= _BUDGET:
            break
        tolerance *= 2
    cells = shape.tile(alive)
    spent = 0.0
    while len(cells):
        threshold = exclusion.threshold(shape, bound.square(tolerance))
        single = _is_spared(family, threshold, bound.square(tolerance))
        spent += exclusion.cost * len(cells)
        cells = cells.select(~proved_below(family, cells, threshold, single=single))
        failed = _thinned(family, cells)
        bound.show(failed, estimated_squares(family, failed))
        raised = exclusion.threshold(shape, bound.square(tolerance))
        if raised > threshold * (1 + 1e-4):
            cells = cells.select(~proved_below(family, cells, raised, single=single))
        planned = exclusion.cost * len(cells) * 2 ** len(family.degrees)
        if spent + planned > _BUDGET:
            tolerance, spent = 2 * tolerance, 0.0
        else:
            shape, cells = shape.halves(cells)
    return bound.bracket(tolerance)


def largest_of_all(
    family: TransferFamily, at: Frequencies, tolerance: float, floor: Floor | None = None
) -> Interval:
    """Enclose the largest of finitely many ``||K(w)||``; all of them are factored.

    Args:
        family: transfer matrices; entries at most 1 and one of them at least 1/2.
        at: the frequencies; w and -w need not both be given.
        tolerance: relative width aimed at.
        floor: as for `lattice_supremum`.
    """
    bound = _LowerBound(family)
    if floor is not None:
        shown = _thinned(family, at)
        squares = estimated_squares(family, shown)
        bound.norm = math.sqrt(max(0.0, float(squares.max())))
        best = shown.select(squares.argmax().reshape(1))
        bound.best = best, leading_vector(family, best)
        bound.rest_on(floor, ABOVE_PLACES, tolerance)
    single = _is_spared(family, 1.0, (1 + bound.above * tolerance) ** 2)
    while len(at):
        before = bound.norm
        if floor is None:
            shown = _thinned(family, at)
            bound.show(shown, estimated_squares(family, shown), climb=False)
            if bound.norm == before:
                single, tolerance = False, tolerance if single else 4 * tolerance
        at = at.select(~proved_below(family, at, bound.square(tolerance), single=single))
        if floor is not None:
            bound.norm = max(before, _estimated_norm(family, at))
            if bound.norm == before:
                bound.above *= 2
    return bound.bracket(tolerance)


def _estimated_norm(family: TransferFamily, at: Frequencies) -> float:
    """About the largest norm at some of the frequencies; nothing is proved."""
    squares = estimated_squares(family, _thinned(family, at))
    return math.sqrt(max(0.0, float(squares.max()))) if len(squares) else 0.0


def _thinned(family: TransferFamily, at: Frequencies) -> Frequencies:
    """Some of the frequencies, evenly spread, where an estimate costs as much as a test."""
    few = max(4, _SHOWN // family.order)
    if not family.is_wide or len(at) <= few:
        return at
    return at.select(torch.linspace(0, len(at) - 1, few).round().to(torch.int64))


def _is_spared(family: TransferFamily, threshold: float, square: float) -> bool:
    """Whether a threshold is so far below a square that a test may give some of that away."""
    return threshold * (1 + _SPARED * single_loss(family.order)) <= square


class _Exclusion:
    """What a test at the centre of a cell must show, and what it costs."""

    def __init__(self, family: TransferFamily) -> None:
        self.family = family
        cube = (2.5e-11 if family.is_wide else 4e-11) * family.order**3
        self.cost = cube + 3e-10 * len(family.lags) * family.order**2 + 5e-6  # seconds, roughly

    def threshold(self, shape: _Shape, square: float) -> float:
        """What the squared norm at the centres must not exceed for ``M^2 <= square``."""
        radius = shape.radius(self.family.degrees)
        by_cosine = square * math.cos(radius / 2) ** 2 * (1 - 1e-14)
        by_bending = square - shape.bending(self.family.lags, self.family.norms)
        return max(by_cosine, by_bending / SLACK)

    def first_shape(self, squares: torch.Tensor, square: float) -> _Shape:
        """Cells that cost least with the next ones, judged by a sample of squared norms."""
        typical = squares.clamp(max=square / SLACK**4)
        shapes: list[_Shape] = []
        failing: list[float] = []
        radius = _COARSE
        while not failing or failing[-1]:
            shapes.append(_Shape.of_radius(self.family.degrees, radius))
            above = typical > self.threshold(shapes[-1], square)
            failing.append(float(above.to(torch.float64).mean()))
            radius *= 0.97
        counts = [math.prod(shape.denominator) for shape in shapes]
        halved = 2 ** len(self.family.degrees)
        costs = [
            count + share * max(halved * count, counts[-1])
            for count, share in zip(counts, failing, strict=True)
        ]
        return shapes[costs.index(min(costs))]
