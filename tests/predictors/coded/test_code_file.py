"""``code.bin``: a network comes back to the last bit, and damage is named."""

import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgen_cli.errors import CheckpointError
from dlgen_cli.predictors.coded import Code, Description, read_code, write_code

MLP = Description(
    architecture="mlp", width=12, depth=2, classes=3, input_shape=(1, 3, 3), seed=300, dim=40
)
CONVNET = Description(
    architecture="small_convnet", width=8, depth=None, classes=3, input_shape=(1, 8, 8), seed=0,
    dim=200,
)  # fmt: skip


def code(about: Description, exponent: int = -3) -> Code:
    source = torch.Generator().manual_seed(about.dim)
    levels = (torch.randn(about.dim, generator=source) * 1.5).round().int().tolist()
    return Code(description=about, exponent=exponent, levels=levels)


@pytest.mark.parametrize("about", [MLP, CONVNET])
def test_a_network_comes_back_to_the_last_bit(about: Description):
    one = code(about)
    again = read_code(write_code(one), "here")
    assert again == one
    images = torch.rand(4, *about.input_shape)
    first = one.network().at(one.coordinates())(images)
    second = again.network().at(again.coordinates())(images)
    assert torch.equal(first, second)
    assert torch.equal(first, one.network().logits(one.coordinates(), images))


@given(
    st.lists(st.integers(-4000, 4000), min_size=40, max_size=40),
    st.integers(-200, 200),
)
@settings(max_examples=30)
def test_any_levels_come_back(levels, exponent):
    one = Code(description=MLP, exponent=exponent, levels=levels)
    assert read_code(write_code(one), "here") == one


def test_no_file_is_the_beginning_of_another():
    data = write_code(code(MLP))
    for length in range(len(data)):
        with pytest.raises(CheckpointError):
            read_code(data[:length], "here")
    with pytest.raises(CheckpointError, match="instead of"):
        read_code(data + b"\0", "here")


@given(st.integers(0, 60), st.integers(1, 255))
@settings(max_examples=100)
def test_a_changed_byte_is_refused_or_writes_itself(place, change):
    data = bytearray(write_code(code(MLP)))
    data[place % len(data)] ^= change
    if data[2] > 40 or data[1] > 0 or data[3] > 4:
        return  # another, larger network: slow, and no other case
    with contextlib.suppress(CheckpointError):
        assert write_code(read_code(bytes(data), "here")) == bytes(data)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x00\x09", b"\xff" * 30, b"\x80\x00" * 9])
def test_other_bytes_are_no_code(data):
    with pytest.raises(CheckpointError, match="no code of a network"):
        read_code(data, "here")
