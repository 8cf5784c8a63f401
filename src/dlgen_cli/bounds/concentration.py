"""Concentration of a mean of [0, 1] variables and of a count of errors, inverted upward.

Every inverse is found by Newton's method from its safe side and is then accepted only where the
inequality that makes it an upper bound is proven: its error margin is on the unsafe side.
"""

from __future__ import annotations

import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext

from dlgen_cli.bounds.arithmetic import ONE, PI, UPWARD, ZERO, log_inverse, upward
from dlgen_cli.bounds.ranges import require_delta
from dlgen_cli.errors import UsageError

#: Rounds to nearest: a sum errs by less than 10^-110 of its largest term.
_FINE = Context(prec=120, Emax=MAX_EMAX, Emin=MIN_EMIN)
#: Far above the rounding of `_FINE`, far below what a float can tell.
_MARGIN = Decimal("1e-90")
#: Smaller exponents of Chernoff's bound are raised to this one.
_LEAST_EXPONENT = Decimal("1e-60")
#: Where ``1 - p`` is at most this, the result is 1: no float lies between.
_LEAST_COMPLEMENT = Decimal("1e-40")
_MOST_STEPS = 200

#: More trials than these are refused: the margin of a tail would not cover its rounding.
MOST_TRIALS = 10**10
_TAIL = Context(prec=80, Emax=MAX_EMAX, Emin=MIN_EMIN)
#: Covers, in the logarithm of a tail, the rounding of `_TAIL` (80 digits of terms up to 10^12,
#: with p of at least 10^-30, and of up to 10^10 summands) and the remainders of Stirling's
#: series (below 10^-48).
_TAIL_MARGIN = Decimal("1e-35")
#: The summation of a tail stops where the rest is below this fraction.
_TAIL_REST = Decimal("1e-30")
_TAIL_STRIDE = 32
#: A failure probability nearer to 1 than this is taken as this one.
_LARGEST_LN_DELTA = Decimal("-1e-20")
#: Factorials up to this one are exact.
_EXACT_FACTORIALS = 256
#: ``B_2j / (2j (2j - 1))`` for j = 1 .. 10, of Stirling's series.
_STIRLING = [
    (1, 12),
    (-1, 360),
    (1, 1260),
    (-1, 1680),
    (1, 1188),
    (-691, 360360),
    (1, 156),
    (-3617, 122400),
    (43867, 244188),
    (-174611, 125400),
]


def binary_kl(q: Decimal, p: Decimal) -> Decimal:
    """``kl(q || p) = q ln(q/p) + (1 - q) ln((1 - q)/(1 - p))`` in nats, rounded upward.

    Args:
        q: in [0, 1].
        p: in [0, 1].

    Returns:
        At least 0, above the exact value by less than 10^-89 of its largest term; infinity where
        p is 0 or 1 and q is not.

    Raises:
        UsageError: a number outside [0, 1].
    """
    _require_probability("q", q)
    _require_probability("p", p)
    if q == p:
        return ZERO
    if p in {ZERO, ONE}:
        return Decimal("Infinity")
    with localcontext(_FINE):
        value, error = _divergence(q, p, ONE - p)
        return max(ZERO, value + error)


def kl_inverse_upper(q: Decimal, c: Decimal) -> Decimal:
    """``sup { p : kl(q || p) <= c }``, rounded upward.

    The upper limit on the mean of [0, 1] variables whose empirical mean is q, by Chernoff's
    bound: ``c = ln(1/delta) / n`` for n independent ones, and failure probability delta.

    Newton's method runs in ``t = ln(1 - p)``, in which the divergence is convex: from
    Pinsker's bound every step stays on the upper side.

    Source: Langford 2005, "Tutorial on practical prediction theory for classification", JMLR 6,
    https://jmlr.org/papers/v6/langford05a.html

    Args:
        q: in [0, 1], rounded upward: the result rises with q.
        c: at least 0, rounded upward.

    Returns:
        In [q, 1], within 10^-30 relative of the exact value for c of at least 10^-60.

    Raises:
        UsageError: q outside [0, 1] or c below 0.
    """
    _require_probability("q", q)
    if c.is_nan() or c < 0:
        raise UsageError(f"The exponent of kl is {c}; a number of at least 0 was expected.")
    if c == 0 or q == 1:
        return q
    if q == 0 and c < _LEAST_EXPONENT:
        return c  # 1 - e^-c <= c
    with localcontext(_FINE):
        c = max(c, _LEAST_EXPONENT)
        if (
            ONE - q <= _LEAST_COMPLEMENT
            or _divergence(q, ONE - _LEAST_COMPLEMENT, _LEAST_COMPLEMENT)[0] <= c
        ):
            return ONE
        return UPWARD.plus(_prove_divergence(q, c, _solve_divergence(q, c)))


def binomial_tail_inverse_upper(errors: int, n: int, ln_delta: Decimal) -> Decimal:
    """``sup { p : P( Bin(n, p) <= errors ) >= delta }``, rounded upward.

    The upper limit on the rate of errors that holds with probability ``1 - delta``, exactly.
    Everything is a logarithm: delta may be ``2^-1000000``.

    In ``t = ln(1 - p)`` the logarithm of the tail is concave with slope ``(n - errors) / S``,
    ``S`` the tail over its largest summand, so that Newton's steps from Chernoff's bound stay
    on the upper side.

    Source: Langford 2005, "Tutorial on practical prediction theory for classification", JMLR 6,
    https://jmlr.org/papers/v6/langford05a.html

    Args:
        errors: k, from 0 to n.
        n: trials, from 1 to `MOST_TRIALS`.
        ln_delta: below 0, rounded downward: the result falls with delta.

    Returns:
        In (0, 1], within 10^-20 relative of the exact value.

    Raises:
        UsageError: a number outside its range.
    """
    require_errors(errors, n)
    if ln_delta.is_nan() or ln_delta >= 0:
        raise UsageError(f"ln delta is {ln_delta}; a number below 0 was expected.")
    if errors == n:
        return ONE
    ln_delta = min(ln_delta, _LARGEST_LN_DELTA)
    with localcontext(UPWARD):
        above = kl_inverse_upper(Decimal(errors) / n, -ln_delta / n)
    with localcontext(_TAIL):
        complement = ONE - above
        if complement <= _LEAST_COMPLEMENT:
            return ONE
        tail = _LowerTail(errors, n)
        return min(above, UPWARD.plus(_prove_tail(tail, ln_delta, complement)))


def clopper_pearson_upper(errors: int, n: int, delta: float) -> Decimal:
    """Upper limit on a probability of error, with probability ``1 - delta``, rounded upward.

    Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the
    case of the binomial", Biometrika 26(4), one-sided, https://doi.org/10.1093/biomet/26.4.404

    Args:
        errors: k, from 0 to n.
        n: independent trials, at least 1.
        delta: failure probability in (0, 1).

    Returns:
        In (0, 1], within 10^-20 relative of the exact value.

    Raises:
        UsageError: a number outside its range.
    """
    require_delta(delta)
    nats = log_inverse(Decimal(delta)).next_plus(UPWARD)
    return binomial_tail_inverse_upper(errors, n, nats.copy_negate())


@upward
def error_rate(errors: int, trials: int) -> Decimal:
    """``errors / trials``, rounded upward."""
    return Decimal(errors) / trials


def require_errors(errors: int, n: int) -> None:
    """Refuse a count of errors outside 0 .. n, or a count of trials outside 1 .. `MOST_TRIALS`.

    Raises:
        UsageError: naming the count.
    """
    if not 1 <= n <= MOST_TRIALS:
        raise UsageError(f"The number of trials is {n}; 1 to {MOST_TRIALS:.0e} was expected.")
    if not 0 <= errors <= n:
        raise UsageError(f"{errors} errors were counted in {n} trials; 0 to {n} was expected.")


def _require_probability(name: str, value: Decimal) -> None:
    if value.is_nan() or not ZERO <= value <= ONE:
        raise UsageError(f"{name} is {value}; a number from 0 to 1 was expected.")


def _divergence(q: Decimal, p: Decimal, complement: Decimal) -> tuple[Decimal, Decimal]:
    """``kl(q || p)`` for p in (0, 1) with its complement ``1 - p``, and a bound on its error."""
    first = ZERO if q == 0 else q * (q / p).ln()
    second = ZERO if q == 1 else (ONE - q) * ((ONE - q) / complement).ln()
    return first + second, _MARGIN * (ONE + abs(first) + abs(second))


def _solve_divergence(q: Decimal, c: Decimal) -> Decimal:
    """``ln(1 - p)`` where ``kl(q || p) = c``, not above it but for rounding."""
    # kl >= -ln 2 - (1 - q) ln(1 - p); Pinsker: kl >= 2 (p - q)^2; the caller's: 1 - p is larger.
    log_complement = max(-(c + Decimal(2).ln()) / (ONE - q), _LEAST_COMPLEMENT.ln())
    pinsker = ONE - q - (c / 2).sqrt()
    if pinsker > 0:
        log_complement = max(log_complement, pinsker.ln())
    for _ in range(_MOST_STEPS):
        complement = log_complement.exp()
        p = ONE - complement
        if p <= q:
            break
        slope = q * complement / p - (ONE - q)
        step = (c - _divergence(q, p, complement)[0]) / slope
        log_complement += step
        if abs(step) <= Decimal("1e-40") * abs(log_complement):
            break
    return log_complement


def _prove_divergence(q: Decimal, c: Decimal, log_complement: Decimal) -> Decimal:
    """The least p of a widening sequence for which ``kl(q || p) >= c`` is certain."""
    widening = Decimal("1e-45")
    while True:
        complement = log_complement.exp()
        if complement <= _LEAST_COMPLEMENT:
            return ONE
        p = ONE - complement
        if p > q:
            value, error = _divergence(q, p, complement)
            if value - error >= c:
                return p
        log_complement -= widening * abs(log_complement)
        widening *= 10


class _LowerTail:
    """``ln P( Bin(n, p) <= k )`` as a function of ``ln(1 - p)``, with k below n."""

    def __init__(self, errors: int, n: int) -> None:
        self.errors, self.n = errors, n
        self.ln_binomial = _ln_factorial(n) - _ln_factorial(errors) - _ln_factorial(n - errors)

    def logarithm(self, complement: Decimal) -> tuple[Decimal, Decimal]:
        """The logarithm, above the exact one by at most 10^-29, and the sum behind it.

        Args:
            complement: ``1 - p``, in (0, 1).
        """
        p = ONE - complement
        total = self._sum(complement / p)
        largest = self.ln_binomial + (self.n - self.errors) * complement.ln()
        if self.errors:
            largest += self.errors * p.ln()
        return largest + total.ln() + _TAIL_MARGIN, total

    def _sum(self, odds: Decimal) -> Decimal:
        """The tail over its summand at k: ``1 + r_k + r_k r_(k-1) + ..``, rest included.

        ``r_i = i (1 - p) / ((n - i + 1) p)`` falls with i, so that the rest of the sum is below
        the geometric series of the next ratio.
        """
        term = total = ONE
        i = self.errors
        while i:
            stop = max(0, i - _TAIL_STRIDE)
            while i > stop:
                term = term * (i * odds) / (self.n - i + 1)
                total += term
                i -= 1
            ratio = i * odds / (self.n - i + 1)
            if ratio < 1:
                rest = term * ratio / (ONE - ratio)
                if rest <= _TAIL_REST * total:
                    return total + rest
        return total


def _prove_tail(tail: _LowerTail, ln_delta: Decimal, complement: Decimal) -> Decimal:
    """The least p that Newton finds for which ``P( Bin(n, p) <= k ) <= delta`` is certain.

    Args:
        tail: of the binomial.
        ln_delta: below 0.
        complement: ``1 - p`` at the start, not above the exact one.
    """
    log_complement = complement.ln()
    for _ in range(_MOST_STEPS):
        logarithm, total = tail.logarithm(log_complement.exp())
        step = (ln_delta - logarithm) * total / (tail.n - tail.errors)
        log_complement += step
        if abs(step) <= Decimal("1e-16") * abs(log_complement):
            break
    widening = Decimal("1e-28")
    while True:
        complement = log_complement.exp()
        if complement <= _LEAST_COMPLEMENT:
            return ONE
        if tail.logarithm(complement)[0] <= ln_delta:
            return ONE - complement
        log_complement -= widening * abs(log_complement)
        widening *= 10


def _ln_factorial(count: int) -> Decimal:
    """``ln(count!)`` within 10^-48.

    Beyond the exact factorials by Stirling's series, whose remainder is below its first omitted
    term, here ``14 / 256^21``.

    Source: NIST Digital Library of Mathematical Functions, 5.11.1 and 5.11(ii),
    https://dlmf.nist.gov/5.11
    """
    if count <= _EXACT_FACTORIALS:
        return Decimal(math.factorial(count)).ln()
    x = Decimal(count)
    series = sum(
        (
            numerator / (denominator * x ** (2 * j + 1))
            for j, (numerator, denominator) in enumerate(_STIRLING)
        ),
        ZERO,
    )
    return (x + ONE / 2) * x.ln() - x + (2 * PI).ln() / 2 + series
