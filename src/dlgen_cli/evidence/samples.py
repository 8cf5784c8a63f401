"""Which examples trained a checkpoint, which bound it, and which neither: found by their hashes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.runs.run_record import RunRecord, find_run
from dlgen_cli.checkpoints.runs.trained_on import TrainedOn, trained_on
from dlgen_cli.datasets import (
    Source,
    SourceHashes,
    Split,
    digest_examples,
    hash_images,
    keys_of,
    open_source,
    source_names,
)
from dlgen_cli.datasets.image_files import Progress
from dlgen_cli.datasets.image_folder import is_image_folder
from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.ledger.provenance import (
    excluded_line,
    features_line,
    holdout_lines,
    looks_line,
)
from dlgen_cli.evidence.provenance import count_alike, doubt_about
from dlgen_cli.records import REAL_IMAGE_REGIMES, Assumption

#: Fewer examples than this carry no PAC-Bayes-kl bound.
LEAST_EXAMPLES = 8

_RECORDED = ("image_hashes", "indices", "labels", "holdout_hashes", "holdout_indices")


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The examples behind a certificate.

    Attributes:
        pool: the data at hand.
        data: hashes of its images.
        bound: the examples that trained the checkpoint and that its bounds are evaluated on.
        hashes: of their images, shape ``(m, 16)``.
        holdout: examples that the checkpoint never saw.
        holdout_origin: ``recorded`` by the run, or the ``test`` set.
        test: the test set; a measure, no certificate.
        scale: what the pixels are multiplied by for the network.
        altered: examples of ``bound`` whose labels are not the real ones.
        sample_lines: the ledger on ``bound``.
        holdout_lines: the ledger on ``holdout``.
    """

    pool: Source
    data: SourceHashes
    bound: Split
    hashes: Tensor
    holdout: Split
    holdout_origin: str
    test: Split
    scale: float
    altered: int
    sample_lines: tuple[Assumption, ...]
    holdout_lines: tuple[Assumption, ...]

    @property
    def source(self) -> str:
        """What the data are called."""
        return self.pool.name

    @property
    def parts(self) -> Mapping[str, Split]:
        """The sample, the holdout and the test set, by these names; two may be one."""
        return {"sample": self.bound, "holdout": self.holdout, "test": self.test}

    @property
    def repeated_images(self) -> Mapping[str, int]:
        """Images that equal one before them in a part, or one of another part, by their hashes.

        ``all`` of them, then those of each part and pair of parts that has any.
        """
        hashes = {name: hash_images(part.images) for name, part in self.parts.items()}
        counts = {name: count_repeated(one) for name, one in hashes.items()} | {
            f"{two}_in_{one}": count_shared(hashes[two], hashes[one])
            for one, two in itertools.combinations(hashes, 2)
            if self.parts[one] is not self.parts[two]
        }
        return {"all": sum(counts.values())} | {name: one for name, one in counts.items() if one}

    def without(self, found: TrainedOn, trained: str) -> tuple[Samples, int]:
        """Take examples out of the bound's sample because something else was trained on them.

        Args:
            found: what trained it.
            trained: its name, for the ledger.

        Returns:
            What is left, and how many examples that are; where fewer than `LEAST_EXAMPLES` are, a
            line withholds the bound.
        """
        excluded = set(keys_of(found.hashes))
        kept = torch.tensor([key not in excluded for key in keys_of(self.hashes)])
        count = int(kept.sum())
        doubt = doubt_about(found, self.data, self.source)
        lines = [
            excluded_line(trained, len(kept) - count, count, doubt, enough=count >= LEAST_EXAMPLES)
        ]
        positions = torch.nonzero(kept).flatten() if count else torch.arange(len(kept))
        bound = self.bound.take(positions)
        alike = count_alike(bound.images, found, self.data)
        if alike:
            lines.append(looks_line("the bound's sample", trained, alike, count))
        left = replace(
            self,
            bound=bound,
            hashes=self.hashes[positions],
            sample_lines=(*self.sample_lines, *lines),
        )
        return left, count


def find_samples(
    checkpoint: Checkpoint,
    data: str | Source,
    m: int | None,
    progress: Progress | None = None,
) -> Samples:
    """Find the examples that a checkpoint was trained on, and those that it never saw.

    Images in files are decoded only where they are among these, or where whether one of the data
    trained something cannot be told without.

    A run of ``dlgen train`` recorded the hashes of its images and the labels that it used. For
    another checkpoint the whole training part of the data is its sample, as the user declares.

    Args:
        checkpoint: opened.
        data: ``digits``, ``cifar10``, or a directory that holds CIFAR-10 or an image folder; or
            examples in memory.
        m: the sample count that the user asks for; None for all examples found.
        progress: called as images are decoded.

    Raises:
        UsageError: m is smaller than the sample.
        DataError: the data are missing or damaged, or are not those of the run.
    """
    source, data = (open_data(data, progress), data) if isinstance(data, str) else (data, data.name)
    run = _recorded(checkpoint)
    if run is None:
        samples = _declared(checkpoint, source, data)
    else:
        samples = _of_run(checkpoint, source, run, data)
    count = len(samples.bound)
    if m is not None and m < count:
        raise UsageError(
            f"--m {m} was given, but the sample in {data} has {count} examples.",
            remedy="Leave out --m.",
        )
    line = ledger.count_line(m, count)
    made = [features_line(one) for one in source.files]
    return replace(
        samples,
        sample_lines=(line, *samples.sample_lines, *made),
        holdout_lines=(*samples.holdout_lines, *made),
    )


def open_data(data: str, progress: Progress | None = None) -> Source:
    """Open what ``--data`` names."""
    if data in source_names():
        return open_source(data, None, progress)
    path = Path(data)
    if not path.is_dir():
        raise UsageError(
            f"--data {data} is neither a known source nor a directory.",
            remedy=f"Give {', '.join(source_names())}, or a directory with train/ and test/.",
        )
    if is_image_folder(path):
        return open_source(data, None, progress)
    return open_source("cifar10", path, progress)


def training_hashes(checkpoint: Checkpoint) -> Tensor | None:
    """Hashes of the images that a checkpoint of a run was trained on; None where not on record.

    Args:
        checkpoint: opened; the directory that it stands in holds the record. The initial weights
            of a run around an anchor are the anchor's.
    """
    run = find_run(checkpoint)
    if run is None:
        return None
    return run.labels.get("anchor_hashes" if checkpoint.is_initial else "image_hashes")


def count_shared(hashes: Tensor, others: Tensor) -> int:
    """How many images of one list are in another, by their hashes."""
    others_keys = set(keys_of(others))
    return sum(key in others_keys for key in keys_of(hashes))


def count_repeated(hashes: Tensor) -> int:
    """How many images of a list equal one before them, by their hashes."""
    keys = keys_of(hashes)
    return len(keys) - len(set(keys))


def _recorded(checkpoint: Checkpoint) -> RunRecord | None:
    run = find_run(checkpoint)
    missing = [name for name in _RECORDED if run is not None and name not in run.labels]
    if run is not None and missing:
        raise DataError(
            f"{run.directory} records no {missing[0]}, so that its sample cannot be found.",
            remedy="Train the run again with this version of dlgen.",
        )
    return run


def _declared(checkpoint: Checkpoint, source: Source, data: str) -> Samples:
    sample, test = source.take(), source.test_set()
    hashes = SourceHashes(source, None, sample, test)
    return Samples(
        pool=source,
        data=hashes,
        bound=sample,
        hashes=hashes.train,
        holdout=test,
        holdout_origin="test",
        test=test,
        scale=checkpoint.config["input"]["scale"] if checkpoint.config else 1.0,
        altered=0,
        sample_lines=(
            ledger.declared_sample_line(data, len(sample), count_repeated(hashes.train)),
        ),
        holdout_lines=holdout_lines(
            "test",
            len(test),
            count_shared(hashes.test, hashes.train),
            count_repeated(hashes.test),
            "What the checkpoint was trained on is not on record.",
        ),
    )


def _of_run(checkpoint: Checkpoint, source: Source, run: RunRecord, data: str) -> Samples:
    config, recorded = run.config, run.labels
    if config.get("classes", list(source.classes)) != list(source.classes):
        raise DataError(
            f"The classes of {data} are not those of the run.",
            remedy="Give --data the source that the run was trained on.",
        )
    _require_real(recorded["indices"], data)
    test = source.test_set()
    used, hashes = _find(source, recorded, test, data)
    count = len(recorded["indices"])
    bound = Split(images=used.images[:count], labels=recorded["labels"])
    if digest_examples(bound) != config["examples_sha256"]:
        raise DataError(
            f"The examples that {checkpoint.path} lists are not those that its weights record.",
            remedy="Take the run's directory as it was written, or train the run again.",
        )
    holdout, origin = used.take(slice(count, None)), "recorded"
    if not len(holdout):
        holdout, origin = test, "test"
    sample_lines = ledger.run_sample_lines(
        config, count_repeated(recorded["image_hashes"]), is_bound=run.is_bound
    )
    return Samples(
        pool=source,
        data=hashes,
        bound=bound,
        hashes=recorded["image_hashes"],
        holdout=holdout,
        holdout_origin=origin,
        test=test,
        scale=config["input"]["scale"],
        altered=config["counts"]["altered"],
        sample_lines=tuple(sample_lines),
        holdout_lines=_lines_of_holdout(
            trained_on(checkpoint), run, (origin, holdout), hashes, source.name
        ),
    )


def _lines_of_holdout(
    found: TrainedOn,
    run: RunRecord,
    holdout: tuple[str, Split],
    data: SourceHashes,
    source: str,
) -> tuple[Assumption, ...]:
    """Its lines, with what trained the run and all that the run goes back to."""
    origin, part = holdout
    parts = [run.labels[name] for name in ("image_hashes", "anchor_hashes") if name in run.labels]
    hashes, trained = hash_images(part.images), torch.cat(parts)
    doubt = doubt_about(found, data, source)
    lines = holdout_lines(
        origin, len(part), count_shared(hashes, trained), count_repeated(hashes), doubt
    )
    alike = count_alike(part.images, found, data)
    if not alike:
        return lines
    return (*lines, looks_line("the holdout", "the checkpoint", alike, len(part)))


def _require_real(indices: Tensor, data: str) -> None:
    synthetic = int((indices < 0).sum())
    if synthetic:
        raise DataError(
            f"{synthetic} of the {len(indices)} examples that trained this run were drawn at "
            f"random; they are not in {data}, so its risk on its sample cannot be evaluated.",
            remedy=f"Leave out --data, or take a run on {' or '.join(REAL_IMAGE_REGIMES)}.",
        )


def _find(
    source: Source, recorded: Mapping[str, Tensor], test: Split, data: str
) -> tuple[Split, SourceHashes]:
    """The examples that a run lists, those that it trained on and its holdout, by their hashes.

    Each is looked for where the run recorded it; all images are read only where one is not there.
    """
    hashes = torch.cat([recorded["image_hashes"], recorded["holdout_hashes"]])
    indices = torch.cat([recorded["indices"], recorded["holdout_indices"]]).tolist()
    places = {index: place for place, index in enumerate(source.indices.tolist())}
    chosen = torch.tensor([places[one] for one in indices if one in places], dtype=torch.int64)
    used = source.take(chosen)
    known = SourceHashes(source, chosen, used, test)
    if len(chosen) == len(indices) and torch.equal(hash_images(used.images), hashes):
        return used, known
    positions = [places.get(index) for index in indices]
    return source.take(_positions(keys_of(hashes), positions, known, data)), known


def _positions(
    wanted: Sequence[bytes], positions: Sequence[int | None], known: SourceHashes, data: str
) -> Tensor:
    """Where images stand in the data: where they were recorded, or else wherever their hash is.

    The record tells equal images with different labels apart.
    """
    pool = keys_of(known.train)
    by_hash = {key: position for position, key in enumerate(pool)}
    found = [
        position if position is not None and pool[position] == key else by_hash.get(key)
        for key, position in zip(wanted, positions, strict=True)
    ]
    if missing := found.count(None):
        raise DataError(
            f"{missing} images of the run are not among the training images of {data}.",
            remedy="Give --data the source that the run was trained on.",
        )
    return torch.tensor(found, dtype=torch.int64)
