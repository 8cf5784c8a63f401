"""One rectangular table for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.records import LayerSpectrum, Report

Row = Mapping[str, Any]


def csv_text(report: Report) -> str:
    """Write the main table of a report as comma-separated values.

    Args:
        report: what a command found, or its failure.

    Returns:
        A header and rows: the errors of a failure, else a row for each bound, else a row for
        each layer at each step of a series, else a row for each layer and each skipped tensor,
        else one row of the scalar results. An empty cell stands for None and for a number out of
        range.
    """
    rows = _rows(report)
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])
    return stream.getvalue()


def _rows(report: Report) -> Sequence[Row]:
    if report.errors:
        return [
            {
                "status": report.status,
                "code": error.code,
                "message": error.message,
                "remedy": error.remedy,
            }
            for error in report.errors
        ]
    if report.bounds:
        return _bound_rows(report)
    if "series" in (report.results or {}):
        return _series_rows((report.results or {})["series"])
    if report.layers or report.skipped:
        return _layer_rows(report)
    return [{"command": report.command, "status": report.status, **_scalars(report.results or {})}]


def _bound_rows(report: Report) -> list[Row]:
    headline = None if report.headline is None else report.headline.theorem
    return [
        {
            "theorem": bound.theorem,
            "status": bound.status,
            "value": bound.value,
            "log10_value": bound.log10_value,
            "delta": bound.terms.get("delta", report.settings.get("delta")),
            "headline": bound.theorem == headline,
            **{f"term.{name}": term for name, term in _scalars(bound.terms).items()},
        }
        for bound in report.bounds
    ]


def _layer_rows(report: Report) -> list[Row]:
    skipped = [
        {"name": tensor.name, "kind": "skipped", "skipped": tensor.reason}
        for tensor in report.skipped
    ]
    distances = _distances(report)
    layers = [{**_layer(layer), **distances.get(layer.name, {})} for layer in report.layers]
    return [*layers, *skipped]


def _series_rows(series: Sequence[Row]) -> list[Row]:
    return [
        {
            "step": row["step"],
            "checkpoint": row["checkpoint"],
            "name": name,
            "spectral_norm_lower": layer["spectral_norm"].lower,
            "spectral_norm_upper": layer["spectral_norm"].upper,
            "frobenius_norm": layer["frobenius_norm"],
            "stable_rank": layer["stable_rank"],
        }
        for row in series
        for name, layer in row["layers"].items()
    ]


def _distances(report: Report) -> dict[str, Row]:
    """What a comparison adds to the rows of the layers."""
    against = (report.results or {}).get("against")
    if against is None:
        return {}
    found: dict[str, Row] = {name: {"against": "missing"} for name in against["only_in_checkpoint"]}
    found |= {row["name"]: {"against": "other shape"} for row in against["mismatched"]}
    for row in against["layers"]:
        relatives = {name: row[f"relative_{name}"] for name in ("spectral", "frobenius")}
        found[row["name"]] = {
            "against": "compared",
            "distance_spectral_lower": row["spectral"].lower,
            "distance_spectral_upper": row["spectral"].upper,
            "distance_frobenius": row["frobenius"].upper,
            **{
                f"relative_{name}": None if relative is None else relative.upper
                for name, relative in relatives.items()
            },
        }
    return found


def _layer(layer: LayerSpectrum) -> Row:
    cut = layer.truncation
    reshaped = layer.reshaped_norm
    return {
        "name": layer.name,
        "kind": layer.kind,
        "shape": "x".join(str(size) for size in layer.shape),
        "parameters": layer.parameters,
        "spectral_norm_lower": layer.spectral_norm.lower,
        "spectral_norm_upper": layer.spectral_norm.upper,
        "frobenius_norm": layer.frobenius_norm.upper,
        "stable_rank": layer.stable_rank,
        "geometry": layer.geometry,
        "reshaped_norm": None if reshaped is None else reshaped.upper,
        "truncation_rank": None if cut is None else cut.rank,
        "truncation_error_upper": None if cut is None else cut.error_upper,
        "truncation_relative_error_upper": None if cut is None else cut.relative_error_upper,
        "row_norm": None if layer.row_norm is None else layer.row_norm.upper,
        "bias_parameters": layer.bias_parameters,
        "bias_norm_upper": layer.bias_norm_upper,
        "note": layer.note,
    }


def _scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if value is None or isinstance(value, str | int | float)
    }


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return repr(float(value)) if math.isfinite(value) else ""
        case str():
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
        case _:
            return str(value)
