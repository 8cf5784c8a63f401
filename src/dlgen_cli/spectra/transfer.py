"""Transfer matrices ``K(w) = sum_a K_a e^{i<a,w>}`` and what can be proved of them.

Their Gram matrices are written as one trigonometric polynomial with real coefficients,

    G(w) = K(w)^H K(w) = sum_k C_k e^{i<k,w>},    C_k = sum_a K_a^T K_{a+k},   C_{-k} = C_k^T,

so that a Gram matrix costs one small sum and no product. That ``||K(w)||^2 <= t`` is proved by a
Cholesky factorisation of ``t I - G(w)`` with its rounding paid (`dlgen_cli.spectra.definite`); a
norm is bounded from below by ``||K(w) v|| / ||v||``. Eigenvalues steer the search and prove
nothing.

Rounding. Let ``S = sum_a |K_a|`` entrywise, so that ``sum_k |C_k| <= S^T S``. Every entry of the
computed G(w) is within ``e (S^T S)`` of the exact one in its real and imaginary part, where e
adds gamma of the products that make C_k, gamma of the sum over k and the error of the cosines;
hence ``||fl(G) - G|| <= sqrt(2) e ||S||^2``.

Wide Gram matrices are also summed in float32, for tests that can spare a little. The terms
``E_k = C_k + C_k^T`` of the real part and ``O_k = C_k - C_k^T`` of the imaginary one are computed
in float64, then rounded, as the cosines are, and each entry sums at most L products that are not
zero: its error is at most ``gamma(L + 8) sum_k |E_k|`` (or ``|O_k|``) in float32's unit, in norm at
most that gamma times ``sum_k ||E_k||_F + sum_k ||O_k||_F``, on top of the error above.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch

from dlgen_cli.spectra.definite import proved_definite
from dlgen_cli.spectra.rounding import SLACK, UNIT_ROUNDOFF_SINGLE, gamma

#: Error of a computed cosine or sine of an angle in [-pi, pi] that was formed in float64: three
#: roundings of the angle, at most 1.1e-15, and one ulp of the function.
TRIGONOMETRIC_ERROR = 2.0**-48
_SMALL = 64  # orders up to this take all eigenvalues, larger ones a few steps of Lanczos
_EXHAUSTED = 1e-5  # remainders of Lanczos are rounding below this, relative
_LARGEST_SINGLE = 1024  # orders up to this are tested in float32 where that proves enough
_CHUNK = 1 << 21  # entries of the Gram matrices that are held at once
_UNDERFLOW_SINGLE = 2.0**-100  # covers what underflows in one row of a sum in float32


@dataclass(frozen=True, slots=True)
class Frequencies:
    """Transfer matrices to look at: which group, and where.

    Attributes:
        group: shape ``(B,)``, int64.
        numerator: shape ``(B, d)``, int64.
        denominator: d integers; the frequency on axis j is ``2 pi numerator_j / denominator_j``.
    """

    group: torch.Tensor
    numerator: torch.Tensor
    denominator: tuple[int, ...]

    def __len__(self) -> int:
        """Number of transfer matrices."""
        return int(self.group.numel())

    def select(self, index: torch.Tensor) -> Frequencies:
        """Those at an index or under a mask."""
        return Frequencies(self.group[index], self.numerator[index], self.denominator)


@dataclass(frozen=True, slots=True)
class GramTerms:
    """The Gram polynomial in one precision.

    Attributes:
        even: what the cosines of all lags are multiplied with in the real part: ``C_0`` and
            ``C_k + C_k^T``; shape ``(L, groups, m m)``.
        odd: what the sines of all but the zero lag are multiplied with in the imaginary part:
            ``C_k - C_k^T``; shape ``(L - 1, groups, m m)``, none where all is real.
        error: upper bound on the norm of the error of a Gram matrix that is summed from them.
    """

    even: torch.Tensor
    odd: torch.Tensor
    error: float


class TransferFamily:
    """Transfer matrices of all groups with their Gram polynomial.

    Attributes:
        taps: shape ``(groups, p, m, *q)``, float64, ``m <= p``, entries at most 1.
        moduli: S, shape ``(groups, p, m)``.
        lags: shape ``(L, d)``: the zero lag first, then one of every pair ``k, -k``.
        ceiling: shape ``(groups,)``: upper bounds on ``||S||^2``, hence on every ``||K(w)||^2``.
        order: m, rows of a Gram matrix.
        degrees: ``q - 1`` on every axis.
        is_real: whether every Gram matrix is real: one lag only, or one row.
    """

    def __init__(self, taps: torch.Tensor) -> None:
        """Prepare the family; see the attributes for ``taps``."""
        sizes = taps.shape[3:]
        span = list(product(*(range(1 - size, size) for size in sizes)))
        lags = span[len(span) // 2 :]  # the middle is the zero lag; k and -k mirror each other
        moduli = taps.abs().reshape(*taps.shape[:3], -1).sum(dim=3)  # S
        products = taps.shape[1] * math.prod(sizes)
        rounding = gamma(products + 2 * len(lags) + math.prod(sizes) + 16)
        ceiling = moduli.sum(dim=1).amax(dim=1) * moduli.sum(dim=2).amax(dim=1) * (1 + rounding)
        squares = moduli.square().sum(dim=(1, 2)) * (1 + gamma(moduli[0].numel() + 16))
        relative = math.sqrt(2) * (2 * rounding + 2 * TRIGONOMETRIC_ERROR) * SLACK
        self.taps = taps
        self.moduli = moduli
        self.lags = torch.tensor(lags, dtype=torch.int64).reshape(len(lags), len(sizes))
        self.ceiling = torch.minimum(ceiling, squares * (1 + rounding))
        self.order = int(taps.shape[2])
        self.degrees = tuple(size - 1 for size in sizes)
        self.is_real = len(lags) == 1 or self.order == 1
        self._error = relative * float(self.ceiling.max())

    @property
    def is_wide(self) -> bool:
        """Whether Gram matrices are worth summing in float32."""
        return not self.is_real and _SMALL < self.order <= _LARGEST_SINGLE

    @cached_property
    def double(self) -> GramTerms:
        """The Gram polynomial in float64."""
        return self._terms(torch.float64)

    @cached_property
    def single(self) -> GramTerms:
        """In float32; of a family that is not wide the same as `double`."""
        return self._terms(torch.float32) if self.is_wide else self.double

    @cached_property
    def norms(self) -> torch.Tensor:
        """Upper bounds on ``||C_k||``, the largest over the groups, shape ``(L,)``."""
        terms, count, square = self.single, len(self.lags), (self.order, self.order)
        norms = torch.zeros(count, dtype=torch.float64)
        for row in range(count):
            twice = terms.even[row].to(torch.float64)
            if row and not self.is_real:
                twice = twice + terms.odd[row - 1]
            norms[row] = _norm_upper(twice.reshape(-1, *square)) / (2 if row else 1) + terms.error
        return norms

    def _terms(self, dtype: torch.dtype) -> GramTerms:
        groups, order, count = self.taps.shape[0], self.order, len(self.lags)
        even = torch.empty(count, groups, order, order, dtype=dtype)
        odd = torch.empty(0 if self.is_real else count - 1, groups, order, order, dtype=dtype)
        stacked = self.taps if self.degrees else self.taps[..., None]
        axes = range(3, stacked.ndim - 1)  # all but the last are looped over
        stacked = stacked.permute(*axes, 0, stacked.ndim - 1, 1, 2).contiguous()
        frobenius = 0.0
        for row, lag in enumerate(self.lags.tolist()):
            coefficient = _correlation(stacked, lag or [0])
            if row:
                even[row] = coefficient + coefficient.mT
                if not self.is_real:
                    odd[row - 1] = coefficient - coefficient.mT
            else:
                even[row] = coefficient
            # ||E||_F^2 + ||O||_F^2 = 4 ||C||_F^2
            largest = float(coefficient.flatten(1).norm(dim=1).max())
            frobenius += math.sqrt(8) * largest if row else largest
        error = self._error
        if dtype == torch.float32:
            relative = gamma(count + 8, UNIT_ROUNDOFF_SINGLE) * (1 + gamma(order * order + 16))
            error = (error + relative * frobenius + order * _UNDERFLOW_SINGLE) * SLACK
        return GramTerms(even.flatten(2), odd.flatten(2), error)

    def parts(self, terms: GramTerms, group: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``C_k + C_k^T`` with ``C_0`` first, and ``C_k - C_k^T`` without, of one group."""
        square = (-1, self.order, self.order)
        return terms.even[:, group].reshape(square), terms.odd[:, group].reshape(square)


def _norm_upper(matrices: torch.Tensor) -> float:
    """Upper bound on the largest spectral norm."""
    moduli = matrices.abs()
    sums = moduli.sum(dim=1).amax(dim=1) * moduli.sum(dim=2).amax(dim=1)
    squares = moduli.square_().sum(dim=(1, 2))
    rounding = 1 + gamma(matrices[0].numel() + 16)
    return float(torch.minimum(sums, squares).max().sqrt()) * rounding


def _correlation(stacked: torch.Tensor, lag: list[int]) -> torch.Tensor:
    """``C_k = sum_a K_a^T K_{a+k}``, shape ``(groups, m, m)``.

    Args:
        stacked: the taps, contiguous, shape ``(*q[:-1], groups, q[-1], p, m)``.
        lag: k.
    """
    order = stacked.shape[-1]
    total = stacked.new_zeros(stacked.shape[-4], order, order)
    *outer, last = lag
    starts = [
        range(max(0, -k), size - max(0, k)) for k, size in zip(outer, stacked.shape, strict=False)
    ]
    first, length = max(0, -last), stacked.shape[-3] - abs(last)
    for place in product(*starts):
        moved = tuple(a + k for a, k in zip(place, outer, strict=True))
        left = stacked[place][:, first : first + length].flatten(1, 2)
        right = stacked[moved][:, first + last : first + last + length].flatten(1, 2)
        torch.baddbmm(total, left.mT, right, out=total)
    return total


def _waves(lags: torch.Tensor, at: Frequencies) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of ``<k, w>``, each ``(B, L)``, within `TRIGONOMETRIC_ERROR`."""
    common = math.lcm(*at.denominator)
    steps = torch.tensor([common // d for d in at.denominator], dtype=torch.int64)
    turns = (at.numerator * steps).remainder(common) @ lags.T
    turns = turns.remainder(common)
    turns = torch.where(2 * turns > common, turns - common, turns)
    angles = turns.to(torch.float64) / common * (2 * math.pi)
    return angles.cos(), angles.sin()


def tap_waves(sizes: Sequence[int], at: Frequencies) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of ``<a, w>`` for the taps a in row-major order, each ``(B, T)``.

    Args:
        sizes: q, taps on every axis.
        at: the frequencies.

    Returns:
        Within `TRIGONOMETRIC_ERROR`.
    """
    places = torch.tensor(list(product(*map(range, sizes))), dtype=torch.int64)
    return _waves(places.reshape(math.prod(sizes), len(sizes)), at)


class _Room:
    """Memory for some Gram matrices, taken once: fresh memory is slow.

    Attributes:
        count: how many fit.
    """

    def __init__(self, family: TransferFamily, terms: GramTerms, most: int) -> None:
        groups, entries = terms.even.shape[1:]
        gathered = len(family.lags) if groups > 1 and family.order**2 <= _SMALL else 1
        self.count = max(1, min(most, _CHUNK // (entries * gathered)))
        self.planes = terms.even.new_empty(1 if family.is_real else 2, self.count, entries)
        shape = (self.count, family.order, family.order)
        self.whole = (
            self.planes.reshape(shape)
            if family.is_real
            else torch.empty(shape, dtype=terms.even.dtype.to_complex())
        )


def _gram_matrices(
    family: TransferFamily, at: Frequencies, terms: GramTerms, room: _Room, sign: float = 1.0
) -> torch.Tensor:
    """Gram matrices times a sign, shape ``(B, m, m)``, in a room; it says of which type."""
    cosines, sines = _waves(family.lags, at)
    planes = room.planes[:, : len(at)]
    whole = room.whole[: len(at)]
    _weighted_sums(sign * cosines, terms.even, at.group, planes[0])
    if not family.is_real:
        _weighted_sums(sign * sines[:, 1:], terms.odd, at.group, planes[1])
        real, imaginary = planes.reshape(2, *whole.shape)
        torch.complex(real, imaginary, out=whole)
    return whole


def _weighted_sums(
    weights: torch.Tensor, rows: torch.Tensor, group: torch.Tensor, out: torch.Tensor
) -> None:
    """``sum_l weights[b, l] rows[l, group[b]]`` for every b."""
    weights = weights.to(rows.dtype)
    if rows.shape[1] == 1:
        torch.mm(weights, rows[:, 0], out=out)
    elif rows.shape[2] <= _SMALL:
        torch.sum(weights.T.unsqueeze(2) * rows[:, group], dim=0, out=out)
    else:
        for index in sorted(set(group.tolist())):
            chosen = group == index
            out[chosen] = weights[chosen] @ rows[:, index]


def _all_gram_matrices(
    family: TransferFamily, at: Frequencies, terms: GramTerms, sign: float = 1.0
) -> Iterator[torch.Tensor]:
    """Those of all frequencies, a few at a time, each time in the same room."""
    room = _Room(family, terms, len(at))
    for start in range(0, len(at), room.count):
        some = at.select(torch.arange(start, min(start + room.count, len(at))))
        yield _gram_matrices(family, some, terms, room, sign)


def proved_below(
    family: TransferFamily, at: Frequencies, threshold: float, *, single: bool = False
) -> torch.Tensor:
    """Where ``||K(w)||^2 <= threshold`` is proved; shape ``(B,)``, bool.

    Args:
        family: the transfer matrices.
        at: where.
        threshold: of the squared norm.
        single: test a wide family in float32.
    """
    terms = family.single if single else family.double
    some = _all_gram_matrices(family, at, terms, sign=-1.0)
    passed = [proved_definite(negative, threshold, terms.error) for negative in some]
    return torch.cat(passed) if passed else torch.zeros(0, dtype=torch.bool)


def estimated_squares(family: TransferFamily, at: Frequencies) -> torch.Tensor:
    """Approximate ``||K(w)||^2``, shape ``(B,)``; nothing is proved."""
    if len(at) == 0:
        return torch.zeros(0, dtype=torch.float64)
    some = _all_gram_matrices(family, at, family.single)
    return torch.cat([_largest(gram)[0] for gram in some])


def leading_vector(family: TransferFamily, at: Frequencies) -> torch.Tensor:
    """Approximate top right singular vector at the first frequency, shape ``(m,)``."""
    gram = next(_all_gram_matrices(family, at.select(torch.arange(1)), family.single))
    return _largest(gram, vectors=True)[1][0]


def _largest(gram: torch.Tensor, *, vectors: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest eigenvalues ``(B,)`` and, where asked for or free, their vectors ``(B, m)``."""
    if gram.shape[1] == 1:
        return gram.flatten().clone(), torch.ones_like(gram[:, 0])
    if gram.shape[1] > _SMALL:
        return _lanczos(gram, steps=48 if vectors else 16)
    if not vectors:
        return torch.linalg.eigvalsh(gram)[:, -1], gram[:, 0]
    values, columns = torch.linalg.eigh(gram)
    return values[:, -1], columns[..., -1]


def _lanczos(gram: torch.Tensor, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ritz values and vectors of Hermitian matrices; single precision, for guidance only.

    A matrix whose remainder is no more than rounding gets no further vectors.
    """
    steps = min(steps, gram.shape[1])
    gram = gram.to(torch.complex64 if gram.is_complex() else torch.float32)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(gram.shape[1], generator=generator).to(gram.dtype).expand(gram.shape[:2])
    basis = torch.zeros(gram.shape[0], steps, gram.shape[1], dtype=gram.dtype)
    vector = start / start.norm(dim=1, keepdim=True)
    largest = torch.zeros(gram.shape[0], 1)
    for step in range(steps):
        basis[:, step] = vector
        image = (gram @ vector.unsqueeze(2)).squeeze(2)
        largest = torch.maximum(largest, image.norm(dim=1, keepdim=True))
        for _ in range(2):
            known = basis[:, : step + 1]
            image = image - (known.mT @ (known.conj() @ image.unsqueeze(2))).squeeze(2)
        norm = image.norm(dim=1, keepdim=True)
        vector = torch.where(norm > _EXHAUSTED * largest, image / norm, 0)
    reduced = basis.conj() @ gram @ basis.mT
    values, columns = torch.linalg.eigh(reduced)
    vectors = (basis.mT @ columns[..., -1:]).squeeze(2)
    return values[:, -1].to(torch.float64), vectors


def image_of(family: TransferFamily, at: Frequencies, vector: torch.Tensor) -> torch.Tensor:
    """``K(w) v`` at the first frequency, shape ``(p,)``, complex128.

    Args:
        family: the transfer matrices.
        at: the first entry counts.
        vector: v, shape ``(m,)``, any floating type.
    """
    group = int(at.group[0])
    taps = family.taps[group].flatten(2) if family.degrees else family.taps[group][..., None]
    wide = vector.to(torch.complex128)
    real = torch.stack([wide.real, wide.imag], dim=1)
    images = (taps.mT @ real).permute(2, 0, 1)
    first = at.select(torch.arange(1))
    cosines, sines = (wave[0] for wave in tap_waves(family.taps.shape[3:], first))
    return torch.complex(
        images[0] @ cosines - images[1] @ sines, images[0] @ sines + images[1] @ cosines
    )


def proved_above(family: TransferFamily, at: Frequencies, vector: torch.Tensor) -> float:
    """Lower bound on ``||K(w)||`` at the first frequency from ``||K(w) v|| / ||v||``.

    Args:
        family: the transfer matrices.
        at: the first entry counts.
        vector: v, shape ``(m,)``, any floating type.
    """
    rows, order = family.taps.shape[1:3]
    count = math.prod(family.taps.shape[3:])
    wide = vector.to(torch.complex128)
    image = image_of(family, at, vector)
    magnitude = family.moduli[int(at.group[0])] @ (wide.real.abs() + wide.imag.abs())
    relative = gamma(order + 2 * count + 8) + 4 * TRIGONOMETRIC_ERROR
    norm, scale, spread = (float(part.norm()) for part in (image, wide, magnitude))
    rounding = gamma(2 * (rows + order) + count + 8)
    proved = norm * (1 - rounding) - 2 * relative * spread * (1 + rounding)
    return max(0.0, proved / (scale * (1 + rounding)) / SLACK)
