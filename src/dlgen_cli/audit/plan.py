"""What the families of theorems draw on, and what they hand back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dlgen_cli.audit.measuring import Measured
from dlgen_cli.audit.options import AuditOptions
from dlgen_cli.records import Assumption, Bound

if TYPE_CHECKING:
    from dlgen_cli.checkpoints import Checkpoint
    from dlgen_cli.networks import ReadNetwork

Family = Literal["compression", "pac_bayes", "rademacher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the families draw on.

    Attributes:
        options: what the user asked for.
        checkpoint: named tensors.
        read: the network in it.
        layers: what was measured; empty where no family needs it.
        m: sample count in force.
        sample: the ledger's lines about the sample.
    """

    options: AuditOptions
    checkpoint: Checkpoint
    read: ReadNetwork
    layers: Sequence[Measured]
    m: int
    sample: Sequence[Assumption]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A family, ready to be evaluated at any delta.

    Attributes:
        settings: the options in force, for the report.
        evaluate: all bounds of the family at a failure probability each.
        preferred: the theorem that stands for the family, fixed before any value is seen.
    """

    settings: Mapping[str, Any]
    evaluate: Callable[[float], Sequence[Bound]]
    preferred: str
