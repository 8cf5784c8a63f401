"""Which images a source has, by their hashes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlgen_cli.datasets.identity import HASH_BYTES, hash_images, keys_of

if TYPE_CHECKING:
    from dlgen_cli.datasets.splits import Source, Split


class SourceHashes:
    """Hashes of a source's images: of those that were read, and of the others once it matters."""

    def __init__(self, source: Source, chosen: Tensor | None, train: Split, test: Split) -> None:
        """Hash what was read.

        Args:
            source: whose images they are.
            chosen: positions in its training pool of the examples that were read; None for all.
            train: those examples.
            test: its whole test set.
        """
        count = len(source.indices)
        positions = torch.arange(count) if chosen is None else chosen
        self._source = source
        self._train = torch.zeros((count, HASH_BYTES), dtype=torch.uint8)
        self._train[positions] = hash_images(train.images)
        self._is_known = torch.zeros(count, dtype=torch.bool)
        self._is_known[positions] = True
        self._test = hash_images(test.images)

    @property
    def train(self) -> Tensor:
        """Of the whole training pool, uint8, shape ``(n, 16)``; reads what has not been read."""
        left = torch.nonzero(~self._is_known).flatten()
        if len(left):
            self._train[left] = self._source.hashes(left)
            self._is_known[left] = True
        return self._train

    @property
    def test(self) -> Tensor:
        """Of the test set."""
        return self._test

    @property
    def sha256(self) -> str:
        """Digest as hexadecimal digits: one for the same images, decoded alike, in one order."""
        return hashlib.sha256(torch.cat([self.train, self.test]).numpy().tobytes()).hexdigest()

    @property
    def sha256_if_read(self) -> str | None:
        """The digest; None where images would have to be read for it."""
        return self.sha256 if self._source.is_read or bool(self._is_known.all()) else None

    def lacking(self, hashes: Tensor) -> set[bytes]:
        """Which of these hashes are those of no image; reads the others where it needs to.

        Args:
            hashes: uint8, shape ``(k, 16)``.
        """
        left = set(keys_of(hashes)).difference(keys_of(self.test))
        left = left.difference(keys_of(self._train[self._is_known]))
        return left.difference(keys_of(self.train)) if left else left
