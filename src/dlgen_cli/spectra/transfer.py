"""Transfer matrices ``K(w) = sum_a K_a e^{i<a,w>}`` and what can be proved of them.

Their Gram matrices are written as one trigonometric polynomial with real coefficients,

    G(w) = K(w)^H K(w) = sum_k C_k e^{i<k,w>},    C_k = sum_a K_a^T K_{a+k},   C_{-k} = C_k^T,

so that a Gram matrix costs one small sum and no product. That ``||K(w)||^2 <= t`` is proved by a
Cholesky factorisation of ``t I - G(w)`` in float64 with its rounding taken off t beforehand; a
norm is bounded from below by ``||K(w) v|| / ||v||``. Eigenvalues steer the search and prove
nothing.

Rounding. Let ``S = sum_a |K_a|`` entrywise, so that ``sum_k |C_k| <= S^T S``. Every entry of the
computed G(w) is within ``e (S^T S)`` of the exact one in its real and imaginary part, where e
adds gamma of the products that make C_k, gamma of the sum over k and the error of the cosines;
hence ``||fl(G) - G|| <= sqrt(2) e ||S||^2``. If Cholesky runs to its end on a Hermitian A, then
``A + D = R^H R`` with ``|D| <= c |R|^H |R|`` entrywise, so ``||D|| <= c ||R||_F^2 <= c' trace(A)``
(Higham 2002, "Accuracy and Stability of Numerical Algorithms", Theorem 10.3, for any order of the
sums; Rump 2006, "Verification of positive definiteness", BIT 46,
https://doi.org/10.1007/s10543-006-0056-1). A complex sum of n products is two real ones of 2n,
hence ``c = sqrt(2) gamma(2n + 8)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch

from dlgen_cli.spectra.rounding import SLACK, gamma

#: Error of a computed cosine or sine of an angle in [-pi, pi] that was formed in float64: three
#: roundings of the angle, at most 1.1e-15, and one ulp of the function.
TRIGONOMETRIC_ERROR = 2.0**-48
_SMALL = 64  # orders up to this take all eigenvalues, larger ones a few steps of Lanczos
_SMALL_REAL = 1024  # the same for real matrices, of which there are few
_CHUNK = 1 << 23  # floats of the Gram matrices that are held at once
_FACTORED = 1 << 19  # entries of those factored by one call: fresh memory is slow


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
class TransferFamily:
    """Transfer matrices of all groups with their Gram polynomial.

    Attributes:
        taps: shape ``(groups, p, m, *q)``, float64, ``m <= p``, entries at most 1.
        lags: shape ``(L, d)``: the zero lag first, then one of every pair ``k, -k``.
        terms: what the cosines of all lags and then the sines of all but the zero lag are
            multiplied with: ``C_0``, ``C_k + C_k^T`` and ``i (C_k - C_k^T)``. Shape
            ``(2L - 1, groups, 2 m m)`` with real and imaginary parts in turn; where all is real
            (one lag or one row) ``(L, groups, m m)``.
        ceiling: shape ``(groups,)``: upper bounds on ``||S||^2``, hence on every ``||K(w)||^2``.
        gram_error: upper bound on the error of a computed Gram matrix.
    """

    taps: torch.Tensor
    lags: torch.Tensor
    terms: torch.Tensor
    ceiling: torch.Tensor
    gram_error: float

    @property
    def order(self) -> int:
        """Rows of a Gram matrix."""
        return int(self.taps.shape[2])

    @property
    def even(self) -> torch.Tensor:
        """``C_0`` and ``C_k + C_k^T``, shape ``(L, groups, m, m)``."""
        return self._square_terms(self.terms[: len(self.lags)])[..., 0]

    @property
    def odd(self) -> torch.Tensor:
        """``C_k - C_k^T`` without the zero lag, shape ``(L - 1, groups, m, m)``."""
        return self._square_terms(self.terms[len(self.lags) :])[..., 1]

    def _square_terms(self, rows: torch.Tensor) -> torch.Tensor:
        """Some of the terms as matrices, shape ``(rows, groups, m, m, 1 or 2)``."""
        return rows.reshape(len(rows), rows.shape[1], self.order, self.order, -1)

    @property
    def is_real(self) -> bool:
        """Whether every Gram matrix is real: one lag only, or one row."""
        return len(self.lags) == 1 or self.order == 1

    @property
    def degrees(self) -> tuple[int, ...]:
        """``q - 1`` on every axis."""
        return tuple(size - 1 for size in self.taps.shape[3:])


def transfer_family(taps: torch.Tensor) -> TransferFamily:
    """Compute the Gram polynomial.

    Args:
        taps: shape ``(groups, p, m, *q)``, float64, entries at most 1 in magnitude.
    """
    sizes = taps.shape[3:]
    span = list(product(*(range(1 - size, size) for size in sizes)))
    lags = span[len(span) // 2 :]  # the middle is the zero lag; k and -k are mirrored about it
    moduli = taps.abs().reshape(*taps.shape[:3], -1).sum(dim=3)  # S
    products = taps.shape[1] * math.prod(sizes)
    rounding = gamma(products + 2 * len(lags) + math.prod(sizes) + 16)
    ceiling = moduli.sum(dim=1).amax(dim=1) * moduli.sum(dim=2).amax(dim=1) * (1 + rounding)
    squares = moduli.square().sum(dim=(1, 2)) * (1 + gamma(moduli[0].numel() + 16))
    ceiling = torch.minimum(ceiling, squares * (1 + rounding))
    error = math.sqrt(2) * (2 * rounding + 2 * TRIGONOMETRIC_ERROR) * float(ceiling.max()) * SLACK
    indices = torch.tensor(lags, dtype=torch.int64).reshape(len(lags), len(sizes))
    return TransferFamily(taps, indices, _terms(taps, lags), ceiling, error)


def _terms(taps: torch.Tensor, lags: list[tuple[int, ...]]) -> torch.Tensor:
    """`TransferFamily.terms`."""
    groups, _, order = taps.shape[:3]
    real = len(lags) == 1 or order == 1
    rows = len(lags) if real else 2 * len(lags) - 1
    terms = taps.new_zeros(rows, groups, order * order, 1 if real else 2)
    for row, lag in enumerate(lags):
        coefficient = _correlation(taps, lag)
        turned = coefficient.mT if row else torch.zeros_like(coefficient)
        terms[row, ..., 0] = (coefficient + turned).flatten(1)
        if row and not real:
            terms[len(lags) + row - 1, ..., 1] = (coefficient - turned).flatten(1)
    return terms.flatten(2)


def _correlation(taps: torch.Tensor, lag: tuple[int, ...]) -> torch.Tensor:
    """``C_k = sum_a K_a^T K_{a+k}``, shape ``(groups, m, m)``."""
    left = right = taps
    for axis, (shift, size) in enumerate(zip(lag, taps.shape[3:], strict=True), start=3):
        length = size - abs(shift)
        left = left.narrow(axis, max(0, -shift), length)
        right = right.narrow(axis, max(0, shift), length)
    rows, columns = (
        part.reshape(*part.shape[:3], -1).transpose(2, 3).flatten(1, 2) for part in (left, right)
    )
    return rows.mT @ columns


def _waves(lags: torch.Tensor, at: Frequencies) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of ``<k, w>``, each ``(B, L)``, within `TRIGONOMETRIC_ERROR`."""
    common = math.lcm(*at.denominator)
    steps = torch.tensor([common // d for d in at.denominator], dtype=torch.int64)
    turns = (at.numerator * steps).remainder(common) @ lags.T
    turns = turns.remainder(common)
    turns = torch.where(2 * turns > common, turns - common, turns)
    angles = turns.to(torch.float64) / common * (2 * math.pi)
    return angles.cos(), angles.sin()


def gram_matrices(
    family: TransferFamily, at: Frequencies, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Gram matrices, shape ``(B, m, m)``; `TransferFamily.is_real` says of which type.

    Args:
        family: the transfer matrices.
        at: where.
        out: room for the result where there is one group, shape ``(B or more, entries)``.
    """
    cosines, sines = _waves(family.lags, at)
    weights = cosines if family.is_real else torch.cat([cosines, sines[:, 1:]], dim=1)
    terms = family.terms
    if terms.shape[1] == 1:
        target = weights.new_empty(len(at), terms.shape[2]) if out is None else out[: len(at)]
        total = torch.mm(weights, terms[:, 0], out=target)
    elif family.order**2 <= _SMALL:
        total = (weights.unsqueeze(2) * terms[:, at.group].transpose(0, 1)).sum(dim=1)
    else:
        total = weights.new_empty(len(at), terms.shape[2])
        for index in sorted(set(at.group.tolist())):
            chosen = at.group == index
            total[chosen] = weights[chosen] @ terms[:, index]
    square = (len(at), family.order, family.order)
    if family.is_real:
        return total.reshape(square)
    return torch.view_as_complex(total.reshape(*square, 2))


def _chunks(family: TransferFamily, at: Frequencies) -> Iterator[Frequencies]:
    count = _chunk_size(family)
    for start in range(0, len(at), count):
        yield at.select(torch.arange(start, min(start + count, len(at))))


def _chunk_size(family: TransferFamily) -> int:
    rows, groups, entries = family.terms.shape
    gathered = rows if groups > 1 and family.order**2 <= _SMALL else 1
    return max(1, _CHUNK // (entries * gathered))


def proved_below(family: TransferFamily, at: Frequencies, threshold: float) -> torch.Tensor:
    """Where ``||K(w)||^2 <= threshold`` is proved; shape ``(B,)``, bool.

    Args:
        family: the transfer matrices.
        at: where.
        threshold: of the squared norm.
    """
    order = family.order
    loss = math.sqrt(2) * gamma(2 * order + 8) * (order + 2) * threshold * SLACK
    shift = (threshold - (family.gram_error + loss + gamma(2) * threshold)) / SLACK
    rows = min(len(at), _chunk_size(family))
    room = family.terms.new_empty(rows, family.terms.shape[2])  # one allocation for all chunks
    passed = [torch.zeros(0, dtype=torch.bool)]
    for part in _chunks(family, at):
        gram = gram_matrices(family, part, out=room)
        few = max(1, _FACTORED // (order * order))
        passed += [_definite(gram[k : k + few], shift) for k in range(0, len(part), few)]
    return torch.cat(passed)


def _definite(gram: torch.Tensor, shift: float) -> torch.Tensor:
    """Whether Cholesky of ``shift I - G`` runs to its end."""
    diagonal = gram.diagonal(dim1=1, dim2=2)
    if gram.shape[1] == 1:
        return diagonal.flatten() <= shift
    gram.neg_()
    diagonal += shift
    _, info = torch.linalg.cholesky_ex(gram)
    finite = torch.isfinite(diagonal.real).all(dim=1)
    return torch.logical_and(info == 0, finite)


def estimated_squares(family: TransferFamily, at: Frequencies) -> torch.Tensor:
    """Approximate ``||K(w)||^2``, shape ``(B,)``; nothing is proved."""
    if len(at) == 0:
        return torch.zeros(0, dtype=torch.float64)
    return torch.cat([_largest(gram_matrices(family, part))[0] for part in _chunks(family, at)])


def leading_vector(family: TransferFamily, at: Frequencies) -> torch.Tensor:
    """Approximate top right singular vector at the first frequency, shape ``(m,)``."""
    return _largest(gram_matrices(family, at.select(torch.arange(1))), vectors=True)[1][0]


def _largest(gram: torch.Tensor, *, vectors: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest eigenvalues ``(B,)`` and, where asked for or free, their vectors ``(B, m)``."""
    if gram.shape[1] == 1:
        return gram.real.flatten(), torch.ones_like(gram[:, 0])
    if gram.shape[1] > (_SMALL if gram.is_complex() else _SMALL_REAL):
        return _lanczos(gram, steps=48 if vectors else 16)
    if not vectors:
        return torch.linalg.eigvalsh(gram)[:, -1], gram[:, 0]
    values, columns = torch.linalg.eigh(gram)
    return values[:, -1], columns[..., -1]


def _lanczos(gram: torch.Tensor, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ritz values and vectors of Hermitian matrices; single precision, for guidance only."""
    gram = gram.to(torch.complex64 if gram.is_complex() else torch.float32)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(gram.shape[1], generator=generator).to(gram.dtype).expand(gram.shape[:2])
    basis = torch.zeros(gram.shape[0], steps, gram.shape[1], dtype=gram.dtype)
    vector = start / start.norm(dim=1, keepdim=True)
    for step in range(steps):
        basis[:, step] = vector
        image = (gram @ vector.unsqueeze(2)).squeeze(2)
        for _ in range(2):
            known = basis[:, : step + 1]
            image = image - (known.mT @ (known.conj() @ image.unsqueeze(2))).squeeze(2)
        vector = image / image.norm(dim=1, keepdim=True).clamp_min(1e-30)
    reduced = basis.conj() @ gram @ basis.mT
    values, columns = torch.linalg.eigh(reduced)
    vectors = (basis.mT @ columns[..., -1:]).squeeze(2)
    return values[:, -1].to(torch.float64), vectors


def proved_above(family: TransferFamily, at: Frequencies, vector: torch.Tensor) -> float:
    """Lower bound on ``||K(w)||`` at the first frequency from ``||K(w) v|| / ||v||``.

    Args:
        family: the transfer matrices.
        at: the first entry counts.
        vector: v, shape ``(m,)``, any floating type.
    """
    taps = family.taps[at.group[0]].reshape(*family.taps.shape[1:3], -1)
    rows, order, count = taps.shape
    wide = vector.to(torch.complex128)
    real = torch.stack([wide.real, wide.imag])
    images = torch.einsum("pmt,cm->cpt", taps, real)
    places = torch.tensor(
        list(product(*(range(size) for size in family.taps.shape[3:]))), dtype=torch.int64
    ).reshape(count, -1)
    cosines, sines = (wave[0] for wave in _waves(places, at.select(torch.arange(1))))
    image = torch.complex(
        images[0] @ cosines - images[1] @ sines, images[0] @ sines + images[1] @ cosines
    )
    moduli = torch.einsum("pmt,m->p", taps.abs(), real.abs().sum(dim=0))
    relative = gamma(order + 2 * count + 8) + 4 * TRIGONOMETRIC_ERROR
    norm, scale, spread = (float(part.norm()) for part in (image, wide, moduli))
    rounding = gamma(2 * (rows + order) + 8)
    proved = norm * (1 - rounding) - 2 * relative * spread * (1 + rounding)
    return max(0.0, proved / (scale * (1 + rounding)) / SLACK)
