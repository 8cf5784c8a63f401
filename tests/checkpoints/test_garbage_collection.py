"""The collector pauses, and goes on only where it was running."""

import gc

import pytest

from dlgen_cli.checkpoints.garbage_collection import uncollected


@pytest.mark.parametrize("is_running", [True, False])
def test_it_is_put_back_also_after_a_failure(is_running):
    before = gc.isenabled()
    (gc.enable if is_running else gc.disable)()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() == is_running
        with pytest.raises(KeyError), uncollected():
            raise KeyError
        assert gc.isenabled() == is_running
    finally:
        (gc.enable if before else gc.disable)()
