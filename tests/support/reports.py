"""Reports as text, read strictly and held to their schema."""

import json
from pathlib import Path

import fastjsonschema

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/report.schema.json").read_text())
VALIDATE = fastjsonschema.compile(SCHEMA)


def strict_json(text):
    """Read JSON that holds no NaN and no infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


def bound_of(report, theorem):
    """The bound of a theorem."""
    return next(one for one in report.bounds if one.theorem == theorem)
