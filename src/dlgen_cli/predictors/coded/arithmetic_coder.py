"""An adaptive arithmetic coder: whole numbers in, the bits that they are worth out.

Integers only, so that every machine decodes the same symbols. The model counts the symbols seen so
far, starting from one count each (Laplace's rule, in steps of `_STEP`): encoder and decoder update
it alike and nothing of it is transmitted.

Source: Witten, Neal and Cleary 1987, "Arithmetic coding for data compression", Communications of
the ACM 30(6), with 32-bit registers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dlgen_cli.errors import CheckpointError

_BITS = 32
_TOP = (1 << _BITS) - 1
_HALF = 1 << (_BITS - 1)
_QUARTER = 1 << (_BITS - 2)
_MOST_TOTAL = 1 << 24
_STEP = 24


class AdaptiveModel:
    """Counts of the symbols seen so far, the first guess of a Laplace shape around a middle."""

    def __init__(self, size: int) -> None:
        """Start with the counts that halve with every step away from the middle, at least 1.

        Args:
            size: symbols are ``0 .. size - 1``; at least 1.
        """
        middle = size // 2
        self.counts = [max(1, _STEP >> min(abs(position - middle), 10)) for position in range(size)]
        self.total = sum(self.counts)

    def interval(self, symbol: int) -> tuple[int, int]:
        """Where a symbol lies in ``0 .. total``."""
        low = sum(self.counts[:symbol])
        return low, low + self.counts[symbol]

    def find(self, value: int) -> tuple[int, int, int]:
        """The symbol whose interval holds ``value``, and that interval."""
        low = 0
        for symbol, count in enumerate(self.counts):
            if value < low + count:
                return symbol, low, low + count
            low += count
        raise _damaged("a number lies beyond the model")

    def update(self, symbol: int) -> None:
        """Count a symbol; halve all counts where they grow too large for the registers."""
        self.counts[symbol] += _STEP
        self.total += _STEP
        if self.total >= _MOST_TOTAL:
            self.counts = [(count + 1) // 2 for count in self.counts]
            self.total = sum(self.counts)


def ideal_bits(counts: Sequence[int]) -> float:
    """``-log2`` of the product of the chances that a model gives its symbols, in any order.

    `encode` needs a few bits more; where counts are halved it may need fewer.

    Args:
        counts: how often each symbol of the alphabet occurs.
    """
    first = [one / _STEP for one in AdaptiveModel(len(counts)).counts]
    whole = math.lgamma(sum(first) + sum(counts)) - math.lgamma(sum(first))
    own = sum(
        math.lgamma(start + count) - math.lgamma(start)
        for start, count in zip(first, counts, strict=True)
        if count
    )
    return (whole - own) / math.log(2)


class _BitWriter:
    def __init__(self) -> None:
        self.bits: list[int] = []
        self.pending = 0

    def put(self, bit: int) -> None:
        self.bits.append(bit)
        self.bits += [1 - bit] * self.pending
        self.pending = 0


def encode(symbols: Sequence[int], contexts: Sequence[int], size: int) -> bytes:
    """Write symbols.

    Args:
        symbols: each in ``0 .. size - 1``.
        contexts: for each symbol the number of the model that counts it.
        size: of the alphabet, 1 to 65,536.

    Returns:
        About the entropy of the symbols, in whole bytes. Zero bits at the end are cut; the
        decoder reads zeros beyond the end.
    """
    models = [AdaptiveModel(size) for _ in range(max(contexts, default=0) + 1)]
    low, high, out = 0, _TOP, _BitWriter()
    for symbol, context in zip(symbols, contexts, strict=True):
        model = models[context]
        span = high - low + 1
        start, end = model.interval(symbol)
        high = low + span * end // model.total - 1
        low += span * start // model.total
        model.update(symbol)
        while True:
            if high < _HALF:
                out.put(0)
            elif low >= _HALF:
                out.put(1)
                low, high = low - _HALF, high - _HALF
            elif low >= _QUARTER and high < _HALF + _QUARTER:
                out.pending += 1
                low, high = low - _QUARTER, high - _QUARTER
            else:
                break
            low, high = 2 * low, 2 * high + 1
    if low > 0 or out.pending:  # otherwise the zeros beyond the end lie in the interval
        out.put(1)  # and here one half does
    return _pack(out.bits)


def decode(payload: bytes, contexts: Sequence[int], size: int) -> list[int]:
    """Read the symbols that `encode` wrote.

    Args:
        payload: its bytes.
        contexts: as given to it.
        size: as given to it.

    Raises:
        CheckpointError: the bytes are not what `encode` writes for any symbols.
    """
    models = [AdaptiveModel(size) for _ in range(max(contexts, default=0) + 1)]
    bits = _unpack(payload)
    position, value = _BITS, int("".join(map(str, [*bits[:_BITS], *[0] * _BITS][:_BITS])), 2)
    low, high, symbols = 0, _TOP, []
    for context in contexts:
        model = models[context]
        span = high - low + 1
        symbol, start, end = model.find(((value - low + 1) * model.total - 1) // span)
        high = low + span * end // model.total - 1
        low += span * start // model.total
        model.update(symbol)
        symbols.append(symbol)
        while True:
            if high < _HALF:
                shift = 0
            elif low >= _HALF:
                shift = _HALF
            elif low >= _QUARTER and high < _HALF + _QUARTER:
                shift = _QUARTER
            else:
                break
            low, high = 2 * (low - shift), 2 * (high - shift) + 1
            value = 2 * (value - shift) + (bits[position] if position < len(bits) else 0)
            position += 1
    if encode(symbols, contexts, size) != payload:
        raise _damaged("its bits are not those of the symbols in them")
    return symbols


def _pack(bits: list[int]) -> bytes:
    whole = bits + [0] * (-len(bits) % 8)
    packed = bytes(
        int("".join(map(str, whole[start : start + 8])), 2) for start in range(0, len(whole), 8)
    )
    return packed.rstrip(b"\0")


def _unpack(payload: bytes) -> list[int]:
    return [byte >> shift & 1 for byte in payload for shift in range(7, -1, -1)]


def _damaged(why: str) -> CheckpointError:
    return CheckpointError(
        f"The code is damaged: {why}.", remedy="Take the file as dlgen train wrote it."
    )
