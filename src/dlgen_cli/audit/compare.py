"""Two checkpoints side by side: how far each weight of one is from that of the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from dlgen_cli.audit.report import report_of
from dlgen_cli.checkpoints.checkpoint import prefix_remedy, without_prefix
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.devices import resolve_float64_device, threads_for
from dlgen_cli.errors import TensorError, UsageError
from dlgen_cli.evidence.inputs import Inputs, read_inputs
from dlgen_cli.evidence.layers import Progress
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.networks import GraphLayer, ReadNetwork, effective_layer, read_network
from dlgen_cli.records import ADAPTER_KIND, Interval, Report
from dlgen_cli.spectra import distance, norms


def compare(options: AuditOptions, against: Path, *, progress: Progress) -> Report:
    """Measure a checkpoint, and the distance of each of its weights from another one's.

    Layers are matched by name. Weights are compared as they are applied, parametrizations
    resolved, but before batch normalization is folded.

    Args:
        options: the checkpoint and what to measure of it.
        against: the other checkpoint, whose norms the distances are relative to.
        progress: called before each layer.

    Returns:
        The report of ``dlgen spectra`` with ``results["against"]``: the distances, the largest
        relative one first, and what could not be compared.

    Raises:
        UsageError: no layer has a counterpart.
        DlgenError: bad input; one subclass for each kind.
    """
    inputs = read_inputs(options, with_layers=True, for_bounds=False, progress=progress)
    names = inputs.checkpoint.tensors
    checkpoint = without_prefix(open_checkpoint(against), names, options.prefix)
    read = inputs.read
    other = read_network(
        checkpoint,
        arch=options.arch
        or (
            read.architecture if read.structure == "graph" and not checkpoint.architecture else None
        ),
        input_shape=options.input_shape or _input_shape(read),
        include=options.include,
        exclude=options.exclude,
        module=read.module,
    )
    compared = _compare_layers(inputs, other, progress)
    if not compared["layers"] and not compared["mismatched"]:
        raise UsageError(
            f"No layer of {options.checkpoint} has the name of one in {against}: the first are "
            f"{next(iter(read.network.layers))} and {next(iter(other.network.layers))}.",
            remedy=prefix_remedy(names, checkpoint.tensors)
            or "Compare checkpoints of the same architecture.",
        )
    return report_of(
        inputs,
        command="spectra",
        settings={"m": inputs.m, "delta": options.delta, "r": options.r, "against": str(against)},
        results={
            "against": {
                "checkpoint": str(against),
                "format": checkpoint.format,
                "sha256": checkpoint.sha256,
                **compared,
            }
        },
    )


def _input_shape(read: ReadNetwork) -> tuple[int, ...] | None:
    return read.network.input_shape if read.structure == "graph" else None


def _compare_layers(inputs: Inputs, other: ReadNetwork, progress: Progress) -> dict[str, Any]:
    device = resolve_float64_device(inputs.options.device)
    own = [layer.stored.name for layer in inputs.layers]
    left_out = {one.name for one in other.skipped}
    theirs = {name: one for name, one in other.network.layers.items() if name not in left_out}
    rows, mismatched = [], []
    for done, name in enumerate(own):
        progress(f"against: {name}", done, len(own))
        layer = inputs.read.network.layers[name]
        if name not in theirs:
            continue
        if not _are_comparable(layer, theirs[name]):
            mismatched.append(
                {
                    "name": name,
                    "shape": layer.weight_shape,
                    "against_shape": theirs[name].weight_shape,
                }
            )
            continue
        with threads_for(math.prod(layer.weight_shape)):
            rows.append(_compare_layer(layer, inputs, theirs[name], other, device))
    progress("", len(own), len(own))
    rows.sort(key=_by_distance)
    return {
        "layers": rows,
        "only_in_checkpoint": [name for name in own if name not in theirs],
        "only_in_against": [name for name in theirs if name not in inputs.read.network.layers],
        "mismatched": mismatched,
    }


def _are_comparable(one: GraphLayer, two: GraphLayer) -> bool:
    is_product = [layer.kind == ADAPTER_KIND for layer in (one, two)]
    return one.weight_shape == two.weight_shape and is_product[0] == is_product[1]


def _by_distance(row: Mapping[str, Any]) -> float:
    relative, absolute = row["relative_spectral"], row["spectral"]
    if relative is None:
        return -math.inf if absolute.upper > 0 else 0.0
    return -float(relative.upper)


def _compare_layer(
    layer: GraphLayer,
    inputs: Inputs,
    reference: GraphLayer,
    other: ReadNetwork,
    device: torch.device,
) -> dict[str, Any]:
    read, tolerance = inputs.read, inputs.options.tolerance
    geometry: Literal["known", "assumed"] = "known" if read.structure == "graph" else "assumed"
    one = effective_layer(layer.unfolded, read.tensors)
    two = effective_layer(reference.unfolded, other.tensors)
    apart = distance(one, two, geometry=geometry, device=device, tolerance=tolerance)
    base = norms(
        replace(two, layer=one.layer), geometry=geometry, device=device, tolerance=tolerance
    )
    if not all(map(math.isfinite, (apart.spectral.upper, apart.frobenius.upper))):
        raise TensorError(
            f"The distance of {layer.name} exceeds the range of float64.",
            remedy="Check both checkpoints: weights of this size are no trained network's.",
        )
    return {
        "name": layer.name,
        "kind": layer.kind,
        "shape": layer.weight_shape,
        "spectral": apart.spectral,
        "frobenius": apart.frobenius,
        "relative_spectral": _relative(apart.spectral, base.spectral),
        "relative_frobenius": _relative(apart.frobenius, base.frobenius),
    }


def _relative(part: Interval, whole: Interval) -> Interval | None:
    """A quotient, enclosed; None where the divisor may be zero."""
    if whole.lower == 0.0:
        return None
    lower = math.nextafter(part.lower / whole.upper, 0.0)
    upper = part.upper / whole.lower
    return Interval(lower=lower, upper=math.nextafter(upper, math.inf) if upper else 0.0)
