"""Numbers of a seed: the same for ever, and of the law that is said."""

import numpy as np
import pytest

from dlgen_cli import philox


def test_the_first_words_are_those_of_numpy_s_philox_for_the_digest_and_stay():
    words = philox.words(0, "test", 4)
    assert words.dtype == np.uint64
    assert np.array_equal(words, philox.words(0, "test", 9)[:4])
    assert not np.array_equal(words, philox.words(1, "test", 4))
    assert not np.array_equal(words, philox.words(0, "other", 4))


def test_uniform_numbers_are_multiples_of_a_power_of_two():
    found = philox.uniform(3, "test", 10_000)
    assert found.min() >= -1
    assert found.max() < 1
    assert np.array_equal(found * 2.0**52, np.rint(found * 2.0**52))
    assert found.mean() == pytest.approx(0, abs=0.03)
    assert found.var() == pytest.approx(1 / 3, rel=0.03)


def test_normal_numbers_have_mean_0_and_variance_1():
    found = philox.normal(3, "test", 10_000)
    assert np.array_equal(found, philox.uniform(3, "test", 120_000).reshape(-1, 12).sum(1) / 2)
    assert found.mean() == pytest.approx(0, abs=0.05)
    assert found.var() == pytest.approx(1, rel=0.05)
    assert np.mean(np.abs(found) > 2) == pytest.approx(0.0455, abs=0.01)
