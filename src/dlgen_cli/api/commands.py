"""The functions: what the commands of the command line do, from Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Unpack

from torch import Tensor

from dlgen_cli import files, verification
from dlgen_cli.api.data import LabelledData, in_memory
from dlgen_cli.api.network import Network, as_files, given_by
from dlgen_cli.api.report import Report
from dlgen_cli.api.settings import AnchorSettings, AuditSettings, CertifySettings
from dlgen_cli.audit.audit import audit as run_audit
from dlgen_cli.audit.certify import certify as run_certify
from dlgen_cli.audit.compare import compare
from dlgen_cli.audit.compress import compress as run_compress
from dlgen_cli.audit.make_anchor import AnchorOptions
from dlgen_cli.audit.make_anchor import make_anchor as run_make_anchor
from dlgen_cli.audit.series import measure_series as run_series
from dlgen_cli.bounds import explanation
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import Family
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.datasets import SourceData
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.options import AuditOptions, DataOptions

_OF_DATA = tuple(CertifySettings.__annotations__.keys() - AuditSettings.__annotations__.keys())


def measure(
    network: Network, *, against: Network | None = None, **settings: Unpack[AuditSettings]
) -> Report:
    """Measure every layer: spectral norm, stable rank, rank-r truncation error.

    Args:
        network: a path, a state dict or a module.
        against: another network, to measure the distance of every layer from.
        **settings: see `AuditSettings`.

    Returns:
        A report with ``layers`` and without bounds, as of ``dlgen spectra``.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    with ExitStack() as stack:
        options = _options(network, settings, stack)
        if against is None:
            return Report(run_audit(options, command="spectra"))
        (path,) = stack.enter_context(as_files(against))
        return Report(compare(options, path, progress=_quiet))


def measure_series(networks: Sequence[str | Path], **settings: Unpack[AuditSettings]) -> Report:
    """Measure every layer of several checkpoints of one training, by their steps.

    Args:
        networks: two or more paths.
        **settings: see `AuditSettings`.

    Returns:
        A report with ``results["series"]``, a row for each step, as of ``dlgen spectra A B C``.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    paths = [Path(one) for one in networks]
    with ExitStack() as stack:
        options = _options(paths[0] if paths else "", settings, stack)
        return Report(run_series(options, paths, progress=_quiet))


def audit(
    network: Network,
    *,
    families: Sequence[Family] | None = None,
    **settings: Unpack[AuditSettings],
) -> Report:
    """Evaluate every bound that the inputs allow, as ``dlgen audit`` does.

    Args:
        network: a path, a state dict or a module.
        families: ``compression``, ``pac_bayes``, ``rademacher``; by default all, PAC-Bayes where
            there is an anchor.
        **settings: see `AuditSettings`.

    Returns:
        A report with ``layers``, ``bounds`` and a ``headline``.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    with ExitStack() as stack:
        options = _options(network, settings, stack)
        if families is None:
            anchored: tuple[Family, ...] = ("pac_bayes",) if options.has_anchor else ()
            families = ("compression", *anchored, "rademacher")
        return Report(run_audit(options, command="audit", families=families))


def certify(
    network: Network,
    data: str | Path | LabelledData = "",
    *,
    holdout: LabelledData | None = None,
    **settings: Unpack[CertifySettings],
) -> Report:
    """Evaluate every certificate that applies, as ``dlgen certify`` does; the best is named.

    Args:
        network: a path, a state dict or a module.
        data: ``digits``, ``cifar10``, a directory of images; or what the network was trained on,
            in memory: inputs and labels as a pair of arrays or tensors, or a `Dataset`. Inputs
            are uint8 images, of which the network is given a 255th, or floating-point numbers
            as the network takes them. Left out where ``features`` are given.
        holdout: with data in memory, examples that neither training nor any choice has seen.
        **settings: see `CertifySettings`.

    Returns:
        A report with ``bounds``, ``headline``, and the errors among ``results``.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    source: str | SourceData
    if isinstance(data, str | Path):
        if holdout is not None:
            raise UsageError(f"holdout was given beside {data}.", remedy="It has its own test set.")
        source = str(data)
    elif holdout is None:
        raise UsageError(
            "Data in memory were given without a holdout.",
            remedy="Give holdout=(X, y), examples that neither training nor any choice has seen.",
        )
    else:
        source = in_memory(data, holdout)
    given: dict[str, Any] = {"b": "auto", **settings}
    chosen = {name: given.pop(name) for name in _OF_DATA if name in given}
    shape = None
    if isinstance(source, SourceData):
        shape = tuple(source.train.images.shape[1:])
        given.setdefault("m", len(source.train))
    with ExitStack() as stack:
        options = _options(network, given, stack, shape)
        return Report(
            run_certify(options, DataOptions(data=source, **chosen), layer_progress=_quiet)
        )


def compress(
    network: Network,
    out: str | Path,
    *,
    ranks: Mapping[str, int | None] | None = None,
    dense: bool = False,
    **settings: Unpack[AuditSettings],
) -> Report:
    """Write the network that a compression bound speaks of, as ``dlgen compress`` does.

    Args:
        network: a path, a state dict or a module.
        out: the file that is written: safetensors, or ``.pt`` where ``dense``.
        ranks: of some layers by name, None to store one whole.
        dense: write the decoded weights as a plain state dict, which loads elsewhere.
        **settings: see `AuditSettings`.

    Returns:
        A report with the bound on what was stored.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    with ExitStack() as stack:
        options = _options(network, settings, stack)
        made = run_compress(options, ranks=ranks, file=str(out), dense=dense, progress=_quiet)
    files.write_whole(Path(out), made.content)
    return Report(made.report)


def read_state_dict(path: str | Path, *, part: str | None = None) -> dict[str, Tensor]:
    """Read the tensors of any checkpoint that dlgen reads, without running code.

    Args:
        path: whatever the command line takes; the factors that ``dlgen compress`` wrote are
            multiplied out.
        part: of a file that holds several networks.

    Returns:
        Tensors by name, on the CPU: factors as float64, others in their stored type.

    Raises:
        DlgenError: the file cannot be read; TensorError names a tensor that is not dense, or has
            NaN or infinite entries.
    """
    checkpoint = open_checkpoint(Path(path), part=part)
    return {name: checkpoint.read(name) for name in checkpoint.tensors}


def make_anchor(source: str | Path, out: str | Path, **settings: Unpack[AnchorSettings]) -> Report:
    """Make an anchors file: a network with a head for your classes, and what trained it.

    Args:
        source: pretrained weights, a directory of ``dlgen train``, or another anchors file.
        out: the safetensors file that is written.
        **settings: see `AnchorSettings`.

    Returns:
        A report of what was done.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    _require_known(settings, AnchorSettings)
    made = run_make_anchor(AnchorOptions(source=Path(source), **settings), file=str(out))
    files.write_whole(Path(out), made.content)
    return Report(made.report)


def verify(report: str | Path | Report) -> verification.Verification:
    """Recompute every bound of a report from the numbers in it, offline.

    Args:
        report: a saved JSON file, or a report.

    Returns:
        ``bounds``, ``checked`` and ``mismatches``, which is empty for a sound report.

    Raises:
        ReportFileError: the file is no report.
    """
    if isinstance(report, Report):
        return verification.verify(Fields(json.loads(report.to_json())))
    return verification.verify(verification.read_report(Path(report)))


def explain(name: str | None = None, report: str | Path | Report | None = None) -> str:
    """What a theorem, a status or a word says, as Markdown.

    Args:
        name: as ``dlgen explain`` lists it; None for that list.
        report: a saved JSON file, or a report: its bounds are worked out line by line.

    Raises:
        UsageError: there is no such theorem, or the report holds no bound of it.
    """
    if report is None:
        return explanation.overview() if name is None else explanation.explain(name)
    if isinstance(report, Report):
        fields = Fields(json.loads(report.to_json()))
    else:
        fields = verification.read_report(Path(report))
    parts = [explanation.worked(bound) for bound in explanation.bounds_of(fields, name)]
    return "\n".join(parts if name is None else [explanation.explain(name), *parts])


def _options(
    network: Network,
    settings: Mapping[str, Any],
    stack: ExitStack,
    example_shape: tuple[int, ...] | None = None,
) -> AuditOptions:
    """The options of an audit; anchors in memory are files until the stack is closed."""
    _require_known(settings, AuditSettings)
    chosen = {**settings, **given_by(network, settings, example_shape)}
    if "b" in chosen:
        chosen["b"] = None if chosen["b"] == "auto" else _require_width(chosen["b"])
    if isinstance(chosen.get("sigma"), int | float):
        chosen["sigma"] = (chosen["sigma"],)
    if "anchors" in chosen:
        chosen["anchors"] = stack.enter_context(as_files(chosen["anchors"]))
    if chosen.get("input_shape") is not None:
        chosen["input_shape"] = tuple(chosen["input_shape"])
    return AuditOptions(**chosen)


def _require_known(settings: Mapping[str, Any], known: type) -> None:
    names = known.__annotations__
    for name in settings:
        if name not in names:
            raise UsageError(
                f"There is no option {name!r}.", remedy=f"Known are {', '.join(names)}."
            )


def _require_width(value: object) -> int:
    if not isinstance(value, int):
        raise UsageError(f"b is {value!r}; a whole number or 'auto' was expected.")
    return value


def _quiet(_what: str, _done: int, _total: int) -> None:
    """Report nothing."""
