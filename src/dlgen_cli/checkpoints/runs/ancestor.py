"""Weights that others go back to, told without paths: a record is as good as its weakest link."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Literal, cast

import msgspec
from torch import Tensor

from dlgen_cli.checkpoints.runs.run_config import AncestorFacts, AnchorFacts

#: Bytes of the hash of an image, and of what it looks like.
HASH_BYTES, LOOK_BYTES = 16, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """One file of weights, or one run; see `AncestorFacts`."""

    name: str
    sha256: str
    origin: Literal["declared", "initial", "run", "unbound"]
    source: str | None
    source_sha256: str | None
    examples: int
    hashes_sha256: str

    @property
    def is_weak(self) -> bool:
        """Whether only its giver knows what trained it."""
        return self.origin in ("declared", "unbound")

    @property
    def described(self) -> str:
        """Its name and what is weak about it, in one phrase."""
        weak = {
            "declared": "records no training",
            "unbound": "has a record of its training that no hash ties to it",
        }
        return f"{self.name}, sha256 {self.sha256[:12]}, {weak.get(self.origin, 'is on record')}"

    def facts(self) -> AncestorFacts:
        """As JSON holds it."""
        return cast("AncestorFacts", asdict(self))


def parse_ancestor(facts: object) -> Ancestor:
    """Read one back.

    Raises:
        ValueError: a key is missing or of another type.
    """
    try:
        return msgspec.convert(facts, Ancestor)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def recorded_ancestors(began: AnchorFacts) -> tuple[Ancestor, ...]:
    """The weights that a run began at, and all that they go back to.

    Args:
        began: as the run records it; where version 0.1 did, what these go back to is not known.
    """
    if began.get("ancestors"):
        return tuple(Ancestor(**one) for one in began["ancestors"])
    return (
        Ancestor(
            name=began["name"],
            sha256=began["sha256"],
            origin="declared" if began["origin"] == "declared" else "unbound",
            source=None,
            source_sha256=None,
            examples=began["examples"],
            hashes_sha256=began["hashes_sha256"],
        ),
    )


def digest_hashes(hashes: Tensor | None) -> str:
    """SHA-256 of the hashes of images, as hexadecimal digits; of no bytes for None."""
    content = b"" if hashes is None else hashes.contiguous().numpy().tobytes()
    return hashlib.sha256(content).hexdigest()
