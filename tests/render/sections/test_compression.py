"""A thinned sweep keeps what matters."""

from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.render.sections.compression import thin_sweep


@given(st.integers(1, 5000), st.data())
def test_a_thinned_sweep_keeps_the_ends_and_the_best(length: int, data: st.DataObject):
    best = data.draw(st.integers(0, length - 1))
    kept = thin_sweep(length, best)
    assert {0, best, length - 1} <= set(kept)
    assert kept == sorted(set(kept))
    assert 0 <= kept[0] <= kept[-1] < length
    assert len(kept) <= 12
