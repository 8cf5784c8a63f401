"""Which images a source has: hashed as they are read, and all where it matters."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlgen_cli.datasets import SourceHashes, Split, hash_images, load_source, open_source, read_all


class Watched:
    """A source that tells which images of its pool were read."""

    def __init__(self, source):
        self.source, self.read = source, []

    def __getattr__(self, name):
        return getattr(self.source, name)

    def hashes(self, chosen):
        self.read += chosen.tolist()
        return self.source.hashes(chosen)


@pytest.fixture
def folder(tmp_path: Path) -> Watched:
    chance = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(4):
                pixels = chance.integers(0, 256, (5, 6, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")
    return Watched(open_source(str(tmp_path)))


def of(source, chosen=None) -> SourceHashes:
    return SourceHashes(source, chosen, source.take(chosen), source.test_set())


def test_the_digest_is_over_all_images_however_few_were_read(folder):
    whole = read_all(folder)
    rows = torch.cat([hash_images(whole.train.images), hash_images(whole.test.images)])
    expected = hashlib.sha256(bytes(rows.flatten().tolist())).hexdigest()
    some = of(folder, torch.tensor([6, 1]))
    assert some.sha256_if_read is None
    assert some.sha256 == some.sha256_if_read == expected
    assert folder.read == [0, 2, 3, 4, 5, 7]
    assert of(folder).sha256_if_read == of(whole).sha256 == expected
    assert of(whole, torch.tensor([3])).sha256_if_read == expected  # all are in memory


NOWHERE = torch.tensor([], dtype=torch.int64)


def test_images_are_read_only_where_a_hash_is_not_among_those_that_were(folder):
    whole = read_all(folder)
    own = hash_images(whole.train.images)
    hashes = of(folder, torch.tensor([0, 1, 2]))
    assert not hashes.lacking(torch.cat([own[:3], hash_images(whole.test.images)]), NOWHERE)
    assert not folder.read
    other = torch.zeros((1, 16), dtype=torch.uint8)
    assert hashes.lacking(torch.cat([own, other]), NOWHERE) == {bytes(16)}
    assert folder.read == [3, 4, 5, 6, 7]
    assert hashes.lacking(other, NOWHERE) == {bytes(16)}
    assert len(folder.read) == 5  # none is read twice


def test_images_are_first_read_where_they_were_recorded(folder):
    own = hash_images(read_all(folder).train.images)
    hashes = of(folder, torch.tensor([0, 1, 2]))
    assert not hashes.lacking(own[[6, 1, 4]], torch.tensor([6, 1, 4]))
    assert folder.read == [4, 6]
    assert not hashes.lacking(own[[3]], torch.tensor([5]))  # it was moved
    assert folder.read == [4, 6, 5, 3, 7]


def test_images_drawn_at_random_are_in_no_source(folder):
    hashes = of(folder, torch.tensor([0]))
    noise = torch.ones((2, 16), dtype=torch.uint8)
    assert not hashes.lacking(noise, torch.tensor([-1, -1]))
    assert not folder.read
    assert hashes.lacking(noise, torch.tensor([-1])) == {bytes([1] * 16)}
    assert not hashes.lacking(noise[:0], NOWHERE)


def test_a_source_is_its_images_decoded_alike():
    digits = load_source("digits")
    own = of(digits)
    train = Split(images=(digits.train.images * 255).to(torch.uint8), labels=digits.train.labels)
    assert own.sha256 == of(replace(digits, name="other")).sha256
    assert own.sha256 != of(replace(digits, train=train)).sha256
