"""What a finished run says of its examples, and which files are its own.

Weights are bound to their record by the digests in ``config.json``: a file that was copied over
one of the run's is none of them any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlgen_cli.checkpoints.formats.detection import is_run_directory
from dlgen_cli.checkpoints.runs.ancestor import HASH_BYTES
from dlgen_cli.checkpoints.runs.run_config import MODEL_FILE, RunConfig, facts_of, read_config
from dlgen_cli.checkpoints.runs.run_directory import (
    INIT_FILE,
    LABELS_FILE,
    read_labels,
)
from dlgen_cli.checkpoints.stored import sha256_of
from dlgen_cli.errors import CheckpointError

if TYPE_CHECKING:
    from dlgen_cli.checkpoints.checkpoint import Checkpoint

WHOLE = "Take the run's directory as it was written, or train the run again."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What a finished run recorded of its examples, held against itself.

    Attributes:
        directory: of the run.
        config: its facts.
        labels: see `RunContents`; as many of each as the facts count.
        is_bound: the facts name the sha256 of the run's files, and the labels have it.
    """

    directory: Path
    config: RunConfig
    labels: Mapping[str, Tensor]
    is_bound: bool


def find_run(checkpoint: Checkpoint) -> RunRecord | None:
    """The finished run that a checkpoint belongs to, links followed.

    Returns:
        None where no run stands there, or the checkpoint is not one of its files: it records
        another run, or it was copied over one of them.

    Raises:
        CheckpointError: as `read_record`.
    """
    path = checkpoint.path.resolve()
    directory = path if path.is_dir() else path.parent
    if checkpoint.config is None or not is_run_directory(directory):
        return None
    config = read_config(directory)
    files = config.get("files")
    is_its_own = facts_of(checkpoint.config) == facts_of(config) and (
        files is None or checkpoint.sha256 in (files.get(MODEL_FILE), files.get(INIT_FILE))
    )
    return read_record(directory) if is_its_own else None


def read_record(directory: Path) -> RunRecord:
    """Read the facts and the labels of a run.

    Raises:
        CheckpointError: a file is missing or damaged, the labels are not those that the run wrote,
            or there are fewer or more of them than the facts count.
    """
    config, labels = read_config(directory), read_labels(directory)
    require_own(directory, config, LABELS_FILE)
    counts = dict.fromkeys(("labels", "indices", "image_hashes"), config["examples"])
    counts |= dict.fromkeys(("holdout_indices", "holdout_hashes"), config["counts"]["holdout"])
    if "anchor" in config:
        counts["anchor_hashes"] = config["anchor"]["examples"]
    for name, count in counts.items():
        found = labels.get(name)
        if found is None:
            continue
        rows = (count, HASH_BYTES) if name.endswith("hashes") else (count,)
        if tuple(found.shape) != rows or (len(rows) > 1 and found.dtype != torch.uint8):
            raise CheckpointError(
                f"{directory} records {name} of shape {tuple(found.shape)} and type {found.dtype}; "
                f"{rows} for its {count:,} examples were expected.",
                remedy=WHOLE,
            )
    return RunRecord(directory=directory, config=config, labels=labels, is_bound="files" in config)


def require_own(directory: Path, config: RunConfig, *names: str) -> None:
    """Refuse a file of a run that is not the one which it wrote.

    A run of version 0.1 recorded no digests and is believed.

    Raises:
        CheckpointError: naming the file.
    """
    recorded = config.get("files")
    for name in names if recorded is not None else ():
        try:
            found = sha256_of(directory / name)
        except OSError as error:
            raise CheckpointError(
                f"{directory / name} cannot be read: {error.strerror}.", remedy=WHOLE
            ) from error
        if recorded is not None and recorded.get(name) != found:
            raise CheckpointError(
                f"{directory / name} is not the file that the run wrote: its sha256 is "
                f"{found[:12]}..., and config.json records {recorded.get(name, 'none')[:12]}....",
                remedy=WHOLE,
            )
