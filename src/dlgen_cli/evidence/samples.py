"""Which examples trained a checkpoint, which bound it, and which neither: found by their hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from dlgen_cli.checkpoints import Checkpoint
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.datasets import (
    SourceData,
    Split,
    digest_examples,
    hash_images,
    load_source,
    source_names,
)
from dlgen_cli.datasets.image_folder import is_image_folder
from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.records import REAL_IMAGE_REGIMES, Assumption

#: Fewer examples than this carry no PAC-Bayes-kl bound.
LEAST_EXAMPLES = 8

_RECORDED = ("image_hashes", "indices", "labels", "holdout_hashes", "holdout_indices")


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The examples behind a certificate.

    Attributes:
        source: what the data are called.
        bound: the examples that trained the checkpoint and that its bounds are evaluated on.
        hashes: of their images, shape ``(m, 16)``.
        holdout: examples that the checkpoint never saw.
        holdout_origin: ``recorded`` by the run, or the ``test`` set.
        test: the test set; a measure, no certificate.
        scale: what the pixels are multiplied by for the network.
        sample_lines: the ledger on ``bound``.
        holdout_lines: the ledger on ``holdout``.
    """

    source: str
    bound: Split
    hashes: Tensor
    holdout: Split
    holdout_origin: str
    test: Split
    scale: float
    sample_lines: tuple[Assumption, ...]
    holdout_lines: tuple[Assumption, ...]

    @property
    def parts(self) -> Mapping[str, Split]:
        """The sample, the holdout and the test set, by these names; two may be one."""
        return {"sample": self.bound, "holdout": self.holdout, "test": self.test}

    def without(self, hashes: Tensor, trained: str) -> Samples:
        """Take examples out of the bound's sample because something else was trained on them.

        Args:
            hashes: of their images, shape ``(k, 16)``.
            trained: what was trained on them, for the ledger.
        """
        excluded = _keys(hashes)
        kept = torch.tensor([key not in excluded for key in _ordered_keys(self.hashes)])
        count = int(kept.sum())
        if count == len(kept):
            return self
        line = ledger.excluded_line(
            trained, len(kept) - count, count, enough=count >= LEAST_EXAMPLES
        )
        positions = torch.nonzero(kept).flatten() if count else torch.arange(len(kept))
        return replace(
            self,
            bound=self.bound.take(positions),
            hashes=self.hashes[positions],
            sample_lines=(*self.sample_lines, line),
        )


def find_samples(checkpoint: Checkpoint, data: str, m: int | None) -> Samples:
    """Find the examples that a checkpoint was trained on, and those that it never saw.

    A run of ``dlgen train`` recorded the hashes of its images and the labels that it used. For
    another checkpoint the whole training part of the data is its sample, as the user declares.

    Args:
        checkpoint: opened.
        data: ``digits``, ``cifar10``, or a directory that holds CIFAR-10 or an image folder.
        m: the sample count that the user asks for; None for all examples found.

    Raises:
        UsageError: m is smaller than the sample.
        DataError: the data are missing or damaged, or are not those of the run.
    """
    source = open_data(data)
    recorded = _recorded(checkpoint)
    if recorded is None:
        samples = _declared(checkpoint, source, data)
    else:
        samples = _of_run(checkpoint, source, recorded, data)
    count = len(samples.bound)
    if m is not None and m < count:
        raise UsageError(
            f"--m {m} was given, but the sample in {data} has {count} examples.",
            remedy="Leave out --m.",
        )
    line = ledger.count_line(m, count)
    return replace(samples, sample_lines=(line, *samples.sample_lines))


def open_data(data: str) -> SourceData:
    """Load what ``--data`` names."""
    if data in source_names():
        return load_source(data)
    path = Path(data)
    if not path.is_dir():
        raise UsageError(
            f"--data {data} is neither a known source nor a directory.",
            remedy=f"Give {', '.join(source_names())}, or a directory with train/ and test/.",
        )
    if is_image_folder(path):
        return load_source(data)
    return load_source("cifar10", path)


def training_hashes(checkpoint: Checkpoint) -> Tensor | None:
    """Hashes of the images that a checkpoint of a run was trained on; None where not on record.

    Args:
        checkpoint: opened; the directory that it stands in holds the record. The initial weights
            of a run around an anchor are the anchor's.
    """
    directory = run_directory.find_run_directory(checkpoint)
    if directory is None:
        return None
    name = "anchor_hashes" if checkpoint.is_initial else "image_hashes"
    return run_directory.read_labels(directory).get(name)


def count_shared(hashes: Tensor, others: Tensor) -> int:
    """How many images of one list are in another, by their hashes."""
    others_keys = _keys(others)
    return sum(key in others_keys for key in _ordered_keys(hashes))


def _recorded(checkpoint: Checkpoint) -> dict[str, Tensor] | None:
    directory = run_directory.find_run_directory(checkpoint)
    if checkpoint.config is None or directory is None:
        return None
    labels = run_directory.read_labels(directory)
    missing = [name for name in _RECORDED if name not in labels]
    if missing:
        raise DataError(
            f"{directory} records no {missing[0]}, so that its sample cannot be found.",
            remedy="Train the run again with this version of dlgen.",
        )
    return labels


def _declared(checkpoint: Checkpoint, source: SourceData, data: str) -> Samples:
    hashes = hash_images(source.train.images)
    overlap = len(_keys(hashes) & _keys(hash_images(source.test.images)))
    return Samples(
        source=source.name,
        bound=source.train,
        hashes=hashes,
        holdout=source.test,
        holdout_origin="test",
        test=source.test,
        scale=checkpoint.config["input"]["scale"] if checkpoint.config else 1.0,
        sample_lines=(ledger.declared_sample_line(data, len(source.train)),),
        holdout_lines=ledger.holdout_lines("test", len(source.test), overlap, recorded=False),
    )


def _of_run(
    checkpoint: Checkpoint, source: SourceData, recorded: dict[str, Tensor], data: str
) -> Samples:
    config = checkpoint.config
    assert config is not None  # noqa: S101  the caller has looked
    if config.get("classes", list(source.classes)) != list(source.classes):
        raise DataError(
            f"The classes of {data} are not those of the run.",
            remedy="Give --data the source that the run was trained on.",
        )
    pool = _ordered_keys(hash_images(source.train.images))
    bound = _labelled(source, pool, recorded, data)
    if digest_examples(bound) != config["examples_sha256"]:
        raise DataError(
            f"The examples that {checkpoint.path} lists are not those that its weights record.",
            remedy="Take the run's directory as it was written, or train the run again.",
        )
    trained = _keys(recorded["image_hashes"])
    if "anchor_hashes" in recorded:  # they trained what the run began at
        trained |= _keys(recorded["anchor_hashes"])
    held = _positions(source, pool, recorded["holdout_hashes"], recorded["holdout_indices"], data)
    holdout, origin = _never_seen(source, held)
    unseen = hash_images(holdout.images)
    return Samples(
        source=source.name,
        bound=bound,
        hashes=recorded["image_hashes"],
        holdout=holdout,
        holdout_origin=origin,
        test=source.test,
        scale=config["input"]["scale"],
        sample_lines=tuple(ledger.run_sample_lines(config)),
        holdout_lines=ledger.holdout_lines(
            origin, len(holdout), len(trained & _keys(unseen)), recorded=True
        ),
    )


def _never_seen(source: SourceData, held: Sequence[int]) -> tuple[Split, str]:
    if held:
        return source.train.take(torch.tensor(held)), "recorded"
    return source.test, "test"


def _labelled(
    source: SourceData, pool: Sequence[bytes], recorded: dict[str, Tensor], data: str
) -> Split:
    """The images of the run, found by their hashes, with the labels that it used."""
    synthetic = int((recorded["indices"] < 0).sum())
    if synthetic:
        raise DataError(
            f"{synthetic} of the {len(recorded['indices'])} examples that trained this run were "
            f"drawn at random; they are not in {data}, so its risk on its sample cannot be "
            "evaluated.",
            remedy=f"Leave out --data, or take a run on {' or '.join(REAL_IMAGE_REGIMES)}.",
        )
    positions = _positions(source, pool, recorded["image_hashes"], recorded["indices"], data)
    images = source.train.images[torch.tensor(positions, dtype=torch.int64)]
    return Split(images=images, labels=recorded["labels"])


def _positions(
    source: SourceData, pool: Sequence[bytes], hashes: Tensor, indices: Tensor, data: str
) -> list[int]:
    """Where images stand in the data: at their recorded index, or else wherever their hash is.

    The index tells equal images with different labels apart.
    """
    by_index = dict(zip(source.indices.tolist(), range(len(pool)), strict=True))
    by_hash = {key: position for position, key in enumerate(pool)}
    found, missing = [], 0
    for key, index in zip(_ordered_keys(hashes), indices.tolist(), strict=False):
        position = by_index.get(index)
        if position is None or pool[position] != key:
            position = by_hash.get(key)
        if position is None:
            missing += 1
        else:
            found.append(position)
    if missing:
        raise DataError(
            f"{missing} images of the run are not among the training images of {data}.",
            remedy="Give --data the source that the run was trained on.",
        )
    return found


def _ordered_keys(hashes: Tensor) -> list[bytes]:
    rows = hashes.contiguous().numpy()
    return [row.tobytes() for row in rows]


def _keys(hashes: Tensor) -> set[bytes]:
    return set(_ordered_keys(hashes))
