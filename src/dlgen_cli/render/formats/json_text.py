"""The JSON envelope, the contract that scripts rely on."""

from __future__ import annotations

import json
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from dlgen_cli.records import Bound, Headline, Interval, LayerSpectrum, Provenance, Report


def json_text(report: Report) -> str:
    """Write a report as JSON, with every key in its place.

    Args:
        report: what a command found, or its failure.

    Returns:
        One object, ended by a line feed. No NaN or infinity appears: such a number is null.
    """
    return json.dumps(plain(envelope(report)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def envelope(report: Report) -> dict[str, Any]:
    """Arrange a report by the keys of the contract.

    Args:
        report: what a command found, or its failure.

    Returns:
        The envelope; its values may still hold records and numbers out of range.
    """
    optional: dict[str, Any] = {}
    if report.headline is not None:
        optional["headline"] = _headline(report.headline)
    if report.results is not None:
        optional["results"] = report.results
    return {
        "schema_version": report.schema_version,
        "dlgen_version": report.dlgen_version,
        "command": report.command,
        "status": report.status,
        "provenance": None if report.provenance is None else _provenance(report.provenance),
        "settings": report.settings,
        "layers": [_layer(layer) for layer in report.layers],
        "skipped": [{"name": skip.name, "reason": skip.reason} for skip in report.skipped],
        "bounds": [_bound(bound) for bound in report.bounds],
        **optional,
        "errors": [
            {"code": error.code, "message": error.message, "remedy": error.remedy}
            for error in report.errors
        ],
    }


def plain(value: object) -> object:
    """Turn a value into what JSON can hold.

    Args:
        value: numbers, texts, records, paths, and mappings and sequences of them.

    Returns:
        The same with lists, dicts, plain numbers, and None for NaN and infinity.
    """
    if isinstance(value, str | os.PathLike):
        # A path may hold bytes that are no text; they are written out.
        return os.fspath(value).encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return _number(value)


def _number(value: object) -> object:
    match value:
        case bool():
            return value
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            number = float(value)
            return number if math.isfinite(number) else None
        case _:
            return value


def _provenance(provenance: Provenance) -> dict[str, Any]:
    optional: dict[str, Any] = {}
    if provenance.coverage is not None:
        optional["coverage"] = {
            "matrices": provenance.coverage.matrices,
            "parameters": provenance.coverage.parameters,
            "of": provenance.coverage.of,
            "left_out": provenance.coverage.left_out,
        }
    return {
        "checkpoint": provenance.checkpoint,
        "format": provenance.format,
        "sha256": provenance.sha256,
        "architecture": provenance.architecture,
        "structure": provenance.structure,
        "parameters": provenance.parameters,
        **optional,
    }


def _interval(interval: Interval) -> dict[str, float]:
    return {"lower": interval.lower, "upper": interval.upper}


def _layer(layer: LayerSpectrum) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": layer.name,
        "kind": layer.kind,
        "shape": layer.shape,
        "parameters": layer.parameters,
        "spectral_norm": _interval(layer.spectral_norm),
        "frobenius_norm": layer.frobenius_norm.upper,
        "stable_rank": layer.stable_rank,
    }
    if layer.geometry is not None:
        entry["geometry"] = layer.geometry
    if layer.reshaped_norm is not None:
        entry["reshaped_norm"] = layer.reshaped_norm.upper
    if layer.folded_norm is not None:
        entry["folded_norm"] = _interval(layer.folded_norm)
    if layer.row_norm is not None:
        entry["row_norm"] = _interval(layer.row_norm)
    if layer.note:
        entry["note"] = layer.note
    if layer.truncation is not None:
        entry["truncation"] = {
            "rank": layer.truncation.rank,
            "error_upper": layer.truncation.error_upper,
            "relative_error_upper": layer.truncation.relative_error_upper,
        }
        if layer.truncation.reshaped_error_upper is not None:
            entry["truncation"]["reshaped_error_upper"] = layer.truncation.reshaped_error_upper
    if layer.singular_values:
        entry["singular_values"] = {
            "lower": [value.lower for value in layer.singular_values],
            "upper": [value.upper for value in layer.singular_values],
        }
    if layer.bias_parameters:
        entry["bias"] = {
            "parameters": layer.bias_parameters,
            "norm_upper": layer.bias_norm_upper,
        }
    return entry


def _bound(bound: Bound) -> dict[str, Any]:
    return {
        "theorem": bound.theorem,
        "title": bound.title,
        "status": bound.status,
        "value": bound.value,
        "log10_value": bound.log10_value,
        "terms": bound.terms,
        "assumptions": [
            {"statement": line.statement, "status": line.status, "evidence": line.evidence}
            for line in bound.assumptions
        ],
        "source": bound.source,
    }


def _headline(headline: Headline) -> dict[str, Any]:
    return {
        "theorem": headline.theorem,
        "value": headline.value,
        "log10_value": headline.log10_value,
        "delta": headline.delta,
        "candidates": headline.candidates,
    }
