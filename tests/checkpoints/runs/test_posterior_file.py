"""``posterior.safetensors``: what is written reads back, and nothing else is taken for it."""

import json

import pytest
import torch
from safetensors.torch import save

from dlgen_cli.checkpoints.runs import posterior_file as posterior
from dlgen_cli.checkpoints.runs.posterior_file import StoredPosterior
from dlgen_cli.errors import CheckpointError

SHAPES = {"a.weight": (3, 2, 2), "a.bias": (3,), "b.weight": (4, 3), "b.bias": (4,)}


def stored():
    return StoredPosterior(
        exponents={"a.weight": -40, "a.bias": 8, "b.weight": 0},
        spreads={
            "a.weight.factor": torch.eye(4) * 0.5 + torch.full((4, 4), -0.25).tril(-1),
            "a.bias": torch.tensor(0.75),
            "b.weight": torch.rand(4, 3) + 0.1,
        },
    )


def test_a_posterior_reads_back_as_it_was_written(tmp_path):
    written = stored()
    assert not posterior.holds_posterior(tmp_path)
    posterior.write(tmp_path, written)
    assert posterior.holds_posterior(tmp_path)
    found = posterior.read(tmp_path, SHAPES)
    assert found.exponents == written.exponents
    assert found.spreads.keys() == written.spreads.keys()
    assert all(torch.equal(found.spreads[name], written.spreads[name]) for name in found.spreads)


def changed(**spreads):
    written = stored()
    left = {name: one for name, one in {**written.spreads, **spreads}.items() if one is not None}
    return left, {"exponents": dict(written.exponents)}


def cases():
    tensors, header = changed()
    yield "no dlgen_posterior", tensors, None
    yield "no exponents", tensors, {}
    for odd in (9, -41, 0.5, True, "1", None, 10**40):
        yield (
            "exponent of b.weight is",
            tensors,
            {"exponents": {**header["exponents"], "b.weight": odd}},
        )
    less = {name: one for name, one in header["exponents"].items() if name != "a.bias"}
    yield "a.bias has a spread or an exponent", tensors, {"exponents": less}
    more = {**header["exponents"], "b.bias": 1}
    yield "b.bias has a spread or an exponent", tensors, {"exponents": more}
    yield "no coordinate has a spread", {}, {"exponents": {}}
    upper = torch.eye(4)
    upper[0, 3] = 0.1
    lost = torch.eye(4)
    lost[3, 0] = float("nan")
    flat = torch.eye(4)
    flat[2, 2] = 0
    for message, spreads in (
        ("no coordinate c.weight", {"c.weight": torch.ones(2)}),
        ("float32 was expected", {"a.bias": torch.ones(3, dtype=torch.float64)}),
        ("has shape", {"a.bias": torch.ones(2)}),
        ("has shape", {"b.weight": torch.ones(3, 4)}),
        ("has shape", {"a.weight.factor": torch.eye(3)}),
        ("a.bias has an entry 0", {"a.bias": torch.zeros(3)}),
        ("a.bias has an entry -1", {"a.bias": torch.tensor(-1.0)}),
        ("a.bias has an entry nan", {"a.bias": torch.tensor([1.0, float("nan"), 1.0])}),
        ("a.bias has an entry inf", {"a.bias": torch.tensor(float("inf"))}),
        ("above its diagonal", {"a.weight.factor": upper}),
        ("not finite", {"a.weight.factor": lost}),
        ("the diagonal of a.weight.factor has an entry 0", {"a.weight.factor": flat}),
        ("a.weight has two spreads", {"a.weight": torch.tensor(1.0)}),
    ):
        yield message, *changed(**spreads)


@pytest.mark.parametrize(("message", "tensors", "header"), list(cases()))
def test_what_is_no_posterior_is_refused_in_one_line(message, tensors, header, tmp_path):
    metadata = {} if header is None else {"dlgen_posterior": json.dumps(header)}
    (tmp_path / "posterior.safetensors").write_bytes(save(tensors, metadata))
    with pytest.raises(CheckpointError, match=message) as error:
        posterior.read(tmp_path, SHAPES)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        posterior.read(tmp_path, SHAPES)
    (tmp_path / "posterior.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(CheckpointError, match="looks like safetensors"):
        posterior.read(tmp_path, SHAPES)
    whole = posterior.serialize(stored())
    (tmp_path / "posterior.safetensors").write_bytes(whole[:-4])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        posterior.read(tmp_path, SHAPES)


def test_the_bytes_depend_on_the_contents_alone():
    one = stored()
    other = StoredPosterior(
        exponents=dict(reversed(one.exponents.items())),
        spreads=dict(reversed(one.spreads.items())),
    )
    assert posterior.serialize(one) == posterior.serialize(other)


def test_the_prior_is_a_float32_on_a_grid_of_square_roots_of_two():
    assert len(posterior.PRIOR_EXPONENTS) == 49
    assert posterior.prior_deviation(0.5, -4) == 0.125
    found = posterior.prior_deviation(0.3, 1)
    assert found == float(torch.tensor(0.3 * 2**0.5, dtype=torch.float32))
    for base, exponent in ((1e39, 0), (1e-38, -20)):
        with pytest.raises(CheckpointError, match="normal float32"):
            posterior.prior_deviation(base, exponent)


def test_a_tensor_of_zeros_takes_the_scale_of_its_weight():
    mean = {
        "a.weight": torch.tensor([[3.0, -4.0]]),
        "a.bias": torch.zeros(1),
        "b.weight": torch.zeros(2, 2),
        "b.bias": torch.zeros(2),
    }
    found = posterior.root_mean_squares(mean)
    assert found == {"a.weight": 12.5**0.5, "a.bias": 12.5**0.5, "b.weight": 1.0, "b.bias": 1.0}
