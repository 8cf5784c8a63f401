"""Nothing vanishes: every entry of every storage of a file ends in exactly one place, and is named.

Random trees of containers, types, ties, views and parts are written; the entries of their storages
are counted here, from the objects, and compared with what the coverage adds up to.
"""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError
from dlgen_cli.networks import coverage_of, read_network

TYPES = (
    *(torch.float32, torch.float16, torch.float64, torch.bfloat16, torch.float8_e4m3fn),
    *(torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool, torch.complex64),
)
NAMES = (
    *("weight", "bias", "weight_g", "weight_v", "weight_orig", "weight_mask", "weight_scale"),
    *("running_mean", "num_batches_tracked", "lora_A", "lora_B", "mask", "scales", "qweight"),
    *("cos_cached", "gamma", "experts", "position_ids", "hada_w1_a", "_extra_state", "A_log"),
)
PARTS = ("model", "head", "optimizer", "ema", "experts", "norm", "0", "conv", "state_dict")
SHAPES = ((), (3,), (4, 3), (3, 3), (2, 3, 4), (2, 1, 3, 3), (0, 2))


@st.composite
def tensors(draw, pool):
    """A tensor of its own, a view of an earlier one, or an earlier one again."""
    if pool and draw(st.booleans()):
        base = draw(st.sampled_from(pool))
        kind = draw(st.sampled_from(("tie", "row", "transposed", "expanded")))
        if kind == "row" and base.ndim and len(base):
            return base[:1]
        if kind == "transposed" and base.ndim == 2:
            return base.t()
        if kind == "expanded" and base.ndim == 1:
            return base.expand(2, -1)
        return base
    shape = draw(st.sampled_from(SHAPES))
    dtype = draw(st.sampled_from(TYPES))
    made = torch.arange(torch.Size(shape).numel()).remainder(5).reshape(shape).to(dtype)
    pool.append(made)
    return made


@st.composite
def trees(draw):
    """Nested dictionaries with tensors, arrays and containers in them."""
    pool = []

    def tree(depth):
        found = {}
        for _ in range(draw(st.integers(1, 4))):
            kind = draw(st.sampled_from(("tensor", "tensor", "part", "list", "array", "number")))
            if kind == "part" and depth < 2:
                found[draw(st.sampled_from(PARTS))] = tree(depth + 1)
            elif kind == "list":
                found[draw(st.sampled_from(PARTS))] = [draw(tensors(pool)), (draw(tensors(pool)),)]
            elif kind == "array":
                found[draw(st.sampled_from(NAMES))] = np.ones((2, draw(st.integers(1, 3))), "f4")
            elif kind == "number":
                found["step"] = draw(st.integers(0, 9))
            else:
                found[draw(st.sampled_from(NAMES))] = draw(tensors(pool))
        return found

    first = torch.ones(4, 3)  # so that there is a matrix to audit
    pool.append(first)
    return {"first": {"weight": first}, **tree(0)}


def entries_of(tree):
    """Entries of all storages of a tree, each once: torch writes a storage whole."""
    stored = {}

    def visit(value):
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            stored["tensor", storage.data_ptr()] = storage.nbytes() // value.itemsize
        elif isinstance(value, np.ndarray):
            stored["array", id(value)] = value.size
        elif isinstance(value, dict | list | tuple):
            for one in value.values() if isinstance(value, dict) else value:
                visit(one)

    visit(tree)
    return sum(stored.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trees")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(tree=trees())
def test_every_entry_of_a_random_tree_is_accounted_for(folder, tree):
    path = folder / "tree.pt"
    torch.save(tree, path)
    try:
        checkpoint = open_checkpoint(path)
        read = read_network(checkpoint)
    except CheckpointError:  # the part that is read holds no matrix, or its names repeat
        reject()
    coverage = coverage_of(read, checkpoint, list(read.network.layers))
    assert coverage.entries == entries_of(tree)
    assert coverage.parameters + coverage.counted + coverage.unknown == coverage.of
    assert coverage.of + coverage.aside == coverage.entries
    named = {one.name for one in (*read.skipped, *read.counters)}
    measured = {name for layer in read.network.layers.values() for name in stored_names(layer)}
    assert set(checkpoint.tensors) <= named | measured
    assert bool(coverage.unknown) <= bool(checkpoint.not_understood or read.not_understood)


def stored_names(layer):
    if layer.recipe is not None:
        return layer.recipe.names
    return (layer.weight_name, *([layer.bias_name] if layer.bias_name else []))
