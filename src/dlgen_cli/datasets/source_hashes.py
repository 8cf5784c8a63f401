"""Which images a source has, by their hashes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlgen_cli.datasets.identity import HASH_BYTES, hash_images, keys_of

if TYPE_CHECKING:
    from dlgen_cli.datasets.splits import Source, Split

_AT_RANDOM, _ANYWHERE = -1, -2


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
        self._read(torch.ones_like(self._is_known))
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

    def lacking(self, hashes: Tensor, indices: Tensor) -> set[bytes]:
        """Which of these hashes are those of no image.

        Images that were not read yet are read where they were recorded, and all only where one is
        not there.

        Args:
            hashes: uint8, shape ``(k, 16)``.
            indices: where they stood in their source, int64, shape ``(k,)``; images at -1 were
                drawn at random and do not count. Of another length where that is not known.
        """
        places = indices.tolist() if len(indices) == len(hashes) else [_ANYWHERE] * len(hashes)
        left = {
            key: place
            for key, place in zip(keys_of(hashes), places, strict=True)
            if place != _AT_RANDOM
        }
        recorded = torch.isin(self._source.indices, torch.tensor(list(left.values())))
        for wanted in (torch.zeros_like(recorded), recorded, torch.ones_like(recorded)):
            self._read(wanted)
            known = {*keys_of(self._train[self._is_known]), *keys_of(self.test)}
            left = {key: place for key, place in left.items() if key not in known}
            if not left:
                break
        return set(left)

    def _read(self, wanted: Tensor) -> None:
        """Hash the images of the pool at these positions, but for those that are known."""
        chosen = torch.nonzero(wanted & ~self._is_known).flatten()
        if len(chosen):
            self._train[chosen] = self._source.hashes(chosen)
            self._is_known[chosen] = True
