"""``code.bin``: a whole network in as few bytes as it takes, header included.

Layout: unsigned LEB128 numbers, then the arithmetic coder's bytes.

====================  ==========================================================================
format                0 for a quantised network, the only one so far
architecture          its index in `ARCHITECTURES`
width, depth          of the constructor; 0 where it takes none
classes, axes, sizes  of the problem: number of classes, and the shape of an image
seed                  of `Projection`
D                     number of coordinates
step                  ``zigzag(j)``: coordinates are multiples of ``2^(j/4)``
largest               K: multiples are from -K to K
length                bytes of the coordinates
coordinates           `arithmetic_coder`, one model for each group of `Projection.groups`
====================  ==========================================================================

The file tells its own length, so no file is the beginning of another: files are a prefix code, and
``2^-bits`` over all of them adds up to at most 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.errors import CheckpointError
from dlgen_cli.predictors.coded.arithmetic_coder import decode, encode
from dlgen_cli.predictors.coded.network import (
    ARCHITECTURES,
    KERNEL,
    CodedNetwork,
    Description,
    build_network,
)

_REMEDY = "Take the file as dlgen train wrote it."
_MOST_SYMBOLS = 1 << 22
_MOST_WIDTH = 1 << 12
_MOST_DEPTH = 1 << 5
_MOST_LEVEL = 1 << 12
_MOST_EXPONENT = 1 << 8
_MOST_NUMBER = 1 << 63
#: Steps of the quantiser are powers of ``2^(1/STEPS_PER_OCTAVE)``.
STEPS_PER_OCTAVE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A network as it is written.

    Attributes:
        description: architecture, seed and D.
        exponent: j; the step is ``2^(j / 4)`` rounded to float32.
        levels: whole multiples of the step, int64, shape ``(D,)``.
    """

    description: Description
    exponent: int
    levels: Sequence[int]

    def coordinates(self) -> Tensor:
        """``z``: the multiples times the step, float32."""
        levels = torch.tensor(self.levels, dtype=torch.int64).to(torch.float32)
        return levels * step_of(self.exponent)

    def network(self) -> CodedNetwork:
        """The network that the code writes."""
        return build_network(self.description)


def step_of(exponent: int) -> float:
    """``2^(exponent/4)`` rounded to float32; the same on every machine.

    The quarter powers are constants, and a power of two only moves the exponent.
    """
    whole, quarter = divmod(exponent, STEPS_PER_OCTAVE)
    return float(np.float32(_QUARTERS[quarter]) * np.float32(2.0**whole))


_QUARTERS = (1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429)


def write_code(code: Code) -> bytes:
    """The bytes of ``code.bin``."""
    about, network = code.description, code.network()
    largest = max((abs(level) for level in code.levels), default=0)
    payload = encode(
        [level + largest for level in code.levels], _contexts(network), 2 * largest + 1
    )
    rest = (zigzag(code.exponent), largest, len(payload))
    return header(about) + b"".join(leb128(one) for one in rest) + payload


def header(about: Description) -> bytes:
    """The bytes that tell a network but for its coordinates; a prefix code too."""
    numbers = (
        0,
        ARCHITECTURES.index(about.architecture),
        about.width or 0,
        about.depth or 0,
        about.classes,
        len(about.input_shape),
        *about.input_shape,
        about.seed,
        about.dim,
    )
    return b"".join(leb128(one) for one in numbers)


def read_code(data: bytes, where: str) -> Code:
    """Read ``code.bin``; nothing else is needed to know the network.

    Args:
        data: the whole file.
        where: names it in messages.

    Raises:
        CheckpointError: the bytes are not what `write_code` writes for any network.
    """
    reader = _Reader(data, where)
    if reader.number("format", 0) != 0:
        raise reader.damaged("its format is unknown")
    index = reader.number("architecture", len(ARCHITECTURES) - 1)
    if ARCHITECTURES[index] == KERNEL:
        raise reader.damaged(f"a {KERNEL} has no code")
    width, depth = reader.number("width", _MOST_WIDTH), reader.number("depth", _MOST_DEPTH)
    classes, axes = reader.number("classes", _MOST_WIDTH), reader.number("axes", 4)
    shape = tuple(reader.number("size", _MOST_WIDTH) for _ in range(axes))
    about = Description(
        architecture=ARCHITECTURES[index],
        width=width or None,
        depth=depth or None,
        classes=classes,
        input_shape=shape,
        seed=reader.number("seed", _MOST_NUMBER),
        dim=reader.number("D", _MOST_SYMBOLS),
    )
    exponent = _unzigzag(reader.number("step", 2 * _MOST_EXPONENT))
    largest = reader.number("largest", _MOST_LEVEL)
    payload = reader.rest(reader.number("length", len(data)))
    try:
        network = build_network(about)
        symbols = decode(payload, _contexts(network), 2 * largest + 1)
    except CheckpointError as error:
        raise reader.damaged(error.message.rstrip(".")) from error
    levels = [symbol - largest for symbol in symbols]
    if max(map(abs, levels), default=0) != largest:
        raise reader.damaged(f"no coordinate is its largest, {largest}")
    return Code(description=about, exponent=exponent, levels=levels)


def code_facts(code: Code, data: bytes) -> Mapping[str, Any]:
    """What a code consists of, for people."""
    used = sum(level != 0 for level in code.levels)
    return {
        "bits": 8 * len(data),
        "dim": code.description.dim,
        "nonzero": used,
        "step": step_of(code.exponent),
        "largest": max((abs(level) for level in code.levels), default=0),
    }


def _contexts(network: CodedNetwork) -> list[int]:
    groups = network.projection.groups
    return [number for number, group in enumerate(groups) for _ in range(group.size)]


def leb128(value: int) -> bytes:
    """A whole number from 0 in groups of seven bits, the lowest first (unsigned LEB128)."""
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def zigzag(value: int) -> int:
    """Whole numbers as those from 0: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4."""
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(value: int) -> int:
    return value // 2 if value % 2 == 0 else -(value + 1) // 2


class _Reader:
    """Numbers off the front of a file."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.position = data, where, 0

    def number(self, what: str, most: int) -> int:
        """The next number, at most ``most``, in its shortest form."""
        value, shift = 0, 0
        while True:
            if self.position >= len(self.data) or shift > 63:
                raise self.damaged(f"it ends within its {what}")
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if value > most or (byte == 0 and shift > 7):
            raise self.damaged(f"its {what} is {value}")
        return value

    def rest(self, length: int) -> bytes:
        """The last bytes, of which there must be ``length``."""
        left = self.data[self.position :]
        if len(left) != length:
            raise self.damaged(f"it holds {len(left)} bytes of coordinates instead of {length}")
        return left

    def damaged(self, why: str) -> CheckpointError:
        return CheckpointError(f"{self.where} is no code of a network: {why}.", remedy=_REMEDY)
