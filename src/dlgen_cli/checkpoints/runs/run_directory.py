"""The checkpoint directory of a training run: what it holds, how it is written and read.

A finished directory appears in one step: all files are written under a temporary name beside
it, which is then renamed. While a run goes on its state stands in ``<directory>.partial``, so
the directory itself never holds half a run. The bytes depend on the contents alone: no times,
hosts or paths are recorded.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from dlgen_cli.checkpoints.formats.detection import is_run_directory
from dlgen_cli.checkpoints.runs.run_config import (
    CONFIG_FILE,
    MODEL_FILE,
    RETRAIN,
    RunConfig,
    header_metadata,
    missing_file,
    partial_directory,
    read_config,
)
from dlgen_cli.errors import CheckpointError, TrainingError
from dlgen_cli.files import replace_file

__all__ = [
    "CONFIG_FILE",
    "MODEL_FILE",
    "RunConfig",
    "RunContents",
    "is_run_directory",
    "partial_directory",
    "read_config",
    "read_labels",
    "read_metrics",
    "read_resume",
    "remove_partial",
    "serialize_safetensors",
    "write_partial",
    "write_run_directory",
]

INIT_FILE = "init.safetensors"
LABELS_FILE = "labels.safetensors"
METRICS_FILE = "metrics.jsonl"
RESUME_FILE = "resume.pt"
CARD_FILE = "README.md"
#: Of ``--objective coded``: a quantised network, or a Gaussian over its coordinates.
CODE_FILE = "code.bin"
COORDINATES_FILE = "coordinates.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContents:
    """Everything that a finished checkpoint directory holds.

    Attributes:
        config: the facts; the digests of the files are added when they are written.
        model: the trained state dict.
        init: the state dict before the first step.
        labels: int64 ``labels`` and ``indices`` of the ``m`` examples trained on (index -1 for a
            synthetic one), uint8 ``altered``, int64 ``holdout_indices``, and uint8 hashes of the
            images, ``image_hashes`` ``(m, 16)`` and ``holdout_hashes``, and their looks,
            ``image_looks`` ``(m, 14)``. Of a run that began at weights also ``anchor_hashes`` and
            ``anchor_looks``, those of the images that trained these.
        metrics: one JSON object for each epoch.
        resume: the state to go on from; loads with ``weights_only=True``.
        card: the model card, Markdown.
        files: further files, by name; with the one of a posterior, ``model`` is its mean and
            ``init`` the prior's.
    """

    config: RunConfig
    model: Mapping[str, Tensor]
    init: Mapping[str, Tensor]
    labels: Mapping[str, Tensor]
    metrics: Sequence[Mapping[str, Any]]
    resume: Mapping[str, Any]
    card: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def read_labels(directory: Path) -> dict[str, Tensor]:
    """Read ``labels.safetensors``: see `RunContents`.

    Raises:
        CheckpointError: the file is missing or is not a safetensors file.
    """
    path = directory / LABELS_FILE
    try:
        return safetensors.torch.load_file(path)
    except FileNotFoundError as error:
        raise missing_file(directory, LABELS_FILE) from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.", remedy=RETRAIN) from error


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Read ``metrics.jsonl``: one object for each epoch, the first for epoch 0.

    Raises:
        CheckpointError: the file is missing or is not JSON, line by line.
    """
    path = directory / METRICS_FILE
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError as error:
        raise missing_file(directory, METRICS_FILE) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.", remedy=RETRAIN) from error


def read_resume(directory: Path) -> dict[str, Any]:
    """Read ``resume.pt`` without running any code from it.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = directory / RESUME_FILE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise missing_file(directory, RESUME_FILE) from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.", remedy=RETRAIN) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds no training state.", remedy=RETRAIN)
    return state


def write_partial(
    directory: Path, resume: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Keep the state of an unfinished run; a reader sees the old state or the new one.

    Args:
        directory: the run's directory; the state goes to its `partial_directory`.
        resume: tensors, numbers, strings, and lists and dicts of them.
        metrics: what to show meanwhile, one JSON object for each epoch.

    Raises:
        TrainingError: nothing can be written there; the old state stands.
    """
    partial = partial_directory(directory)
    with _writing(partial):
        partial.parent.mkdir(parents=True, exist_ok=True)
        files = {RESUME_FILE: _serialize(resume), METRICS_FILE: _lines(metrics)}
        if partial.exists():
            for name, data in files.items():
                replace_file(partial / name, data)
            return
        staging = _staging_directory(partial)
        try:
            for name, data in files.items():
                (staging / name).write_bytes(data)
            staging.rename(partial)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def remove_partial(directory: Path) -> None:
    """Remove the state of an unfinished run, where there is one."""
    shutil.rmtree(partial_directory(directory), ignore_errors=True)


def write_run_directory(directory: Path, contents: RunContents, *, replace: bool = False) -> None:
    """Write a finished run in one step and remove its unfinished state.

    Args:
        directory: where the run shall stand; its parent is made where missing. It may exist if
            it is empty, or with ``replace``.
        contents: what to write.
        replace: put the run in the place of the one that stands there.

    Raises:
        TrainingError: something else stands there, or nothing can be written there.
    """
    with _writing(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        staging = _staging_directory(directory)
        try:
            _write_files(staging, contents)
            if directory.exists() and replace:
                _swap(staging, directory)
            else:
                if directory.exists():
                    directory.rmdir()  # fails unless it is empty
                staging.rename(directory)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    remove_partial(directory)


def serialize_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file, the same each time for the same contents.

    The library writes the metadata in the order of a hash table that differs between processes;
    here the header's keys are sorted.

    Args:
        tensors: what to store, by name.
        metadata: string values for the header.

    Returns:
        The file: header length (8 bytes, little endian), header, data.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    written = safetensors.torch.save(plain, metadata=dict(metadata))
    (length,) = struct.unpack("<Q", written[:8])
    header = json.dumps(json.loads(written[8 : 8 + length]), sort_keys=True, ensure_ascii=False)
    encoded = header.encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + written[8 + length :]


def _write_files(directory: Path, contents: RunContents) -> None:
    files = {
        name: serialize_safetensors(tensors, header_metadata(contents.config, tensors=role))
        for name, tensors, role in (
            (MODEL_FILE, contents.model, "trained"),
            (INIT_FILE, contents.init, "initial"),
        )
    }
    files |= {LABELS_FILE: serialize_safetensors(contents.labels, {}), **contents.files}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    config = {**contents.config, "files": digests}
    for name, data in files.items():
        (directory / name).write_bytes(data)
    _write_text(directory / CONFIG_FILE, json.dumps(config, indent=2) + "\n")
    (directory / METRICS_FILE).write_bytes(_lines(contents.metrics))
    (directory / RESUME_FILE).write_bytes(_serialize(contents.resume))
    _write_text(directory / CARD_FILE, contents.card)


def _serialize(resume: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(resume), buffer)
    return buffer.getvalue()


def _lines(metrics: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in metrics).encode()


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _staging_directory(target: Path) -> Path:
    staging = target.with_name(f".{target.name}.writing-{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    return staging


def _swap(staging: Path, directory: Path) -> None:
    previous = directory.with_name(f".{directory.name}.previous-{os.getpid()}")
    directory.rename(previous)
    try:
        staging.rename(directory)
    finally:
        if not directory.exists():
            previous.rename(directory)
    shutil.rmtree(previous)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{target} cannot be written: {error.strerror or error}.",
            remedy="Give another --save.",
        ) from error
