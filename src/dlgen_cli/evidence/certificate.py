"""A certificate on the risk of a checkpoint's predictor, and what it is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.monte_carlo import DrawProgress
from dlgen_cli.evidence.options import DataOptions
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.files import write_whole
from dlgen_cli.records import Bound


def _no_facts(_bound: Bound) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A theorem on the risk, with everything but delta that it is evaluated from.

    Attributes:
        theorem: its name, for example ``pac_bayes.kl``.
        evaluate: the bound that fails with at most this probability, in (0, 1), any Monte Carlo
            step included; a `UsageError` where that step alone is to fail with that probability.
        errors: 0-1 errors of the network without noise on parts of the data, see
            `Samples.parts`, as far as the theorem counted them.
        facts: what the report's results say of the evaluated bound.
        files: what is written beside the report, by path.
    """

    theorem: str
    evaluate: Callable[[float], Bound]
    errors: Mapping[str, int] = field(default_factory=dict)
    facts: Callable[[Bound], Mapping[str, Any]] = _no_facts
    files: Mapping[Path, bytes] = field(default_factory=dict)


def write_files(certificates: Sequence[Certificate]) -> None:
    """Write what the certificates speak of, each file whole or not at all.

    Raises:
        OutputError: a file cannot be written.
    """
    for one in certificates:
        for path, content in one.files.items():
            write_whole(path, content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a certificate is made from.

    Attributes:
        inputs: checkpoint and network.
        samples: the examples that errors are counted on.
        data: what the user asked of a certificate.
        delta: about the failure probability that the certificate is evaluated at.
        progress: is called with the draws of weights that are done, and with all.
    """

    inputs: Inputs
    samples: Samples
    data: DataOptions
    delta: float
    progress: DrawProgress | None = None


#: Counts and measures all that one theorem needs.
Maker = Callable[[Evidence], Certificate]
