"""Independent pieces of work, several at once within a budget of memory.

Every piece runs on one thread of the linear algebra library. Its sums are then taken in one order,
so its result is the same to the bit, however many pieces run beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from dlgen_cli.devices import return_freed_memory

Result = TypeVar("Result")

#: Bytes that pieces may need together: two of the widest layers of a ResNet-18 would need more.
BUDGET = 256 << 20
_LARGE = 32 << 20  # bytes of a piece, after which freed memory is returned


def run_within(
    budget: int,
    needs: Sequence[int],
    work: Callable[[int], Result],
    *,
    workers: int,
) -> Iterator[tuple[int, Result]]:
    """Run ``work(0)``, ``work(1)``, ..., started in this order but for those that do not fit yet.

    Args:
        budget: bytes that running pieces may need together; a piece alone may need more.
        needs: bytes of each piece.
        work: called with the number of the piece, on some thread.
        workers: pieces at once, at least 1.

    Yields:
        Number and result of each piece as it finishes.

    Raises:
        Exception: what the first failing piece raised, in their order, after those that had been
            started; no other is started then.
    """
    return_freed_memory()
    if workers == 1:
        done: Iterator[tuple[int, Result]] = ((place, work(place)) for place in range(len(needs)))
    else:
        done = _run_side_by_side(budget, needs, work, workers)
    for index, result in done:
        if needs[index] > _LARGE:
            return_freed_memory()
        yield index, result
    return_freed_memory()


def _run_side_by_side(
    budget: int, needs: Sequence[int], work: Callable[[int], Result], workers: int
) -> Iterator[tuple[int, Result]]:
    with ThreadPoolExecutor(max_workers=workers) as pool:
        running: dict[Future[Result], int] = {}
        waiting = list(range(len(needs)))
        try:
            while waiting or running:
                while len(running) < workers:
                    left = budget - sum(needs[index] for index in running.values())
                    fitting = (one for one in waiting if not running or needs[one] <= left)
                    following = next(fitting, None)
                    if following is None:
                        break
                    waiting.remove(following)
                    running[pool.submit(work, following)] = following
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                if any(future.exception() for future in done):
                    _raise_first(running)
                for future in sorted(done, key=running.__getitem__):
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _raise_first(running: dict[Future[Result], int]) -> None:
    wait(running)
    for future in sorted(running, key=running.__getitem__):
        future.result()
