"""Nothing vanishes: each stored entry is the network's, left aside, or not understood."""

import argparse
import collections
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgen_cli.checkpoints.reader import open_checkpoint

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int64]
KEYS = ["model", "state_dict", "optimizer", "ema", "head", "rng", "loss", "a.b", "weights", "x"]


def accounted(checkpoint):
    parts = (*checkpoint.tensors.values(), *checkpoint.left_aside, *checkpoint.not_understood)
    return sum(one.entries for one in parts)


@st.composite
def views(draw, bases):
    """A view of one of the bases, which share storages: whole, cut, strided, turned, repeated."""
    base = draw(st.sampled_from(bases))
    kind = draw(st.sampled_from(["whole", "rows", "columns", "turned", "strided", "repeated"]))
    return {
        "whole": base,
        "rows": base[1:3],
        "columns": base[:, 1:],
        "turned": base.T,
        "strided": base[::2, ::2],
        "repeated": base[:1].expand(3, base.shape[1]),
    }[kind]


@st.composite
def trees(draw):
    """Containers of views and arrays, with the entries of all storages that torch.save writes."""
    bases = [
        torch.ones(
            draw(st.integers(4, 6)), draw(st.integers(3, 5)), dtype=draw(st.sampled_from(DTYPES))
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    arrays = st.builds(
        lambda rows, kind: np.ones((rows, 2), kind), st.integers(1, 3), st.sampled_from("fdi")
    )
    others = st.sampled_from([None, 3, "text", 0.5, torch.float16])
    keys = st.sampled_from(KEYS) | st.integers(0, 3) | st.tuples(st.just("t"), st.integers(0, 2))
    tree = draw(
        st.recursive(
            views(bases) | arrays | others,
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.lists(inner, max_size=3).map(tuple)
                | st.dictionaries(keys, inner, max_size=4)
                | st.dictionaries(keys, inner, max_size=3).map(collections.OrderedDict)
                | st.dictionaries(st.sampled_from("pqr"), inner, max_size=3).map(
                    lambda held: argparse.Namespace(**held)
                )
            ),
            max_leaves=12,
        )
    )
    return {"first": torch.ones(2, 3), "second": {"w": torch.ones(3, 3)}, "more": tree}


def stored_entries(tree):
    """Entries of the storages and arrays that a tree reaches, each once."""
    storages, arrays = {}, {}

    def walk(node):
        if isinstance(node, torch.Tensor):
            storage = node.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes() // node.itemsize
        elif isinstance(node, np.ndarray):
            arrays[id(node)] = node.size
        elif isinstance(node, argparse.Namespace):
            walk(vars(node))
        elif isinstance(node, dict):
            for one in node.values():
                walk(one)
        elif isinstance(node, list | tuple):
            for one in node:
                walk(one)

    walk(tree)
    return sum(storages.values()) + sum(arrays.values())


@settings(max_examples=25)
@given(trees(), st.booleans())
def test_every_stored_entry_is_accounted_for(tree, is_zip):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pt"
        torch.save(tree, path, _use_new_zipfile_serialization=is_zip)
        assert accounted(open_checkpoint(path)) == stored_entries(tree)


def test_a_storage_that_no_tensor_reaches_is_listed_and_not_understood(tmp_path):
    torch.save({"w": torch.ones(2, 2)}, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt", "a") as archive:
        folder = archive.namelist()[0].split("/")[0]
        archive.writestr(f"{folder}/data/77", bytes(12))
    (lost,) = open_checkpoint(tmp_path / "x.pt").not_understood
    assert lost.name.endswith("data/77")
    assert lost.entries == 12


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"state_dict": {"w": torch.ones(2, 2)}, "head": {"w": torch.ones(3, 2)}}, "--part"),
        ({"state_dict": {"w": torch.ones(2, 2)}, "mean": torch.ones(3)}, "--part"),
    ],
)
def test_what_may_be_a_part_of_the_network_is_not_understood(tmp_path, tree, reason):
    torch.save(tree, tmp_path / "x.pt")
    (unknown,) = open_checkpoint(tmp_path / "x.pt").not_understood
    assert reason in unknown.reason
    assert unknown.entries in {3, 6}


def test_a_chosen_part_is_the_network_and_the_rest_is_left_aside(tmp_path):
    tree = {"state_dict": {"w": torch.ones(2, 2)}, "head": {"inner": {"v": torch.ones(3, 2)}}}
    torch.save(tree, tmp_path / "x.pt")
    opened = open_checkpoint(tmp_path / "x.pt", part="head.inner")
    assert list(opened.tensors) == ["v"]
    assert [(one.name, one.entries) for one in opened.left_aside] == [("state_dict", 4)]
    assert not opened.not_understood
