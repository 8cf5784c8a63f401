"""A recorded value beside the one that was recomputed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: The other ranks of a sweep are recomputed from distances that were rounded to floats: the
#: record may be lower by this much, relative, and never higher.
SWEEP_SLACK = 1e-11


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A field of a report that is not what its other fields say.

    Attributes:
        where: the field, for example ``bounds[2].terms.kl_nats``.
        recorded: what the report holds; None where the field is missing or null.
        recomputed: what it should hold, or a statement of what was expected.
    """

    where: str
    recorded: Any
    recomputed: Any


@dataclass(slots=True)
class Comparison:
    """Counts what was compared.

    Attributes:
        checked: numbers, texts and nulls that were compared.
    """

    checked: int = 0

    def compare(self, recorded: Any, recomputed: Any, where: str) -> Iterator[Mismatch]:
        """Compare two trees of JSON, exactly.

        Args:
            recorded: from the report.
            recomputed: plain numbers, texts, lists and mappings.
            where: path of the tree.

        Yields:
            Every difference. A field that only one side has is a difference.
        """
        if isinstance(recomputed, Mapping) and isinstance(recorded, Mapping):
            for name in dict.fromkeys([*recomputed, *recorded]):
                path = f"{where}.{name}"
                if name not in recorded or name not in recomputed:
                    yield Mismatch(
                        where=path,
                        recorded=recorded.get(name),
                        recomputed=recomputed.get(name, "no such field"),
                    )
                else:
                    yield from self.compare(recorded[name], recomputed[name], path)
        elif _is_list(recomputed) and _is_list(recorded) and len(recomputed) == len(recorded):
            for index, pair in enumerate(zip(recorded, recomputed, strict=True)):
                yield from self.compare(*pair, f"{where}[{index}]")
        else:
            self.checked += 1
            slack = SWEEP_SLACK if ".sweep[" in where else 0.0
            if not _agree(recorded, recomputed, slack):
                yield Mismatch(where=where, recorded=recorded, recomputed=recomputed)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _agree(recorded: object, recomputed: object, slack: float) -> bool:
    if isinstance(recorded, bool) or isinstance(recomputed, bool):
        return recorded is recomputed
    if isinstance(recorded, int | float) and isinstance(recomputed, int | float):
        if recorded == recomputed:
            return True
        lowest = recomputed - slack * max(1.0, abs(recomputed)) if slack else recomputed
        return lowest <= recorded <= recomputed and math.isfinite(recorded)
    return recorded == recomputed
