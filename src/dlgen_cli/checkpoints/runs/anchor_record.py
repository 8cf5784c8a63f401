"""What an anchors file of ``dlgen anchors`` tells of itself, in its header."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args

from dlgen_cli.checkpoints.json_text import parse_object
from dlgen_cli.checkpoints.runs.ancestor import (
    HASH_BYTES,
    LOOK_BYTES,
    Ancestor,
    parse_ancestor,
)
from dlgen_cli.errors import CheckpointError

#: Where an anchor's tensors come from: ``declared`` of a file that records no training.
Origin = Literal["declared", "initial", "run"]
Head = Literal["keep", "zero", "rows"]

ANCHOR_SCHEMA = "dlgen-anchor-1"
_RECORD_KEY = "dlgen_anchor"
_HASHES_KEY = "dlgen_anchor_hashes"
_LOOKS_KEY = "dlgen_anchor_looks"
_INDICES_KEY = "dlgen_anchor_indices"
_INDEX_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorStep:
    """One call of ``dlgen anchors``.

    Attributes:
        file: name of the source, without its folders.
        sha256: of the source, as `Checkpoint.sha256`.
        head: what became of the last layer.
        rows: of the source's last layer that were averaged, by class in order; empty elsewhere.
    """

    file: str
    sha256: str
    head: Head
    rows: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRecord:
    """The origin of an anchor.

    Attributes:
        origin: ``run`` where examples on record trained it, ``initial`` where it is a run's own
            random initialization, ``declared`` where nothing is on record.
        architecture: its name.
        arguments: of its constructor.
        input_shape: of one example; None where it is not on record.
        steps: how the file was made, the oldest first.
        source: what the data of the run are called; None without a run.
        hashes: of the images that trained it, 16 bytes each; empty where none are on record.
        looks: of the same images, 14 bytes each; of fewer where not all are on record.
        indices: where they stood in their source, as little-endian int64, -1 for images drawn at
            random; of fewer where not all are on record.
        ancestors: all weights that it goes back to, its source first.
        tensors_sha256: of the file after its header; empty in a file of version 0.1.
    """

    origin: Origin
    architecture: str
    arguments: Mapping[str, Any]
    input_shape: tuple[int, ...] | None
    steps: Sequence[AnchorStep]
    ancestors: Sequence[Ancestor]
    source: str | None = None
    hashes: bytes = b""
    looks: bytes = b""
    indices: bytes = b""
    tensors_sha256: str = ""

    @property
    def examples(self) -> int:
        """How many images trained it."""
        return len(self.hashes) // HASH_BYTES

    @property
    def description(self) -> str:
        """Where its tensors come from, in one phrase."""
        made = {
            "keep": "",
            "zero": ", head zero",
            "rows": ", head averaged from rows that were named for each class",
        }
        start = "initialization of " if self.origin == "initial" else ""
        return start + self.steps[0].file + "".join(made[step.head] for step in self.steps)

    @property
    def hashes_sha256(self) -> str:
        """Digest of ``hashes``."""
        return hashlib.sha256(self.hashes).hexdigest()


def record_metadata(record: AnchorRecord) -> dict[str, str]:
    """The record as texts of a safetensors header."""
    facts = {
        "schema": ANCHOR_SCHEMA,
        "origin": record.origin,
        "architecture": record.architecture,
        "architecture_arguments": dict(record.arguments),
        "input_shape": None if record.input_shape is None else list(record.input_shape),
        "steps": [
            {
                "file": step.file,
                "sha256": step.sha256,
                "head": step.head,
                "rows": [[name, list(places)] for name, places in step.rows.items()],
            }
            for step in record.steps
        ],
        "source": record.source,
        "examples": record.examples,
        "hashes_sha256": record.hashes_sha256,
        "ancestors": [one.facts() for one in record.ancestors],
        "tensors_sha256": record.tensors_sha256,
    }
    return {
        _RECORD_KEY: json.dumps(facts, sort_keys=True),
        _HASHES_KEY: base64.b64encode(record.hashes).decode(),
        _LOOKS_KEY: base64.b64encode(record.looks).decode(),
        _INDICES_KEY: base64.b64encode(record.indices).decode(),
    }


def read_record(metadata: Mapping[str, str], where: str) -> AnchorRecord | None:
    """The record in a header; None in a file of another origin.

    Args:
        metadata: texts by name.
        where: names the file in messages.

    Raises:
        CheckpointError: the record is damaged, or its hashes are not those that it counts.
    """
    text = metadata.get(_RECORD_KEY)
    if text is None:
        return None
    try:
        facts = parse_object(text.encode())
        keys = (_HASHES_KEY, _LOOKS_KEY, _INDICES_KEY)
        lists = [base64.b64decode(metadata.get(key, ""), validate=True) for key in keys]
        return _parse(facts, *lists)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"The header of {where} has a damaged record of an anchor "
            f"({type(error).__name__}: {' '.join(str(error).split())[:120]}).",
            remedy="Make the file again with `dlgen anchors`.",
        ) from error


def _parse(facts: Mapping[str, Any], hashes: bytes, looks: bytes, indices: bytes) -> AnchorRecord:
    shape, source = facts["input_shape"], facts["source"]
    record = AnchorRecord(
        origin=facts["origin"],
        architecture=facts["architecture"],
        arguments=dict(facts["architecture_arguments"]),
        input_shape=None if shape is None else tuple(shape),
        steps=tuple(
            AnchorStep(
                file=step["file"],
                sha256=step["sha256"],
                head=step["head"],
                rows={name: tuple(places) for name, places in step["rows"]},
            )
            for step in facts["steps"]
        ),
        source=source,
        hashes=hashes,
        looks=looks,
        indices=indices,
        ancestors=_ancestors(facts),
        tensors_sha256=facts.get("tensors_sha256", ""),
    )
    if facts["schema"] != ANCHOR_SCHEMA or record.origin not in get_args(Origin):
        _refuse("an unknown schema or origin")
    if not record.steps or not {step.head for step in record.steps} <= set(get_args(Head)):
        _refuse("unknown steps")
    if not isinstance(record.architecture, str) or not isinstance(source, str | None):
        _refuse("a name that is no text")
    if not all(isinstance(size, int) and size > 0 for size in record.input_shape or ()):
        _refuse("an impossible input shape")
    if len(looks) % LOOK_BYTES or bool(record.tensors_sha256) != ("ancestors" in facts):
        _refuse("looks or ancestors that are not whole")
    if len(indices) % _INDEX_BYTES:
        _refuse("indices that are not whole")
    if len(hashes) % HASH_BYTES or (record.examples > 0) != (record.origin == "run"):
        _refuse("hashes that do not fit its origin")
    if (facts["examples"], facts["hashes_sha256"]) != (record.examples, record.hashes_sha256):
        _refuse("other hashes than it counts")
    return record


def _ancestors(facts: Mapping[str, Any]) -> tuple[Ancestor, ...]:
    """Those on record; version 0.1 recorded none, so that what its source goes back to is open."""
    if "ancestors" in facts:
        found = tuple(parse_ancestor(one) for one in facts["ancestors"])
        if not found:
            _refuse("no ancestor")
        return found
    first = facts["steps"][0]
    return (
        Ancestor(
            name=first["file"],
            sha256=first["sha256"],
            origin="declared" if facts["origin"] == "declared" else "unbound",
            source=facts["source"],
            source_sha256=None,
            examples=facts["examples"],
            hashes_sha256=facts["hashes_sha256"],
        ),
    )


def _refuse(found: str) -> NoReturn:
    raise ValueError(found)
