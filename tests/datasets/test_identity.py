"""Hashes of images, against hashlib on plain bytes."""

import hashlib

import torch

from dlgen_cli.datasets import hash_images, looks_of
from dlgen_cli.datasets.digits import load_digits
from dlgen_cli.datasets.identity import HASH_BYTES


def levels(*shape: int) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=source)


def test_a_hash_is_that_of_type_shape_and_pixels():
    images = levels(3, 2, 4, 5)
    found = hash_images(images)
    assert (found.dtype, found.shape) == (torch.uint8, (3, HASH_BYTES))
    for image, row in zip(images, found, strict=True):
        whole = hashlib.sha256(b"torch.uint8(2, 4, 5)" + bytes(image.flatten().tolist()))
        assert bytes(row.tolist()) == whole.digest()[:HASH_BYTES]


def test_equal_images_have_equal_hashes_however_they_lie_in_memory():
    images = levels(4, 3, 5, 5)
    images[2] = images[0]
    found = hash_images(images.to(memory_format=torch.channels_last))
    assert torch.equal(found, hash_images(images))
    assert len({bytes(row.tolist()) for row in found}) == 3


def test_type_and_shape_tell_images_apart():
    images = levels(1, 1, 4, 4)
    others = (images.reshape(1, 1, 2, 8), images.reshape(1, 4, 2, 2), images.float())
    assert not any(torch.equal(hash_images(images), hash_images(other)) for other in others)


def test_looks_survive_another_format_and_tell_images_apart():
    digits = load_digits().train.images
    looks = looks_of(digits)
    assert looks.shape == (len(digits), 14)
    assert len({row.tobytes() for row in looks.numpy()}) == len(digits)
    stored = (digits * 255).round().to(torch.uint8)
    assert torch.equal(looks_of(stored), looks)
    assert torch.equal(looks_of(stored.repeat(1, 3, 1, 1)), looks)
    assert not torch.equal(hash_images(stored), hash_images(digits))
    chance = torch.Generator().manual_seed(0)
    noise = torch.randint(-1, 2, stored.shape, generator=chance)
    noisy = (stored.int() + noise).clamp(0, 255).to(torch.uint8)
    assert (looks_of(noisy) == looks).all(dim=1).float().mean() > 0.9


def test_a_blank_image_has_no_look():
    assert not looks_of(torch.full((2, 3, 32, 32), 0.5)).any()
    assert looks_of(torch.zeros((0, 1, 8, 8))).shape == (0, 14)


def test_what_is_no_image_looks_like_nothing():
    assert not looks_of(torch.randn(5, 64)).any()
