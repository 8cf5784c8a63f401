import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlgen_cli.records import Interval, Report
from dlgen_cli.render import render_text

ENVELOPE = [
    "schema_version",
    "dlgen_version",
    "command",
    "status",
    "provenance",
    "settings",
    "layers",
    "skipped",
    "bounds",
    "errors",
]


def refuse(constant: str):
    raise AssertionError(constant)


def read(report: Report):
    return json.loads(render_text(report, "json"), parse_constant=refuse)


def test_envelope_keys_are_all_there_in_order(any_report: Report):
    keys = list(read(any_report))
    assert [key for key in keys if key not in {"headline", "results"}] == ENVELOPE


def test_a_failure_has_the_whole_envelope(error_report: Report):
    envelope = read(error_report)
    assert envelope["status"] == "error"
    assert envelope["provenance"] is None
    assert envelope["bounds"] == []
    assert envelope["errors"] == [
        {
            "code": "checkpoint",
            "message": "The file ckpt.bin is not a checkpoint.",
            "remedy": "Give a .safetensors file.",
        }
    ]


def test_layer_keys(audit_report: Report, small_report: Report):
    plain = ["name", "kind", "shape", "parameters", "spectral_norm", "frobenius_norm"]
    assert list(read(small_report)["layers"][0]) == [*plain, "stable_rank", "truncation"]
    convolution = read(audit_report)["layers"][0]
    more = ["stable_rank", "geometry", "reshaped_norm", "truncation", "bias"]
    assert list(convolution) == [*plain, *more]
    assert convolution["reshaped_norm"] == 0.8 * 1.5
    assert convolution["bias"] == {"parameters": 96, "norm_upper": 0.5}


def test_singular_values_only_when_present(small_report: Report):
    layer = replace(small_report.layers[0], singular_values=(Interval(lower=1.0, upper=2.0),))
    envelope = read(replace(small_report, layers=[layer]))
    assert envelope["layers"][0]["singular_values"] == {"lower": [1.0], "upper": [2.0]}


def test_bound_and_headline_keys(audit_report: Report):
    envelope = read(audit_report)
    expected = [
        "theorem",
        "title",
        "status",
        "value",
        "log10_value",
        "terms",
        "assumptions",
        "source",
    ]
    assert all(list(bound) == expected for bound in envelope["bounds"])
    names = ["theorem", "value", "log10_value", "delta", "candidates", "status"]
    assert list(envelope["headline"]) == names
    assert list(envelope["bounds"][0]["assumptions"][0]) == ["statement", "status", "evidence"]


def test_floats_keep_every_digit(small_report: Report):
    value = 0.1 + 0.2
    envelope = read(replace(small_report, settings={"x": value}))
    assert envelope["settings"]["x"] == value


def test_values_of_other_kinds_become_plain():
    results = {
        "count": np.int64(3),
        "error": np.float32(0.5),
        "folder": Path("runs"),
        "pair": (1, True, None),
        "norm": Interval(lower=1.0, upper=math.inf),
        "name": "bad \udcff byte",
    }
    report = Report(dlgen_version="0", command="x", results=results)
    assert read(report)["results"] == {
        "count": 3,
        "error": 0.5,
        "folder": "runs",
        "pair": [1, True, None],
        "norm": {"lower": 1.0, "upper": None},
        "name": "bad \\udcff byte",
    }


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=12,
)


@pytest.mark.usefixtures("_no_drawing")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(terms=st.dictionaries(st.sampled_from("abc"), values), value=st.floats())
def test_no_format_ever_writes_nan_or_infinity(
    small_report: Report, terms: dict[str, Any], value: float
):
    bound = replace(small_report.bounds[0], terms=terms, value=value, log10_value=value)
    report = replace(small_report, bounds=[bound], settings=terms, results=terms)
    assert json.loads(render_text(report, "json"), parse_constant=refuse)["bounds"]
    for other in ("table", "markdown", "csv", "html"):
        words = render_text(report, other).lower().replace("<", " ").replace(",", " ").split()
        assert not {"nan", "inf", "-inf", "infinity"} & set(words)
