"""Arrays come back as they were saved, and what holds none is refused."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from dlgen_cli.errors import DataError
from dlgen_cli.implicit.arrays import SOLE, read_arrays, require_finite

VALUES = np.array([[1.5, -2.0], [0.1, 3e8]])


def test_every_kind_gives_the_same_numbers(tmp_path):
    np.savez(tmp_path / "a.npz", x=VALUES, y=np.arange(3))
    save_file({"x": VALUES, "y": np.arange(3)}, tmp_path / "a.safetensors")
    np.save(tmp_path / "a.npy", VALUES.astype(">f8"))
    lines = "\n".join(",".join(map(repr, row)) for row in VALUES.tolist())
    (tmp_path / "a.csv").write_text(f"left,right\n\n{lines}\n", encoding="utf-8-sig")
    for name in ("a.npz", "a.safetensors"):
        found = read_arrays(tmp_path / name)
        assert set(found) == {"x", "y"}
        assert np.array_equal(found["x"], VALUES)
        assert found["y"].dtype == np.float64
    for name in ("a.npy", "a.csv"):
        found = read_arrays(tmp_path / name)
        assert set(found) == {SOLE}
        assert np.array_equal(found[SOLE], VALUES)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"1,2", "names no kind of data"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"left,right\n", "no line of numbers"),
        ("a.csv", b"1,2\n3,x\n", "Line 2 .* no number"),
        ("a.csv", b"1,2\n3\n", "Line 2 .* 1 cells"),
        ("a.csv", b"\xff\xfe1", "not text"),
        ("a.npy", b"\x93NUMPY", "not a whole numpy file"),
        ("a.npz", b"PK\x03\x04", "not a whole numpy file"),
        ("a.safetensors", b"\x01", "cannot be read as safetensors"),
    ],
)
def test_what_holds_no_arrays_is_refused(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_arrays(path)


def test_other_than_real_numbers_are_refused(tmp_path):
    np.save(tmp_path / "complex.npy", np.array([1j]))
    with pytest.raises(DataError, match="complex128; real numbers"):
        read_arrays(tmp_path / "complex.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a whole numpy file"):
        read_arrays(tmp_path / "objects.npy")
    for name in ("a.csv", "a.npz", "a.npy", "a.safetensors"):
        with pytest.raises(DataError, match="cannot be read"):
            read_arrays(tmp_path / name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, np.nan], "X holds 1 NaN or infinite entry"),
        ([np.inf, np.nan], "X holds 2 NaN or infinite entries"),
        ([1e61], "magnitude 1e\\+61"),
        ([1e-61], "magnitude 1e-61"),
    ],
)
def test_numbers_that_squares_cannot_hold_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        require_finite(np.array(values), "X")


@pytest.mark.parametrize("values", [[], [0.0], [1e60, -1e-300], [-1e-60]])
def test_other_numbers_come_back_themselves(values):
    array = np.array(values)
    assert require_finite(array, "X") is array
