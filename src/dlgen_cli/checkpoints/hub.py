"""Checkpoints of the Hugging Face Hub: ``hf://org/name[@revision][/file]``, weights only.

What the local cache of huggingface_hub holds is used as it is, without a connection; what it lacks
is downloaded into it. Only weights are fetched, never code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dlgen_cli.errors import CheckpointError, DependencyError

_SCHEME = "hf:"
#: Names that hold the whole network where a repository or a folder has them, the preferred first.
USUAL_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
#: Files beside a network that hold the state of its training.
BESIDE = re.compile(
    r"((optimizer|scheduler|scaler|training_args|rng_state.*)\.(pt|pth|bin)|.*optim_states\.pt)"
)
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_SECONDS_TO_ANSWER = 4.0
_PART = re.compile(r"[\w.-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A place on the Hub.

    Attributes:
        repository: ``org/name``, or ``name`` for one without an owner.
        revision: branch, tag or commit; None for the main branch.
        file: path in the repository; None for its weights.
    """

    repository: str
    revision: str | None
    file: str | None


def is_address(path: Path) -> bool:
    """Whether what the user gave is an address on the Hub and no file of that name."""
    return path.parts[:1] == (_SCHEME,) and not path.exists()


def parse_address(path: Path) -> Address:
    """Take an address apart.

    Raises:
        CheckpointError: it is none.
    """
    parts = list(path.parts[1:])
    where = next((at for at, part in enumerate(parts[:2]) if "@" in part), min(len(parts), 2) - 1)
    repository, file = parts[: where + 1], parts[where + 1 :]
    revision = None
    if repository and "@" in repository[-1]:
        repository[-1], _, revision = repository[-1].partition("@")
        revision = revision.replace("%2F", "/")
    words = [*repository, *file, *([] if revision is None else revision.split("/"))]
    if not repository or not all(_PART.fullmatch(word) and word.strip(".") for word in words):
        raise CheckpointError(
            f"{shown(path)} is no address on the Hub.",
            remedy="Give hf://org/name, hf://org/name@revision or hf://org/name/file.",
        )
    return Address(repository="/".join(repository), revision=revision, file="/".join(file) or None)


def shown(path: Path) -> str:
    """A path as the user gave it: a `Path` drops one of the slashes of an address."""
    return f"hf://{'/'.join(path.parts[1:])}" if path.parts[:1] == (_SCHEME,) else str(path)


def fetch(path: Path) -> Path:
    """The file of an address, in the cache of huggingface_hub.

    Raises:
        CheckpointError: the address is none, or it cannot be reached and is not in the cache.
        DependencyError: the huggingface_hub package is not installed.
    """
    address = parse_address(path)
    try:
        import huggingface_hub
    except ImportError as error:
        raise DependencyError(
            f"{shown(path)} needs the huggingface_hub package, which is not installed.",
            remedy="pip install 'dlgen[hf]'",
        ) from error
    cached = _cached(address, huggingface_hub)
    if cached is not None:
        return cached
    try:
        return _download(address, huggingface_hub, shown(path))
    except CheckpointError:
        raise
    except Exception as error:  # of the network, of the Hub's answer, of its client
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{shown(path)} is not in the cache and cannot be downloaded ({reason}).",
            remedy="Check the name and the connection, or download it elsewhere.",
        ) from error


def choose(names: Iterable[str]) -> str | None:
    """The file with the weights of a repository; None where there is none, or more than one.

    Args:
        names: paths in the repository.
    """
    top = [name for name in names if "/" not in name]
    usual = next((name for name in USUAL_FILES if name in top), None)
    if usual is not None:
        return usual
    indices = [name for name in top if name.endswith(".index.json")]
    weights = [name for name in top if name.endswith(_WEIGHTS) and not BESIDE.fullmatch(name)]
    candidates = indices or weights
    return candidates[0] if len(candidates) == 1 else None


def _cached(address: Address, package: Any) -> Path | None:
    """The file where the cache has it whole, with its shards."""
    try:
        folder = Path(
            package.snapshot_download(
                address.repository, revision=address.revision, local_files_only=True
            )
        )
    except Exception:  # not there, or not to be read: it will be downloaded
        return None
    name = address.file or choose(entry.name for entry in folder.iterdir())
    if name is None or not (folder / name).is_file():
        return None
    file = folder / name
    return file if all(shard.is_file() for shard in _shards(file)) else None


def _download(address: Address, package: Any, asked: str) -> Path:
    # this one request is never repeated: where there is no connection, it is soon known
    facts = package.HfApi().model_info(
        address.repository, revision=address.revision, timeout=_SECONDS_TO_ANSWER
    )
    listed = [one.rfilename for one in facts.siblings or ()]
    name = address.file or choose(listed)
    if name is None:
        found = ", ".join(one for one in listed if one.endswith(_WEIGHTS)) or "no weights"
        raise CheckpointError(
            f"{asked} holds {found[:200]}; one file with weights, or the index of its shards, was "
            "expected.",
            remedy=f"Name the file: {asked}/FILE.",
        )

    def get(one: str) -> Path:
        return Path(package.hf_hub_download(address.repository, one, revision=address.revision))

    file = get(name)
    for shard in _shards(file):
        get((PurePosixPath(name).parent / shard.relative_to(file.parent)).as_posix())
    return file


def _shards(file: Path) -> list[Path]:
    """The files that an index names; none where it is no index."""
    if not file.name.endswith(".index.json"):
        return []
    from dlgen_cli.checkpoints.formats.sharded import inside, read_index  # it imports torch

    return [inside(file.parent, one, file) for one in sorted(set(read_index(file).values()))]
