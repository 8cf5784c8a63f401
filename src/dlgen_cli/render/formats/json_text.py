"""The JSON envelope, the contract that scripts rely on."""

from __future__ import annotations

import json
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dlgen_cli.records import Report


def json_text(report: Report) -> str:
    """Write a report as JSON, with every key in its place.

    Args:
        report: what a command found, or its failure.

    Returns:
        One object, ended by a line feed. No NaN or infinity appears: such a number is null.
    """
    text = json.dumps(plain(envelope(report)), ensure_ascii=False, allow_nan=False)
    return msgspec.json.format(text, indent=2) + "\n"  # the same as of json.dumps, but fast


def envelope(report: Report) -> dict[str, Any]:
    """Arrange a report by the keys of the contract.

    Args:
        report: what a command found, or its failure.

    Returns:
        The envelope; its values may still hold paths and numbers out of range.
    """
    fields = msgspec.to_builtins(report, enc_hook=plain)  # dataclasses.asdict takes long
    entry = _present(fields, "headline_reason", "results")
    if report.headline is None and not report.headline_reason:
        del entry["headline"]
    if entry["provenance"] is not None:
        del entry["provenance"]["format_title"]
        entry["provenance"] = _present(entry["provenance"], "coverage", "recorded_errors")
    entry["layers"] = [_layer(layer) for layer in entry["layers"]]
    return entry


def plain(value: object) -> object:
    """Turn a value into what JSON can hold.

    Args:
        value: numbers, texts, paths, and mappings and sequences of them.

    Returns:
        The same with lists, dicts, plain numbers, and None for NaN and infinity.
    """
    if type(value) is float:  # most values are
        return value if math.isfinite(value) else None
    if isinstance(value, str) and value.isascii():
        return str(value)
    if isinstance(value, str | os.PathLike):
        # A path may hold bytes that are no text; they are written out.
        return os.fspath(value).encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
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


def _layer(entry: dict[str, Any]) -> dict[str, Any]:
    del entry["truncation_errors_upper"]
    bias = {
        "parameters": entry.pop("bias_parameters"),
        "norm_upper": entry.pop("bias_norm_upper"),
    }
    entry["bias"] = bias if bias["parameters"] else None
    for norm in ("frobenius_norm", "reshaped_norm"):
        entry[norm] = entry[norm] and entry[norm]["upper"]
    if entry["truncation"]:
        entry["truncation"] = _present(entry["truncation"], "reshaped_error_upper")
    if entry["singular_values"]:
        ends = ("lower", "upper")
        entry["singular_values"] = {
            end: [value[end] for value in entry["singular_values"]] for end in ends
        }
    return _present(
        entry,
        "geometry",
        "reshaped_norm",
        "folded_norm",
        "row_norm",
        "note",
        "truncation",
        "singular_values",
        "bias",
    )


def _present(entry: dict[str, Any], *optional: str) -> dict[str, Any]:
    """An entry without those of the optional keys that say nothing: None, or empty."""
    return {
        key: value
        for key, value in entry.items()
        if key not in optional or value not in (None, "", ())
    }
