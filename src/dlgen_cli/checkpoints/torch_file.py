"""Torch files, zip and legacy, always with ``weights_only=True``: no code runs."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dlgen_cli.checkpoints.checkpoint import Checkpoint, index_tensors
from dlgen_cli.checkpoints.state_dicts import describe, find_network
from dlgen_cli.errors import CheckpointError


def load_tree(path: Path, *, is_zip: bool) -> Any:
    """Load what a torch file holds; storages of zip files stay on disk until they are read.

    Raises:
        CheckpointError: the file is damaged, is a TorchScript archive, or needs code to load.
    """
    if is_zip:
        _refuse_archives(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the pickle protocol
            if path.suffix == ".safetensors":  # torch would go by the suffix
                with path.open("rb") as file:
                    return torch.load(file, map_location="cpu", weights_only=True)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip or None)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors: {_needed_code(error)}. dlgen never runs code from a "
            "checkpoint.",
            remedy="Save only the weights: torch.save(model.state_dict(), ...).",
        ) from error
    except Exception as error:  # a damaged pickle fails in any way
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read as a torch file ({reason}).",
            remedy="Check that it was copied in full.",
        ) from error


def open_torch(path: Path, sha256: str, *, is_zip: bool) -> Checkpoint:
    """Open a torch file; tensors come in the order in which they were stored.

    Raises:
        CheckpointError: as `load_tree`, or there is no state dict in it.
    """
    tree = load_tree(path, is_zip=is_zip)
    if not isinstance(tree, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(tree).__name__}; a state dict was expected.",
            remedy="Save model.state_dict() and pass that file.",
        )
    tensors, notes = find_network(tree)
    return Checkpoint(
        path=path,
        format="torch",
        sha256=sha256,
        tensors=index_tensors(describe(tensors), path),
        reader=tensors.__getitem__,
        notes=notes,
    )


def _refuse_archives(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path} starts like a zip file and is none ({error}).",
            remedy="Check that it was copied in full.",
        ) from error
    if any(name.endswith("constants.pkl") for name in names):
        raise CheckpointError(
            f"{path} is a TorchScript archive; this version reads state dicts.",
            remedy="Save module.state_dict() and pass that file.",
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise CheckpointError(
            f"{path} is a zip file without data.pkl; a torch file was expected.",
            remedy="Unpack it and pass the checkpoint inside.",
        )


def _needed_code(error: pickle.UnpicklingError) -> str:
    match = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"it needs {match.group(1)}" if match else "its pickle has an unsafe instruction"
