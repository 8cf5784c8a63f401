"""Measurements kept on disk by the content that they were taken of.

An entry is found by a digest of everything that its numbers depend on, and holds the digest of its
own text: one that is damaged or belongs elsewhere is measured again and rewritten. Floats are
written so that they read back to the bit. A cache that cannot be read or written is no error.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from dlgen_cli import __version__
from dlgen_cli.files import replace_file
from dlgen_cli.networks import EffectiveLayer
from dlgen_cli.records import Interval, LayerSpectrum, Truncation

Spectra = tuple[LayerSpectrum, LayerSpectrum]

#: Changed whenever the same tensors may give other numbers.
_EDITION = 2
_MOST_BYTES = 256 * 2**20
_HASHED_AT_ONCE = 1 << 24  # entries


def cache_directory() -> Path:
    """``DLGEN_CACHE_DIR``, else ``dlgen`` in the folder that the platform keeps caches in."""
    own = os.environ.get("DLGEN_CACHE_DIR")
    if own:
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dlgen"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "dlgen" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dlgen"


class MeasurementCache:
    """Measured layers in one folder, the least recently used dropped beyond 256 MiB."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "layers"

    def recall(self, key: str, name: str, measure: Callable[[], Spectra]) -> Spectra:
        """The measurements under a key; taken and kept where there are none.

        Args:
            key: of `measurement_key`.
            name: the layer's, which is no part of the key.
            measure: takes them: the layer as it is stored and as it is applied.
        """
        path = self._directory / f"{key}.json"
        found = _read(path, key)
        if found is None:
            found = measure()
            _write(path, key, found)
        return replace(found[0], name=name), replace(found[1], name=name)

    def trim(self) -> None:
        """Drop what has not been used for longest, until the rest fits."""
        with suppress(OSError):
            entries = [(one.stat(), one) for one in self._directory.glob("*.json")]
            total = sum(status.st_size for status, _ in entries)
            for status, path in sorted(entries, key=lambda entry: entry[0].st_mtime):
                if total <= _MOST_BYTES:
                    break
                path.unlink(missing_ok=True)
                total -= status.st_size


def measurement_key(maps: Iterable[EffectiveLayer], **settings: object) -> str:
    """Digest of all that the numbers of a layer depend on.

    Args:
        maps: the layer as it is stored and, where that differs, as it is applied: tensors, hashed,
            and facts, but for names.
        settings: what else the measurement depends on.
    """
    digest = hashlib.sha256()
    versions = [__version__, _EDITION, torch.__version__, torch.backends.cpu.get_cpu_capability()]
    digest.update(json.dumps([versions, sorted(settings.items())]).encode())
    for one in maps:
        facts = asdict(replace(one.layer, name="", module="", batch_norm=None))
        for field in fields(one):
            value = getattr(one, field.name)
            tensors = value if isinstance(value, tuple) else (value,)
            if all(isinstance(tensor, torch.Tensor) for tensor in tensors):
                for tensor in tensors:
                    _hash_tensor(tensor, digest)
            elif field.name != "layer":
                facts[field.name] = value
        digest.update(json.dumps(facts, default=str).encode())
    return digest.hexdigest()


def _hash_tensor(tensor: torch.Tensor, digest: Any) -> None:
    digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    for some in torch.split(tensor.detach().cpu().reshape(-1), _HASHED_AT_ONCE):
        digest.update(some.contiguous().view(torch.uint8).numpy())


def _read(path: Path, key: str) -> Spectra | None:
    """What an entry holds; None where there is none or it is damaged."""
    try:
        entry = json.loads(path.read_bytes())
        if entry["digest"] != _text_digest(key, entry["text"]):
            return None
        stored, applied = json.loads(entry["text"])
        found = _spectrum(stored), _spectrum(applied)
        path.touch()  # it was used
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found


def _write(path: Path, key: str, spectra: Spectra) -> None:
    text = json.dumps([asdict(replace(one, name="")) for one in spectra])
    content = json.dumps({"digest": _text_digest(key, text), "text": text})
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, content.encode())


def _text_digest(key: str, text: str) -> str:
    return hashlib.sha256(f"{key} {text}".encode()).hexdigest()


def _spectrum(found: dict[str, Any]) -> LayerSpectrum:
    return LayerSpectrum(**{name: _record(value) for name, value in found.items()})


def _record(value: Any) -> Any:
    """The records that `dataclasses.asdict` took apart; its lists were tuples."""
    if isinstance(value, list):
        return tuple(_record(one) for one in value)
    if isinstance(value, dict):
        return Interval(**value) if value.keys() == {"lower", "upper"} else Truncation(**value)
    return value
