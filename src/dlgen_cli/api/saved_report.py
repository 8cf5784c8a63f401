"""A report that was saved as JSON, read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from dlgen_cli import records
from dlgen_cli.api.report import Report
from dlgen_cli.bounds.recorded_fields import read_envelope
from dlgen_cli.errors import ReportFileError


def read_report(path: str | Path) -> Report:
    """Read a report that was saved as JSON.

    Args:
        path: of the file.

    Returns:
        The report. Of norms that the JSON gives the upper end of alone, the lower end is 0.

    Raises:
        ReportFileError: the file cannot be read, or is no report of this schema.
    """
    values = read_envelope(Path(path))
    try:
        layers = [_layer(one) for one in values.get("layers", ())]
        read = {**values, "layers": layers, "headline": _headline(values)}
        return Report(msgspec.convert(read, records.Report))
    except (msgspec.ValidationError, AttributeError, KeyError, TypeError) as error:
        raise ReportFileError(
            f"{path} is no report of dlgen: {error}.", remedy="dlgen verify tells what differs."
        ) from error


def _headline(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The headline; that of the first schema has the status of its bound."""
    found = values.get("headline")
    if found is None:
        return None
    statuses = {one["theorem"]: one["status"] for one in values["bounds"]}
    return {"status": statuses[found["theorem"]], **found}


def _layer(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a layer from its entry in the JSON."""
    found = dict(entry)
    bias = found.pop("bias", None) or {"parameters": 0, "norm_upper": 0.0}
    found["bias_parameters"], found["bias_norm_upper"] = bias["parameters"], bias["norm_upper"]
    for norm in ("frobenius_norm", "reshaped_norm"):
        if found.get(norm) is not None:
            found[norm] = {"lower": 0.0, "upper": found[norm]}
    values = found.pop("singular_values", None) or {"lower": (), "upper": ()}
    ends = zip(values["lower"], values["upper"], strict=True)
    found["singular_values"] = [{"lower": low, "upper": high} for low, high in ends]
    return {**found, "truncation_errors_upper": ()}
