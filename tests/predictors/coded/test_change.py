"""The code of a change from a base: what a reader with the base at hand makes of its bytes."""

import math

import numpy as np
import pytest
import torch

from dlgen_cli.checkpoints.runs.posterior_file import root_mean_squares
from dlgen_cli.predictors.coded.arithmetic_coder import decode
from dlgen_cli.predictors.coded.change import code_change

DRAW = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(shape, generator=DRAW)


BASE = {"a.weight": normal(12, 3, 2, 2), "a.bias": torch.zeros(12), "b.weight": normal(5, 12) * 3}
RANK_ONE = normal(5, 1) @ normal(1, 12)
TUNED = {
    "a.weight": BASE["a.weight"] + 0.1 * normal(12, 3, 2, 2),
    "a.bias": BASE["a.bias"],
    "b.weight": BASE["b.weight"] + RANK_ONE,
}


def number(data):
    value = shift = 0
    while True:
        byte = data.pop(0)
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value


def read(code, base):
    """A reader of its own, from the layout."""
    data = list(code)
    rank, zigzag = number(data), number(data)
    exponent = zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2
    flags = np.unpackbits(np.array([data.pop(0)], dtype=np.uint8))[: len(base)]
    changed = [name for name, flag in zip(base, flags, strict=True) if flag]
    result = {name: one.double() for name, one in base.items()}
    if not changed:
        assert not data
        return result
    largest, length = number(data), number(data)
    shapes = []
    for name in changed:
        rows = len(base[name]) if base[name].ndim > 1 else 1
        columns = base[name].numel() // rows
        pays = rank and base[name].ndim > 1 and rank * (rows + columns) < rows * columns
        shapes.append([(rows, rank), (rank, columns)] if pays else [(rows, columns)])
    sizes = [math.prod(one) for parts in shapes for one in parts]
    contexts = [place for place, size in enumerate(sizes) for _ in range(size)]
    levels = torch.tensor(decode(bytes(data), contexts, 2 * largest + 1)) - largest
    assert len(data) == length
    pieces = list(levels.split(sizes))
    scales = root_mean_squares(base)
    for name, parts in zip(changed, shapes, strict=True):
        factors = [pieces.pop(0).reshape(one).double() * 2 ** (exponent / 4) for one in parts]
        product = factors[0] if len(factors) == 1 else factors[0] @ factors[1]
        result[name] += scales[name] * product.reshape(base[name].shape)
    return result


@pytest.mark.parametrize("rank", [None, 1, 2])
@pytest.mark.parametrize("exponent", [-16, -8, 0, 8])
def test_a_reader_gets_the_network_that_is_evaluated(rank, exponent):
    change = code_change(BASE, TUNED, rank=rank, exponent=exponent)
    code = change.write()
    found = read(code, BASE)
    for name, tensor in (BASE | change.decoded).items():
        torch.testing.assert_close(tensor.double(), found[name], rtol=1e-6, atol=1e-6)
    assert "a.bias" not in change.levels
    assert change.bits_estimate() - 8 <= 8 * len(code) <= change.bits_estimate() + 80


def test_a_fine_step_reaches_the_tuned_network_and_a_rank_its_part():
    fine = code_change(BASE, TUNED, rank=None, exponent=-32)
    for name, tensor in fine.decoded.items():
        assert (tensor - TUNED[name]).abs().max() < 2**-8 * 4
    low = code_change(BASE, TUNED, rank=1, exponent=-32)
    torch.testing.assert_close(low.decoded["b.weight"], TUNED["b.weight"], rtol=0, atol=0.1)
    assert len(low.write()) < len(fine.write())


def test_no_change_costs_three_bytes():
    change = code_change(BASE, BASE, rank=None, exponent=0)
    assert (len(change.write()), change.decoded) == (3, {})
    assert not code_change(BASE, TUNED, rank=None, exponent=-60).is_writable
