"""Problems, starts and targets from files and from numbers."""

import numpy as np
import pytest
from arrays import save

from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.implicit import problems

X = np.arange(6.0).reshape(2, 3)
Y = np.array([1.0, 2.0])


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
@pytest.mark.parametrize("labels", [Y, Y[:, None], Y.astype(np.float32), Y.astype(np.int64)])
def test_archives(tmp_path, name, labels):
    problem = problems.read_problem(save(tmp_path / name, X=X, y=labels))
    np.testing.assert_array_equal(problem.points, X)
    np.testing.assert_array_equal(problem.labels, Y)
    assert problem.points.dtype == problem.labels.dtype == np.float64


@pytest.mark.parametrize("header", ["", "a,b,c,y\n", "\ufeffa,b,c,y\n"])
def test_csv_has_the_label_last(tmp_path, header):
    path = tmp_path / "a.csv"
    path.write_text(header + "0,1,2,1\n\n3,4,5,2\n", encoding="utf-8")
    problem = problems.read_problem(path)
    np.testing.assert_array_equal(problem.points, X)
    np.testing.assert_array_equal(problem.labels, Y)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": X}, "lacks y; it holds X"),
        ({"a": X}, "lacks X and y"),
        ({"X": X, "y": np.ones(3)}, r"y in .* has shape \(3,\), X has \(2, 3\)"),
        ({"X": X[0], "y": Y}, r"X in .* has shape \(3,\)"),
        ({"X": np.ones((0, 3)), "y": np.ones(0)}, r"shape \(0, 3\)"),
        ({"X": X * np.nan, "y": Y}, "6 NaN or infinite entries"),
        ({"X": X, "y": np.array([1, np.inf])}, "y in .* 1 NaN or infinite entry"),
        ({"X": 0 * X, "y": Y}, "is zero"),
        ({"X": X + 1j, "y": Y}, "complex128; real numbers"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message) as caught:
        problems.read_problem(save(tmp_path / "a.npz", **arrays))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"1\n2\n", "one column"), (b"1,nan\n", "NaN")],
)
def test_files_without_a_problem(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        problems.read_problem(path)


@pytest.mark.parametrize(
    "sizes",
    [
        {"points": 0, "dim": 3},
        {"points": 3, "dim": 0},
        {"points": 10**6, "dim": 10**6},
        {"points": 3, "dim": 4, "rank": 4},
        {"points": 3, "dim": 4, "rank": 0},
        {"points": 3, "dim": 4, "condition": 0.5},
        {"points": 3, "dim": 4, "condition": float("nan")},
    ],
)
def test_sizes_out_of_range(sizes):
    with pytest.raises(UsageError):
        problems.generate_problem(seed=0, **sizes)


def test_a_generated_problem_has_the_rank_and_condition_asked_for():
    problem = problems.generate_problem(12, 20, 0, condition=1e4, rank=5)
    values = np.linalg.svd(problem.points, compute_uv=False)
    assert values[0] / values[4] == pytest.approx(1e4)
    assert values[5] < 1e-14


def test_starts(tmp_path):
    assert not problems.make_start("zeros", 1.0, 3, 0).any()
    first = problems.make_start("gaussian", 1.0, 3, 0)
    np.testing.assert_allclose(problems.make_start("gaussian", 2.0, 3, 0), 2 * first)
    from_file = problems.make_start(str(save(tmp_path / "w.npz", w=X[0])), 2.0, 3, 0)
    np.testing.assert_array_equal(from_file, 2 * X[0])
    np.save(tmp_path / "w.npy", X[:1].T)
    np.testing.assert_array_equal(problems.make_start(f"{tmp_path}/w.npy", 1.0, 3, 0), X[0])


def test_a_gaussian_start_is_not_the_data():
    problem = problems.generate_problem(1, 50, 0)
    start = problems.make_start("gaussian", 1.0, 50, 0)
    assert abs(np.corrcoef(problem.points[0], start)[0, 1]) < 0.5


@pytest.mark.parametrize("arrays", [{"w": X}, {"w": Y}, {"a": Y, "b": Y}, {"w": X[0] * np.nan}])
def test_starts_that_do_not_fit(tmp_path, arrays):
    with pytest.raises(DataError):
        problems.make_start(str(save(tmp_path / "w.npz", **arrays)), 1.0, 3, 0)


@pytest.mark.parametrize(("init", "scale"), [("ones", 1.0), ("zeros", -1.0), ("zeros", np.nan)])
def test_starts_out_of_range(init, scale):
    with pytest.raises(UsageError):
        problems.make_start(init, scale, 3, 0)
