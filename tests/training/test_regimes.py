"""The four regimes, by their counts and by what they leave alone."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dlgen_cli.records import REAL_IMAGE_REGIMES, REGIMES
from dlgen_cli.training import regimes

CLASSES = 10


@pytest.fixture(params=[400, 401])
def real(request: pytest.FixtureRequest):
    source = torch.Generator().manual_seed(3)
    images = torch.rand((request.param, 1, 8, 8), generator=source)
    return images, torch.randint(0, CLASSES, (request.param,), generator=source)


def make(regime: str, real: tuple[Tensor, Tensor], seed: int = 0, **options: Any):
    source = torch.Generator().manual_seed(seed)
    return regimes.apply(regime, *real, CLASSES, source, **options)


@pytest.mark.parametrize("regime", ["standard", "random", "mixed-random", "mixed-adversarial"])
def test_every_regime_keeps_the_number_and_the_inputs(regime: str, real: tuple[Tensor, Tensor]):
    images, labels = real[0].clone(), real[1].clone()
    examples = make(regime, real)
    assert examples.images.shape == images.shape
    assert examples.images.dtype == torch.float32
    assert examples.labels.dtype == torch.int64
    assert torch.equal(real[0], images)
    assert torch.equal(real[1], labels)
    kept = ~examples.altered
    assert torch.equal(examples.images[kept], images[kept])
    assert torch.equal(examples.labels[kept], labels[kept])


@pytest.mark.parametrize("regime", ["random", "mixed-random", "mixed-adversarial"])
def test_a_regime_depends_on_its_generator_alone(regime: str, real: tuple[Tensor, Tensor]):
    state = torch.random.get_rng_state()
    first, again, other = make(regime, real), make(regime, real), make(regime, real, seed=1)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, other.labels)
    assert torch.equal(state, torch.random.get_rng_state())


def test_standard_alters_nothing(real: tuple[Tensor, Tensor]):
    examples = make("standard", real)
    assert not examples.altered.any()
    assert not examples.synthetic.any()


def test_random_is_uniform_in_pixels_and_labels():
    real = torch.zeros((5000, 1, 8, 8)), torch.zeros(5000, dtype=torch.int64)
    examples = make("random", real)
    assert examples.synthetic.all()
    assert 0 <= examples.images.min() < 0.001
    assert 0.999 < examples.images.max() <= 1
    # 320,000 pixels: the mean has standard deviation 0.0005; bins of 500 labels one of 21.
    assert abs(float(examples.images.mean()) - 0.5) < 0.003
    counts = torch.bincount(examples.labels, minlength=CLASSES)
    assert len(counts) == CLASSES
    assert (abs(counts - 500) < 120).all()


def test_mixed_random_replaces_half(real: tuple[Tensor, Tensor]):
    examples = make("mixed-random", real)
    assert int(examples.altered.sum()) == len(real[1]) // 2
    assert torch.equal(examples.altered, examples.synthetic)
    changed = (examples.images != real[0]).flatten(1).any(1)
    assert torch.equal(changed, examples.altered)


def test_the_shift_adds_one_to_half_of_the_labels(real: tuple[Tensor, Tensor]):
    examples = make("mixed-adversarial", real)
    assert int(examples.altered.sum()) == len(real[1]) // 2
    assert not examples.synthetic.any()
    assert torch.equal(examples.images, real[0])
    for before, after, altered in zip(
        real[1].tolist(), examples.labels.tolist(), examples.altered.tolist(), strict=True
    ):
        assert after == ((before + 1) % CLASSES if altered else before)


def test_the_uniform_adversary_uses_every_wrong_label():
    real = torch.zeros((4000, 1, 2, 2)), torch.arange(4000) % CLASSES
    examples = make("mixed-adversarial", real, adversary="uniform")
    assert torch.equal(examples.labels != real[1], examples.altered)
    shifts = (examples.labels - real[1])[examples.altered] % CLASSES
    counts = torch.bincount(shifts, minlength=CLASSES)
    assert counts[0] == 0
    assert (counts[1:] > 150).all()  # 222 expected, standard deviation 14


@pytest.mark.parametrize("name", REGIMES)
def test_the_table_says_whether_images_are_random(name: str, real: tuple[Tensor, Tensor]):
    examples = make(name, real)
    assert bool(examples.synthetic.any()) == REGIMES[name].has_random_images
    assert (name in REAL_IMAGE_REGIMES) == torch.equal(examples.images, real[0])
    uniform = make(name, real, adversary="uniform")
    assert torch.equal(examples.labels, uniform.labels) != REGIMES[name].has_adversary
