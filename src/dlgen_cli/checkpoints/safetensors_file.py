"""Safetensors files, read one tensor at a time through a memory map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from dlgen_cli.checkpoints.checkpoint import Checkpoint, index_tensors, natural_key
from dlgen_cli.checkpoints.factored import FactoredIndex
from dlgen_cli.checkpoints.run_config import HEADER_KEY, RETRAIN, RunConfig, parse_config
from dlgen_cli.errors import CheckpointError

_MOST_DIGITS = 18  # of a sample count
_FLOATING = ("F64", "F32", "F16", "BF16", "F8")


def open_safetensors(
    path: Path,
    sha256: str,
    *,
    directory: Path | None = None,
    config: RunConfig | None = None,
) -> Checkpoint:
    """Open a safetensors file; tensors come in the natural order of their names.

    The format does not keep the order of definition.

    Args:
        path: the file.
        sha256: its digest.
        directory: the checkpoint directory that it belongs to, if any.
        config: what that directory records; without one, the header's metadata is asked.

    Raises:
        CheckpointError: the file is truncated or malformed, or records another run than its
            directory.
    """
    try:
        handle: Any = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}).",
            remedy="Check that it was copied in full.",
        ) from error
    metadata = handle.metadata() or {}
    factored = FactoredIndex(metadata, str(path))
    described = [(name, shape, True) for name, shape in factored.shapes.items()]
    for name in set(handle.keys()) - factored.stored:
        view = handle.get_slice(name)
        is_floating = view.get_dtype().startswith(_FLOATING)
        described.append((name, tuple(view.get_shape()), is_floating))
    described.sort(key=lambda one: natural_key(one[0]))

    def read(stored_name: str) -> torch.Tensor:
        if stored_name in factored:
            return factored.decode(stored_name, handle.get_tensor).weight()
        tensor: torch.Tensor = handle.get_tensor(stored_name)
        return tensor

    recorded = _recorded_config(metadata, path)
    if config is not None and recorded not in (None, config):
        raise CheckpointError(
            f"{path} records another run than the config.json beside it.",
            remedy=f"Put back the weights of that run. {RETRAIN}",
        )
    config = config or recorded
    return Checkpoint(
        path=directory or path,
        format="run" if directory else "safetensors",
        sha256=sha256,
        tensors=index_tensors(described, path),
        reader=read,
        config=config,
        examples=config["examples"] if config else _recorded_examples(metadata),
        architecture=config["architecture"] if config else metadata.get("architecture"),
        is_initial=config is not None and metadata.get("tensors") == "initial",
    )


def _recorded_config(metadata: Mapping[str, str], path: Path) -> RunConfig | None:
    text = metadata.get(HEADER_KEY)
    return None if text is None else parse_config(text, f"the header of {path}")


def _recorded_examples(metadata: Mapping[str, str]) -> int | None:
    """The count that a file of another origin may record under ``examples``."""
    text = metadata.get("examples", "")
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None
