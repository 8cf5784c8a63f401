"""How a run computes: what is set up and put back."""

import pytest
import torch
from torch import nn

from dlgen_cli.errors import UsageError
from dlgen_cli.training.computation import Computation, computing, memory_format
from dlgen_cli.training.recipe import make_recipe


def a_recipe(**given):
    return make_recipe({"source": "digits", "device": "cpu", **given})


def test_threads_are_set_and_put_back():
    before = torch.get_num_threads()
    with computing(a_recipe(threads=2)) as found:
        assert torch.get_num_threads() == 2
        assert (found.device.type, found.precision, found.compiled) == ("cpu", "float32", False)
        assert found.processes.count == 1
    assert torch.get_num_threads() == before


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="cuda"), computing(a_recipe(device="cuda")):
        pass


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_mixed_precision_only_where_it_is_asked_for(precision, dtype):
    computation = Computation(device=torch.device("cpu"), precision=precision)
    with computation.autocast():
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == dtype


def test_the_step_shares_the_parameters_of_the_network():
    network = nn.Linear(2, 2)
    step = Computation(device=torch.device("cpu")).prepare(network)
    assert {id(one) for one in step.parameters()} == {id(one) for one in network.parameters()}


def test_images_lie_channels_last_for_kernels_of_two_axes():
    assert memory_format(nn.Sequential(nn.Conv2d(1, 1, 1))) is torch.channels_last
    assert memory_format(nn.Sequential(nn.Conv1d(1, 1, 1))) is torch.contiguous_format
    assert memory_format(nn.Linear(1, 1)) is torch.contiguous_format
