"""A theorem of the registry: its statement, how its bounds conclude, how one is read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from dlgen_cli.bounds.arithmetic import log10, to_float
from dlgen_cli.bounds.derivations.derivation import Step
from dlgen_cli.bounds.explanation_text import explanation_of
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.records import Assumption, Bound, BoundStatus

Family = Literal["compression", "disagreement", "holdout", "mean", "pac_bayes", "rademacher"]
#: From recorded terms to the lines of the bound.
Derive = Callable[[Fields], Sequence[Step]]
#: From recorded terms, a failure probability and the ledger to the bound.
ReadBack = Callable[[Fields, float, Sequence[Assumption]], Bound]
#: Terms of evaluated bounds, one for each family, that are numbers wherever they are.
_ALWAYS_A_NUMBER = ("bits", "sigma", "shell")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the terms that a bound is said to be made of.

    Attributes:
        term: its name in `Bound.terms`.
        phrase: how it is said, with ``{}`` for the number.
        kind: how the number is written: rounded up, as a count, or as it was typed.
    """

    term: str
    phrase: str
    kind: Literal["upper", "count", "setting"] = "upper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Theorem:
    """What every stage knows of one theorem.

    Attributes:
        name: stable identifier, its family first.
        family: the theorems that it stands beside.
        title: one line for a reader.
        speaks_of: whose gap or whose risk it bounds, and in which loss.
        source: where it stands.
        evaluate: the statement: numbers in, `Bound` out.
        read_back: the statement again, from the terms that it recorded; raises UnusableField
            where they are missing or impossible.
        made_of: the terms that tell a reader most.
        sample: whether its ``examples`` are all m of the setting, some of them, or others.
        contradicted_by: what of the errors on record could contradict it: the network's
            ``real_risk``, on real examples; its ``gap`` in the 0-1 error, on its own population;
            the least risk of ``any`` predictor on that population; None where nothing can, as for
            a gap of which only one side is on record.
        is_rechosen: ranks or widths are chosen anew at every delta, so that at another delta the
            terms on record give no more than an upper bound on its value.
        required_terms: what says that a price was paid: a bound without them is one of schema 1.
        empty_terms: the terms of a bound that is withheld; None where it never is.
        derive: works the bound out from its recorded terms, line by line; None where it does not.
    """

    name: str
    family: Family
    title: str
    speaks_of: str
    source: str
    evaluate: Callable[..., Bound]
    read_back: ReadBack
    made_of: tuple[Part, ...]
    sample: Literal["whole", "part", "apart"] = "whole"
    contradicted_by: Literal["real_risk", "gap", "any"] | None = None
    is_rechosen: bool = False
    required_terms: tuple[str, ...] = ()
    empty_terms: Mapping[str, Any] | None = None
    derive: Derive | None = None

    def conclude(
        self,
        *,
        value: Decimal | None,
        terms: Mapping[str, Any],
        assumptions: Iterable[Assumption],
        title: str | None = None,
        show_invalid: bool = False,
    ) -> Bound:
        """Turn an evaluation into a record with its status.

        Args:
            value: upper bound, at least 0; None where nothing could be computed.
            terms: the numbers that the value is made of.
            assumptions: the ledger. A violated line withholds the value.
            title: one line for a reader; the theorem's own by default.
            show_invalid: keep the value of a statement whose assumptions are violated, for
                comparison only; its status is ``not_applicable`` all the same.

        Returns:
            ``not_applicable`` without a value where an assumption is violated or nothing was
            computed, ``vacuous`` at 1 or more; below, ``conditional`` where a line is assumed and
            ``holds`` where none is.
        """
        ledger = tuple(assumptions)
        status: BoundStatus
        if value is None or any(line.status == "violated" for line in ledger):
            status = "not_applicable"
            value = value if show_invalid else None
        elif value >= 1 or to_float(value) == 1:
            status = "vacuous"
        else:
            is_assumed = any(line.status == "assumed" for line in ledger)
            status = "conditional" if is_assumed else "holds"
        return Bound(
            theorem=self.name,
            title=self.title if title is None else title,
            status=status,
            value=None if value is None else to_float(value),
            log10_value=None if value is None else log10(value),
            terms=terms,
            assumptions=ledger,
            source=self.source,
        )

    def withheld(self, assumptions: Sequence[Assumption]) -> Bound:
        """A bound that does not apply: its terms are there and empty.

        They would be those of a smaller network, so they are not evaluated.

        Args:
            assumptions: the ledger, with the line that is violated.
        """
        return self.conclude(value=None, terms=self.empty_terms or {}, assumptions=assumptions)

    def recompute(self, terms: Fields, delta: float, assumptions: Sequence[Assumption]) -> Bound:
        """The bound from its recorded terms, evaluated or withheld.

        Args:
            terms: as recorded.
            delta: failure probability; not read where the bound was withheld.
            assumptions: the ledger; the theorem's own lines come after them.

        Raises:
            UnusableField: a term is missing or impossible.
            UsageError: a number is outside the theorem's range.
        """
        if self.empty_terms is not None and is_withheld(terms):
            return self.withheld(assumptions)
        return self.read_back(terms, delta, assumptions)

    def explain(self) -> str:
        """The theorem for a reader, in Markdown: title, statement, source."""
        return f"# {self.title}\n\n{explanation_of(self.name)}\n\n## Source\n\n{self.source}.\n"


def sides_terms(sides: int) -> dict[str, int]:
    """The term ``sides`` of a one-sided statement; nothing for one that pays for two sides."""
    return {"sides": 1} if sides == 1 else {}


def read_sides(terms: Fields) -> int:
    """1 or 2; terms that do not tell are those of a statement that pays for two sides."""
    return 1 if terms.get("sides") == 1 else 2


def is_withheld(terms: Fields) -> bool:
    """Whether recorded terms are those of `Theorem.withheld`."""
    return any(one in terms.values and terms.get(one) is None for one in _ALWAYS_A_NUMBER)
