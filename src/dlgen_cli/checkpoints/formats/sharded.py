"""Checkpoints in shards: an index names, for each tensor, the file beside it that holds it."""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from dlgen_cli.checkpoints.checkpoint import Checkpoint, LeftAside, index_tensors, natural_key
from dlgen_cli.checkpoints.formats.detection import is_safetensors, is_torch
from dlgen_cli.checkpoints.formats.safetensors_file import read_header
from dlgen_cli.checkpoints.formats.signatures import unknown
from dlgen_cli.checkpoints.formats.torch_file import load_tree
from dlgen_cli.checkpoints.json_text import MOST_BYTES, parse_object
from dlgen_cli.checkpoints.pickles.archive import guarded
from dlgen_cli.checkpoints.state_dicts import NetworkParts, StateDict, find_network
from dlgen_cli.checkpoints.stored import SourceFile, brief, is_text, sha256_of
from dlgen_cli.errors import CheckpointError

_MAP = "weight_map"
_MOST_SHARDS = 10_000


def open_sharded(index: Path) -> Checkpoint:
    """Open the shards of an index; tensors come in the natural order of their names.

    Args:
        index: the JSON file with a ``weight_map``.

    Raises:
        CheckpointError: the index is malformed or points outside its folder, a shard is missing or
            damaged, or a shard lacks a tensor that the index promises.
    """
    weight_map = read_index(index)
    names = sorted(set(weight_map.values()))
    shards = {name: inside(index.parent, name, index) for name in names}
    _require_shards(index, shards)
    contents = {name: _open_shard(path) for name, path in shards.items()}
    tensors: StateDict = {}
    for name in sorted(weight_map, key=natural_key):
        shard = weight_map[name]
        if name not in contents[shard].network:
            raise CheckpointError(
                f"{index} promises the tensor {brief(name)} in {brief(shard)}, which lacks it.",
                remedy="Download that shard again, together with the index.",
            )
        tensors[name] = contents[shard].network[name]
    left = tuple(
        LeftAside(
            name=name,
            reason=f"in the shard {shard}, but not in the index",
            entries=math.prod(one.shape),
        )
        for shard, content in contents.items()
        for name, one in content.network.items()
        if weight_map.get(name) != shard
    )
    return Checkpoint(
        path=index,
        sha256=sha256_of(*shards.values()),
        tensors=index_tensors(tensors, index),
        reader=lambda name: tensors[name].load(),
        left_aside=(*left, *(one for parts in contents.values() for one in parts.left_aside)),
        not_understood=tuple(one for parts in contents.values() for one in parts.not_understood),
    )


def read_index(path: Path) -> dict[str, str]:
    """The shard of each tensor.

    Raises:
        CheckpointError: the file is no index.
    """
    file = SourceFile.at(path)
    try:
        return _parse_index(file)
    except ValueError as error:
        raise CheckpointError(
            f"{path} is no index of shards ({brief(' '.join(str(error).split()))}).",
            remedy='A JSON object with a "weight_map" from tensors to files was expected.',
        ) from error


def _parse_index(file: SourceFile) -> dict[str, str]:
    if file.size > MOST_BYTES:
        raise ValueError(f"it has {file.size:,} bytes; at most {MOST_BYTES:,} are read")
    found = parse_object(file.read(0, file.size)).get(_MAP)
    if not isinstance(found, dict) or not found:
        raise ValueError(f"it has no {_MAP}")
    if not all(isinstance(shard, str) and shard for shard in found.values()):
        raise ValueError(f"its {_MAP} names no files")
    shards = set(found.values())
    if len(shards) > _MOST_SHARDS:
        raise ValueError(f"it names more than {_MOST_SHARDS:,} shards")
    if not all(map(is_text, (*found, *shards))):
        raise ValueError("a name is no Unicode text")
    return found


def inside(folder: Path, name: str, source: Path) -> Path:
    """The file of a name that another file gives, in the folder of that file or below.

    Raises:
        CheckpointError: the name leads out of the folder.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    is_drive = bool(parts) and parts[0].endswith(":")
    if not parts or parts[0] == "/" or ".." in parts or is_drive or "\0" in name:
        raise CheckpointError(
            f"{source} points outside its folder: {brief(name)}.",
            remedy="Take the checkpoint from a source that you trust.",
        )
    return folder.joinpath(*parts)


def _require_shards(index: Path, shards: Mapping[str, Path]) -> None:
    missing = []
    for name, path in shards.items():
        try:
            path.stat()
        except FileNotFoundError:
            missing.append(name)
        except OSError as error:
            reason = "a symbolic link in a circle" if error.errno == errno.ELOOP else error.strerror
            raise CheckpointError(
                f"The shard {brief(name)} of {index} cannot be read: {reason}.",
                remedy="Download it again.",
            ) from error
    if missing:
        listed = ", ".join(brief(name) for name in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise CheckpointError(
            f"{len(missing)} of the {len(shards)} shards of {index} are missing: {listed}{more}.",
            remedy="Finish the download.",
        )


def _open_shard(path: Path) -> NetworkParts:
    if is_safetensors(path):
        return NetworkParts(network=read_header(path)[0])
    if not is_torch(path):
        raise unknown(path, "safetensors or a torch file")
    contents = load_tree(path)
    parts: NetworkParts = guarded(
        path, lambda: find_network(contents.tree, path, contents.storages)
    )
    return parts
