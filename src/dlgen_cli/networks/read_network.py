"""What is known of the network in a checkpoint, as a graph or as a chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dlgen_cli.networks.graph import Network
from dlgen_cli.networks.layouts import Recipe
from dlgen_cli.networks.layouts.weight import Role
from dlgen_cli.records import SkippedLayer

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadNetwork:
    """A network with the means to read its tensors.

    Attributes:
        network: nodes and layers.
        structure: ``graph`` where the network was traced, ``chain`` where its matrices are taken
            one after another.
        architecture: its name; None where unknown, and where the checkpoint holds its program.
        tensors: the state dict.
        skipped: what no layer accounts for, with reasons: a bound of the network needs it.
        counters: what the network's evaluation does not read, with reasons.
        obstacle: why no bound can speak of the network as it was read; None where one can.
        tied: stored tensors that are another one under a second name, with the first one.
        roles: what each stored tensor is that no layer reads: a parameter that bounds count, known
            to be none, or not understood. Those of a traced network are not read in evaluation.
        applied: weights of a chain that are not what is stored, whole, by name: quantised entries
            with their scale, or masked ones.
        module: what was traced, where it was given itself or made by the user's code or arguments,
            or by the program of the checkpoint; None where its name alone makes it.
    """

    network: Network
    structure: Literal["graph", "chain"]
    architecture: str | None
    tensors: Mapping[str, Tensor]
    skipped: Sequence[SkippedLayer]
    counters: Sequence[SkippedLayer]
    obstacle: str | None
    tied: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    applied: Mapping[str, Recipe] = field(default_factory=dict)
    module: nn.Module | None = None

    @property
    def not_understood(self) -> list[SkippedLayer]:
        """Stored tensors that may be weights in a form that is not known, with reasons."""
        return [one for one in self.skipped if self.roles.get(one.name) == "unknown"]
