"""The arithmetic coder: what goes in comes out, in about as many bits as it is worth."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgen_cli.errors import CheckpointError
from dlgen_cli.predictors.coded import arithmetic_coder
from dlgen_cli.predictors.coded.arithmetic_coder import decode, encode


@st.composite
def messages(draw):
    size = draw(st.integers(1, 40))
    symbols = draw(st.lists(st.integers(0, size - 1), max_size=300))
    contexts = [draw(st.integers(0, 2)) for _ in symbols]
    return symbols, contexts, size


@given(messages())
@settings(max_examples=150)
def test_what_is_encoded_is_decoded(message):
    symbols, contexts, size = message
    assert decode(encode(symbols, contexts, size), contexts, size) == symbols


@given(messages(), st.binary(max_size=40))
@settings(max_examples=150)
def test_other_bytes_are_refused_or_are_the_code_of_what_they_decode_to(message, other):
    _, contexts, size = message
    try:
        symbols = decode(other, contexts, size)
    except CheckpointError:
        return
    assert encode(symbols, contexts, size) == other


@pytest.mark.parametrize("rate", [0.05, 0.3, 3.0])
def test_the_length_is_near_the_entropy(rate):
    levels = np.random.default_rng(1).laplace(scale=rate, size=5000).round().astype(int)
    largest = int(abs(levels).max())
    symbols = (levels + largest).tolist()
    length = 8 * len(encode(symbols, [0] * 5000, 2 * largest + 1))
    counts = Counter(symbols).values()
    entropy = -sum(count * math.log2(count / 5000) for count in counts)
    assert entropy - 64 <= length <= 1.03 * entropy + 200


def test_the_adaptive_model_survives_many_symbols(monkeypatch):
    monkeypatch.setattr(arithmetic_coder, "_STEP", 24_000)  # as if each came a thousand times
    symbols = [0, 1, 2] * 2000
    assert decode(encode(symbols, [0] * len(symbols), 3), [0] * len(symbols), 3) == symbols


def test_the_ideal_length_is_that_of_the_coder():
    draw = np.random.default_rng(3)
    for size, count in ((1, 50), (3, 2000), (15, 500), (63, 4000)):
        symbols = np.clip(draw.normal(size // 2, size / 8, count).round(), 0, size - 1).astype(int)
        ideal = arithmetic_coder.ideal_bits(np.bincount(symbols, minlength=size).tolist())
        written = 8 * len(encode(symbols.tolist(), [0] * count, size))
        assert ideal - 1 <= written <= ideal * (1 + 1e-6) + 16
