"""Gradients averaged over processes are those of the whole batch."""

from pathlib import Path

import pytest
import torch
from forked import finish, start, start_two

from dlgen_cli.training.processes import Processes, join

SCRIPT = str(Path(__file__).with_name("one_epoch.py"))


def test_two_processes_take_the_steps_of_one(tmp_path: Path):
    alone = start([SCRIPT, str(tmp_path / "alone")], tmp_path / "log")
    both = start_two([SCRIPT, str(tmp_path / "two")], tmp_path / "log")
    assert [finish(one) for one in (alone, *both)] == [0, 0, 0]
    alone, *both = (torch.load(tmp_path / f"{name}.pt") for name in ("alone-0", "two-0", "two-1"))
    for one in both:
        for name, value in alone["state"].items():
            torch.testing.assert_close(one["state"][name], value, atol=1e-6, rtol=1e-5)
        assert one["counts"] == pytest.approx(alone["counts"], abs=1e-6)


def test_alone_nothing_is_shared():
    processes = join(torch.device("cpu"))
    assert processes == Processes()
    batch = torch.arange(5)
    assert torch.equal(processes.share(batch), batch)
    network = torch.nn.Linear(2, 2)
    assert processes.wrap(network) is network
    assert processes.total(torch.ones(1)) == 1


def test_parts_of_a_batch_are_disjoint_and_complete():
    batch = torch.arange(11)
    parts = [Processes(rank, 3).share(batch) for rank in range(3)]
    assert sorted(torch.cat(parts).tolist()) == list(range(11))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
