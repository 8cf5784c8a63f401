"""Work spread over processes: shares, and one report from two real processes."""

import itertools
import json
import pickle
from pathlib import Path

import pytest
import torch
from forked import finish, start, start_two
from safetensors.torch import save_file

from dlgen_cli.errors import DlgenError, TensorError
from dlgen_cli.processes import (
    Processes,
    exchange,
    join,
    process_count,
    process_rank,
    settle,
    shares,
)

ONE_EPOCH = str(Path(__file__).parent / "training" / "one_epoch.py")


def test_every_piece_is_in_one_share_and_the_largest_go_first():
    costs = [3.0, 1.0, 7.0, 2.0, 2.0, 5.0]
    assert shares(costs, 1) == [[0, 1, 2, 3, 4, 5]]
    assert shares(costs, 2) == [[1, 2, 3], [0, 4, 5]]
    assert shares([], 3) == [[], [], []]
    assert shares([1.0], 3) == [[0], [], []]


@pytest.mark.parametrize("costs", [(5, 4, 3, 3, 3), (7, 6, 5, 4, 3, 2, 1), (9, 9, 1, 1, 1, 1)])
@pytest.mark.parametrize("count", [2, 3])
def test_the_longest_share_is_within_four_thirds_of_the_best(costs, count):
    longest = max(sum(costs[one] for one in part) for part in shares(costs, count))
    best = min(
        max(sum(c for c, p in zip(costs, places, strict=True) if p == one) for one in range(count))
        for places in itertools.product(range(count), repeat=len(costs))
    )
    assert longest <= 4 / 3 * best


def test_one_process_needs_no_others(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert (process_count(), process_rank()) == (1, 0)
    assert exchange(lambda: 7) == [7]
    error = DlgenError("x")
    assert settle(error) is error
    assert settle(None) is None


def test_an_error_travels_whole():
    found = pickle.loads(pickle.dumps(TensorError("what", remedy="what to do")))
    assert (type(found), found.message, found.remedy) == (TensorError, "what", "what to do")


def in_two_processes(tmp_path, *words):
    """Standard output, error and exit code of each."""
    output = tmp_path / "log"
    codes = [finish(one) for one in start_two([str(word) for word in words], output)]
    files = (tmp_path / "log-0", tmp_path / "log-1")
    texts = [(one.read_text(), one.with_name(f"{one.name}.err").read_text()) for one in files]
    return [(*text, code) for text, code in zip(texts, codes, strict=True)]


def test_two_processes_give_the_report_of_one(tmp_path):
    generator = torch.Generator().manual_seed(0)
    sizes = [(150, 200), (140, 140), (9, 7), (300, 130)]
    tensors = {
        f"l.{n}.weight": torch.randn(size, generator=generator) for n, size in enumerate(sizes)
    }
    path = tmp_path / "x.safetensors"
    save_file(tensors, path)
    words = ("spectra", path, "--json", "--r", 3, "--no-cache")
    assert finish(start([str(word) for word in words], tmp_path / "alone")) == 0
    first, second = in_two_processes(tmp_path, *words)
    assert first[0] == (tmp_path / "alone").read_text()
    assert (first[1:], second) == (("", 0), ("", "", 0))


def test_what_fails_in_one_process_fails_in_all_with_one_line(tmp_path):
    broken = torch.full((4, 4), 1e308, dtype=torch.float64)
    tensors = {"a.weight": torch.ones(200, 200), "b.weight": broken}  # b is the second one's share
    save_file(tensors, tmp_path / "x.safetensors")
    words = ("spectra", tmp_path / "x.safetensors", "--json", "--no-cache", "--strict")
    first, second = in_two_processes(tmp_path, *words)
    assert (first[2], second[2]) == (2, 2)
    error = json.loads(first[0])["errors"][0]
    assert error["code"] == "strict"
    assert "b.weight" in error["message"]
    assert first[1].count("\n") == 1
    assert second[:2] == ("", "")


def test_two_processes_take_the_steps_of_one(tmp_path: Path):
    alone = start([ONE_EPOCH, str(tmp_path / "alone")], tmp_path / "log")
    both = start_two([ONE_EPOCH, str(tmp_path / "two")], tmp_path / "log")
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
