"""Ranges at their ends: the last number that is taken, the first that is not."""

import math
from math import inf, nan

import pytest

from dlgen_cli.bounds import ranges
from dlgen_cli.errors import UsageError

TINY = 5e-324
CASES = {
    "require_delta": ([TINY, 0.5, math.nextafter(1, 0)], [0, 1, -TINY, nan, inf]),
    "require_epsilon": ([TINY, 0.5], [0, math.nextafter(0.5, 1), nan, -1]),
    "require_examples": ([2, 10**12], [1, 0, -3]),
}
NAMED = {
    "require_finite": ([0, -1e308, 1e308], [nan, inf, -inf]),
    "require_positive": ([TINY, 1e308], [0, -TINY, nan, inf]),
    "require_nonnegative": ([0, TINY, 1e308], [-TINY, nan, inf]),
    "require_count": ([1, 10**12], [0, -1]),
}


@pytest.mark.parametrize("check", CASES)
def test_a_number_of_the_theorems(check):
    taken, refused = CASES[check]
    require = getattr(ranges, check)
    for value in taken:
        require(value)
    for value in refused:
        with pytest.raises(UsageError, match=r"(delta|epsilon|m) is .* expected"):
            require(value)


@pytest.mark.parametrize("check", NAMED)
def test_a_number_that_is_called_by_its_name(check):
    taken, refused = NAMED[check]
    require = getattr(ranges, check)
    for value in taken:
        require("beta", value)
    for value in refused:
        with pytest.raises(UsageError, match=r"^beta is .* expected"):
            require("beta", value)


def test_a_theorem_may_ask_for_more_examples():
    ranges.require_examples(8, least=8)
    with pytest.raises(UsageError, match="m is 7; at least 8"):
        ranges.require_examples(7, least=8)
