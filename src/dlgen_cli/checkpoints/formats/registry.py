"""The one table of formats that are read: how each is told, and what reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.formats.distributed import is_distributed, open_distributed
from dlgen_cli.checkpoints.formats.gguf_file import is_gguf, open_gguf
from dlgen_cli.checkpoints.formats.numpy_file import is_numpy, open_numpy
from dlgen_cli.checkpoints.formats.safetensors_file import (
    is_safetensors,
    open_run,
    open_safetensors,
)
from dlgen_cli.checkpoints.formats.sharded import is_index, open_sharded
from dlgen_cli.checkpoints.formats.signatures import unknown
from dlgen_cli.checkpoints.formats.torch_file import is_torch, open_torch
from dlgen_cli.checkpoints.formats.torchscript import is_torchscript, open_torchscript
from dlgen_cli.checkpoints.runs.run_directory import is_run_directory
from dlgen_cli.checkpoints.stored import SourceFile
from dlgen_cli.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One row.

    Attributes:
        name: in the JSON of reports.
        title: on pages; empty where it is the name.
        expected: what a message calls it that lists what could have been there; empty where
            another row says it.
        matches: whether a path holds this format, by its content.
        open: the reader; of a format with parts, it takes the one that the user chose.
        has_parts: whether its files may hold several networks under keys.
    """

    name: str
    title: str = ""
    expected: str = ""
    matches: Callable[[Path], bool]
    open: Callable[..., Checkpoint]
    has_parts: bool = False

    def read(self, path: Path, part: str | None = None) -> Checkpoint:
        """Open a path as this format.

        Args:
            path: a file or a directory.
            part: dotted keys of the part to read; None for the network that is found.

        Raises:
            CheckpointError: it is damaged.
            DependencyError: the format needs a package that is not installed.
            UsageError: there is no such part.
        """
        if part is not None and not self.has_parts:
            raise UsageError(
                f"{path} is of the format {self.title or self.name}, which has no parts.",
                remedy="Give --prefix P to read the tensors whose names start with P.",
            )
        opened = self.open(path, part) if self.has_parts else self.open(path)
        return replace(opened, format=self.name, format_title=self.title or self.name)


#: A shard of several names its index; an index is one file of a directory among others.
INDEX = Format(
    name="sharded",
    title="sharded directory",
    expected="an index of shards",
    matches=is_index,
    open=open_sharded,
)
#: Files, the first that matches: the length of a safetensors header may start like a pickle, and
#: a TorchScript archive is a torch file of a kind.
FILES = (
    Format(
        name="safetensors", expected="safetensors", matches=is_safetensors, open=open_safetensors
    ),
    Format(name="numpy", title="NumPy archive", matches=is_numpy, open=open_numpy),
    Format(name="torchscript", matches=is_torchscript, open=open_torchscript),
    Format(
        name="torch", expected="a torch file", matches=is_torch, open=open_torch, has_parts=True
    ),
    Format(name="gguf", expected="GGUF", matches=is_gguf, open=open_gguf),
    INDEX,
)
#: Directories that are a format of their own; others hold a file.
DIRECTORIES = (
    Format(name="run", title="run directory", matches=is_run_directory, open=open_run),
    Format(name="distributed", matches=is_distributed, open=open_distributed, has_parts=True),
)


def format_of(path: Path) -> Format:
    """Tell the format of a file by its first bytes.

    Raises:
        CheckpointError: they are no checkpoint's, or the path is no regular file.
        OSError: the file cannot be read.
    """
    SourceFile.at(path)
    for one in FILES:
        if one.matches(path):
            return one
    names = [one.expected for one in FILES if one.expected]
    raise unknown(path, f"{', '.join(names)} or a checkpoint directory")
