"""TorchScript archives: the tensors of their modules; the program in them is never read.

`data.pkl` holds the module as nested objects whose attributes are numbers, modules and tensors.
Its classes are those of the program; here each is a bag of attributes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlgen_cli.checkpoints.checkpoint import Checkpoint, LeftAside, index_tensors
from dlgen_cli.checkpoints.pickles.archive import archive_of, guarded, is_script, read_archive
from dlgen_cli.checkpoints.state_dicts import StateDict, flatten
from dlgen_cli.checkpoints.stored import SourceFile, sha256_of


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip archive with the constants of a program."""
    try:
        archive = archive_of(SourceFile.at(path))
    except ValueError:
        return False
    return archive is not None and is_script(archive)


def open_torchscript(path: Path) -> Checkpoint:
    """Open a TorchScript archive.

    Parameters and buffers have the names that ``torch.jit.load(...).state_dict()`` gives them.
    Tensors that are plain attributes stand among them. Constants of the program are the network
    only where a frozen module has nothing else.

    Args:
        path: the archive.

    Raises:
        CheckpointError: it is damaged, or there is no tensor in it.
    """
    file = SourceFile.at(path)

    def read() -> tuple[StateDict, StateDict]:
        archive = archive_of(file)
        if archive is None:
            raise ValueError("no zip archive")
        module = flatten(_as_mapping(read_archive(archive, file)))
        constants = read_archive(archive, file, "constants.pkl")
        return module, flatten({f"c{at}": one for at, one in enumerate(constants)}, "CONSTANTS.")

    module, constants = guarded(path, read)
    frozen = not any(not one.reason for one in module.values())
    tensors = module | constants if frozen else module
    left = [] if frozen else list(constants)
    return Checkpoint(
        path=path,
        sha256=sha256_of(path),
        tensors=index_tensors(tensors, path),
        reader=lambda name: tensors[name].load(),
        notes=("a frozen module: its constants are the network",) if frozen else (),
        left_aside=tuple(
            LeftAside(
                name=name,
                reason="a constant of the program, no parameter",
                entries=math.prod(constants[name].shape),
            )
            for name in left
        ),
    )


def _as_mapping(module: Any) -> Mapping[Any, Any]:
    if not isinstance(module, Mapping):
        raise TypeError("no module in it")
    return module
