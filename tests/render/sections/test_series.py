"""The table of a series: a column for each step, thinned where there are many."""

from dlgen_cli.records import Interval
from dlgen_cli.render.sections.series import series_section, thinned


def results(count):
    return {
        "step_from": "name",
        "series": [
            {
                "step": step,
                "layers": {"fc": {"spectral_norm": Interval(lower=step, upper=step + 1.0)}},
            }
            for step in range(count)
        ],
    }


def test_a_row_for_each_layer_and_a_column_for_each_step():
    (table,) = series_section(results(3), 0).blocks
    assert [column.header for column in table.columns] == ["layer", "0", "1", "2", "last / first"]
    assert [float(cell) for cell in table.rows[0][1:]] == [1, 2, 3, 3]


def test_many_steps_are_thinned_to_the_first_the_last_and_some_between():
    (table,) = series_section(results(50), 0).blocks
    assert len(table.columns) == 8
    assert "44 steps between" in table.note
    assert len(series_section(results(50), 1).blocks[0].columns) == 52
    assert thinned(range(11), 6) == [0, 2, 4, 6, 8, 10]


def test_no_series_no_section():
    assert series_section({}, 0) is None
