"""Pieces of work beside each other: order, memory, failures."""

import threading

import pytest

from dlgen_cli.evidence.workers import run_within


def test_every_piece_is_run_once_on_any_number_of_workers():
    for workers in (1, 2, 5):
        found = dict(run_within(100, [1] * 20, lambda one: one * one, workers=workers))
        assert found == {one: one * one for one in range(20)}
    assert list(run_within(1, [], str, workers=2)) == []


def test_pieces_that_run_together_fit_the_budget():
    lock = threading.Lock()
    needs = [5, 3, 12, 4, 4, 1, 6, 20, 2]
    running, most = [], []

    def work(index):
        with lock:
            running.append(index)
            most.append((len(running), sum(needs[one] for one in running)))
        threading.Event().wait(0.002)
        with lock:
            running.remove(index)

    assert len(list(run_within(10, needs, work, workers=3))) == len(needs)
    assert all(count == 1 or taken <= 10 for count, taken in most)
    assert max(count for count, _ in most) <= 3


def test_a_piece_that_does_not_fit_yet_lets_later_ones_go_first():
    both = threading.Barrier(2)

    def work(index):
        if index in {0, 2}:
            both.wait(5)
        return index

    assert [index for index, _ in run_within(10, [8, 8, 2], work, workers=2)][-1] == 1


def test_the_first_failure_in_order_is_raised_and_nothing_is_started_after_it():
    started = []
    both = threading.Barrier(2)

    def work(index):
        started.append(index)
        if index < 2:
            both.wait(5)
            raise ValueError(str(index))

    with pytest.raises(ValueError, match="0"):
        list(run_within(10, [1] * 10, work, workers=2))
    assert sorted(started) == [0, 1]
