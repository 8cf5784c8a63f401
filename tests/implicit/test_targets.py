"""Targets of a factorization: prescribed spectra, and tensors from files."""

import numpy as np
import pytest
from arrays import save

from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.implicit import targets

X = np.arange(6.0).reshape(2, 3)


Y = np.array([1.0, 2.0])


def test_a_prescribed_spectrum_is_the_spectrum():
    target = targets.generate_target("1,5,3", "6,4", 0)
    np.testing.assert_allclose(
        np.linalg.svd(target.matrix, compute_uv=False), [5, 3, 1, 0], atol=1e-14
    )
    np.testing.assert_array_equal(target.values, [5, 3, 1, 0])
    assert target.rate == 1 / 24
    np.testing.assert_allclose((target.left * target.values) @ target.right, target.matrix)


@pytest.mark.parametrize(
    ("spectrum", "shape"),
    [
        ("a", None), ("", None), ("-1", None), ("0,0", None), ("nan", None), ("inf", None),
        ("1e99", None), ("1,2,3", "2"), ("1", "1,2,3"), ("1", "0,2"), ("1", "1.5,2"), ("1", "x"),
        ("1", "nan"), ("1", "1e9"),
    ],
)  # fmt: skip
def test_spectra_out_of_range(spectrum, shape):
    with pytest.raises(UsageError):
        targets.generate_target(spectrum, shape, 0)


def test_targets_from_files(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savetxt(tmp_path / "a.csv", X, delimiter=",")
    save(tmp_path / "a.npz", W=X, other=Y)
    for name in ("a.npy", "a.csv", "a.npz"):
        np.testing.assert_array_equal(targets.read_target(tmp_path / name).matrix, X)
    with pytest.raises(DataError, match="one matrix was expected"):
        targets.read_target(save(tmp_path / "b.npz", a=X, b=X))


def test_a_kernel_is_taken_as_a_matrix():
    assert targets.from_matrix(np.ones((4, 3, 2, 2)), "kernel").matrix.shape == (4, 12)


@pytest.mark.parametrize("array", [np.ones(3), np.ones((0, 3)), np.full((2, 2), np.nan)])
def test_matrices_that_do_not_fit(array):
    with pytest.raises(DataError):
        targets.from_matrix(array, "it")
