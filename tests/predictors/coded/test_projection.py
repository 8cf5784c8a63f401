"""The projection: deterministic, structured, and linear in the coordinates."""

import hashlib
import math

import numpy as np
import pytest
import torch

from dlgen_cli.errors import UsageError
from dlgen_cli.philox import normal, uniform, words
from dlgen_cli.predictors.coded.projection import READS, Projection, allocate, tensor_scale

SHAPES = {"conv.weight": (8, 3, 3, 3), "norm.weight": (8,), "norm.bias": (8,), "head": (4, 8)}
PARAMETERS = 8 * 27 + 8 + 8 + 32


def test_the_random_words_are_those_of_numpy_for_the_documented_key():
    key = int.from_bytes(hashlib.sha256(b"dlgen/coded/7/this").digest()[:16], "big")
    expected = np.random.Philox(key=key).random_raw(5)
    assert (words(7, "this", 5) == expected).all()


def test_a_seed_gives_the_same_parameters_for_good():
    parameters = Projection(SHAPES, 3, 100).parameters(torch.arange(100) / 64)
    digest = hashlib.sha256(b"".join(one.numpy().tobytes() for one in parameters.values()))
    assert digest.hexdigest()[:16] == "eb9f10288ed2d347"


def test_the_global_generators_are_neither_read_nor_moved():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = Projection(SHAPES, 3, 60).parameters(torch.ones(60))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(1)
    second = Projection(SHAPES, 3, 60).parameters(torch.ones(60))
    assert all(torch.equal(first[name], second[name]) for name in SHAPES)


def test_each_parameter_reads_few_coordinates_with_random_signs():
    projection = Projection(SHAPES, 5, 60)
    at_zero = projection.initial()
    rows = torch.zeros(PARAMETERS, 60)
    for coordinate in range(60):
        moved = projection.parameters(torch.eye(60)[coordinate])
        parts = [
            (moved[name] - at_zero[name]).flatten() / tensor_scale(shape)
            for name, shape in SHAPES.items()
        ]
        rows[:, coordinate] = torch.cat(parts)
    body, head = rows[:-32], rows[-32:]
    assert ((body.abs() > 1e-4).sum(1) <= READS).all()
    assert torch.isclose(body.abs().sum(1).max(), torch.tensor(math.sqrt(READS)), rtol=1e-3)
    assert (body[:, 30:] == 0).all()
    assert (head[:, :30].abs() < 1e-6).all()
    assert abs(float(body.sum()) / float(body.abs().sum())) < 0.2


def test_memory_is_that_of_the_parameters():
    projection = Projection({"a": (300, 1000), "b": (10, 300)}, 0, 2000)
    stored = sum(
        tensor.numel()
        for reads in projection.reads
        if reads is not None
        for part in reads
        for tensor in part
    )
    assert stored == 2 * READS * 300_000 + 2 * READS * 3000


def test_the_head_gets_its_own_coordinates_where_they_reach():
    body, head = allocate(SHAPES, 100)
    assert (head.start, head.size, head.is_own) == (68, 32, True)
    assert (body.start, body.size, body.is_own) == (0, 68, False)
    whole = allocate(SHAPES, PARAMETERS)
    assert all(group.is_own for group in whole)
    assert sum(group.size for group in allocate(SHAPES, 20)) == 20


@pytest.mark.parametrize("dim", [0, 1, PARAMETERS + 1])
def test_a_dimension_out_of_range_is_refused(dim):
    with pytest.raises(UsageError, match="--dim"):
        allocate(SHAPES, dim)


def test_all_coordinates_reach_every_network_exactly():
    projection = Projection(SHAPES, 1, PARAMETERS)
    z = torch.randn(PARAMETERS)
    found = projection.parameters(z)["head"] - projection.initial()["head"]
    assert torch.equal(found, z[-32:].reshape(4, 8) * tensor_scale((4, 8)))


def test_the_numbers_are_uniform_and_nearly_normal():
    flat = uniform(2, "u", 20000)
    assert flat.min() >= -1
    assert flat.max() < 1
    assert abs(flat.mean()) < 0.02
    assert abs(flat.var() - 1 / 3) < 0.01
    bell = normal(2, "n", 20000)
    assert abs(bell.mean()) < 0.03
    assert abs(bell.var() - 1) < 0.03
