"""The device that a name stands for, and threads that are put back."""

import pytest
import torch

from dlgen_cli import devices
from dlgen_cli.errors import UsageError


@pytest.fixture
def available(monkeypatch):
    def choose(*kinds):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in kinds)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in kinds)

    return choose


@pytest.mark.parametrize(
    ("kinds", "chosen"), [((), "cpu"), (("mps",), "mps"), (("mps", "cuda"), "cuda")]
)
def test_auto_takes_the_best_that_is_there(kinds, chosen, available):
    available(*kinds)
    assert devices.resolve_device("auto").type == chosen


def test_a_name_is_taken_at_its_word_or_refused(available):
    available("cuda")
    assert devices.resolve_device("cuda:1") == torch.device("cuda:1")
    assert devices.resolve_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="torch finds no mps device"):
        devices.resolve_device("mps")
    with pytest.raises(UsageError, match="'tpu' is unknown"):
        devices.resolve_device("tpu")


def test_what_has_no_float64_leaves_it_to_the_cpu(available):
    available("mps")
    assert devices.resolve_float64_device("mps").type == "cpu"
    available("cuda")
    assert devices.resolve_float64_device("auto").type == "cuda"


def test_threads_are_put_back_also_after_a_failure():
    before = torch.get_num_threads()
    with devices.threads(before + 1):
        assert torch.get_num_threads() == before + 1
        with devices.one_thread():
            assert torch.get_num_threads() == 1
        with devices.threads_for(100):
            assert torch.get_num_threads() == 1
        with devices.threads_for(10**9):
            assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), devices.threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before


def test_keeping_memory_changes_no_number():
    devices.keep_freed_memory()
    assert float(torch.ones(1000, 1000).sum()) == 1e6
