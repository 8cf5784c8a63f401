"""Tables fit a page: columns go by priority, names fold, numbers stay whole."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from dlgen_cli.render.formats.layout import GAP, fit
from dlgen_cli.render.model import Column, Table

TABLE = Table(
    columns=(
        Column(header="layer", kind="name"),
        Column(header="norm ≤"),
        Column(header="rank", priority=1),
        Column(header="note", kind="prose", priority=2),
    ),
    rows=(
        ("features.12.conv.0.weight", "1.234567e+05", "512", "the kernel of a convolution"),
        ("head", "2.5", "7", ""),
    ),
)


def words_of(layout, column):
    return ["".join(line[column] for line in row).replace(" ", "") for row in layout.rows]


def test_a_wide_page_shows_everything_on_one_line():
    layout = fit(TABLE, 120)
    assert layout.left_out == ()
    assert [len(row) for row in layout.rows] == [1, 1]
    assert layout.width == sum(layout.widths) + 3 * GAP <= 120


def test_columns_go_by_priority():
    gone = [fit(TABLE, width).left_out for width in (120, 60, 42, 10)]
    assert gone[0] == ()
    assert [len(one) for one in gone] == sorted(len(one) for one in gone)
    assert gone[-1] == ("rank", "note")


@given(st.integers(1, 150))
def test_nothing_that_is_shown_is_cut(width):
    layout = fit(TABLE, width)
    headers = [column.header for column in layout.columns]
    for row in layout.rows:
        for line in row:
            assert all(cell_len(cell) <= w for cell, w in zip(line, layout.widths, strict=True))
    assert words_of(layout, headers.index("layer")) == [row[0] for row in TABLE.rows]
    assert words_of(layout, headers.index("norm ≤")) == ["1.234567e+05", "2.5"]
    if width >= 40:
        assert layout.width <= width


def test_a_header_stands_at_the_bottom_and_a_row_at_the_top():
    table = Table(columns=(Column(header="a b c"), Column(header="x")), rows=(("1", "2"),))
    layout = fit(table, 5)
    assert layout.header[-1][1] == "x"
    assert layout.rows[0][0] == ["1", "2"]
