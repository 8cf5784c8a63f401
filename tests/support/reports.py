"""Reports as text, read strictly."""

import json


def strict_json(text):
    """Read JSON that holds no NaN and no infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


def bound_of(report, theorem):
    """The bound of a theorem."""
    return next(one for one in report.bounds if one.theorem == theorem)
