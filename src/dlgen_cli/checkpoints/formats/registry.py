"""The one table of formats that are read: how each is told, and what reads it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.checkpoints.formats import detection
from dlgen_cli.checkpoints.formats.signatures import unknown
from dlgen_cli.checkpoints.stored import SourceFile
from dlgen_cli.errors import UsageError

if TYPE_CHECKING:
    from dlgen_cli.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One row.

    Attributes:
        name: in the JSON of reports.
        title: on pages; empty where it is the name.
        expected: what a message calls it that lists what could have been there; empty where
            another row says it.
        matches: whether a path holds this format, by its content.
        reader: file and function that open it, imported when they are needed: they import torch.
            The reader of a format with parts takes the one that the user chose.
        has_parts: whether its files may hold several networks under keys.
    """

    name: str
    title: str = ""
    expected: str = ""
    matches: Callable[[Path], bool]
    reader: tuple[str, str]
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
        file, function = self.reader
        module: Any = importlib.import_module(f"dlgen_cli.checkpoints.formats.{file}")
        open_ = getattr(module, function)
        opened: Checkpoint = open_(path, part) if self.has_parts else open_(path)
        return replace(opened, format=self.name, format_title=self.title or self.name)


#: A shard of several names its index; an index is one file of a directory among others.
INDEX = Format(
    name="sharded",
    title="sharded directory",
    expected="an index of shards",
    matches=detection.is_index,
    reader=("sharded", "open_sharded"),
)
#: Files, the first that matches: the length of a safetensors header may start like a pickle, and
#: a TorchScript archive is a torch file of a kind.
FILES = (
    Format(
        name="safetensors",
        expected="safetensors",
        matches=detection.is_safetensors,
        reader=("safetensors_file", "open_safetensors"),
    ),
    Format(
        name="numpy",
        title="NumPy archive",
        matches=detection.is_numpy,
        reader=("numpy_file", "open_numpy"),
    ),
    Format(
        name="export",
        title="program of torch.export",
        expected="a program of torch.export",
        matches=detection.is_export,
        reader=("export_archive", "open_export"),
        has_parts=True,
    ),
    Format(
        name="torchscript",
        matches=detection.is_torchscript,
        reader=("torchscript", "open_torchscript"),
    ),
    Format(
        name="torch",
        expected="a torch file",
        matches=detection.is_torch,
        reader=("torch_file", "open_torch"),
        has_parts=True,
    ),
    Format(
        name="gguf",
        expected="GGUF",
        matches=detection.is_gguf,
        reader=("gguf_file", "open_gguf"),
    ),
    Format(
        name="onnx",
        title="ONNX",
        expected="ONNX",
        matches=detection.is_onnx,
        reader=("onnx_file", "open_onnx"),
    ),
    INDEX,
)
#: Directories that are a format of their own; others hold a file.
DIRECTORIES = (
    Format(
        name="run",
        title="run directory",
        matches=detection.is_run_directory,
        reader=("safetensors_file", "open_run"),
    ),
    Format(
        name="distributed",
        matches=detection.is_distributed,
        reader=("distributed", "open_distributed"),
        has_parts=True,
    ),
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
