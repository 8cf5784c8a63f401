"""Results for reports: plain numbers."""

from dlgen_cli.implicit import factorization, plan, results, targets


def make(spectrum=(5.0, 3.0, 1.0), shape=(7, 5), seed=0):
    return targets.from_spectrum(spectrum, shape, seed)


def compare(target, depth, *, start=1e-2, aligned=True, **choices):
    made = plan.make_plan(target, depth, start, aligned=aligned, **choices)
    return factorization.compare(target, made, aligned=aligned, seed=3)


def test_results_hold_every_depth_and_no_arrays():
    target = make()
    runs = [compare(target, depth, time=20.0) for depth in (2, 1)]
    found = results.matrix_results(target, runs, start=1e-2, aligned=True)
    assert found["depth"] == 2
    assert [row["depth"] for row in found["depths"]] == [2, 1]
    assert len(found["times"]) == len(found["theory"]) == len(found["run"])
    assert type(found["run"][0][0]) is float
