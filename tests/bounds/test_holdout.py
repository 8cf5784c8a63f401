"""The holdout: published limits."""

import json
from pathlib import Path

import pytest

from dlgen_cli.bounds import (
    clopper_pearson,
)
from dlgen_cli.errors import UsageError

CASES = json.loads((Path(__file__).parents[1] / "check_cases.json").read_text())


@pytest.mark.parametrize("case", CASES["clopper_pearson_upper"])
def test_published_holdout_limits(case):
    bound = clopper_pearson(case["errors"], case["n"], case["delta"])
    assert bound.value == pytest.approx(case["exact"], rel=2e-8)
    assert bound.status == "holds"
    assert bound.theorem == "holdout.clopper_pearson"


def test_more_errors_than_examples_are_refused():
    with pytest.raises(UsageError, match="11 errors"):
        clopper_pearson(11, 10, 0.05)
