"""Concurrent calls, and batches of items."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4
"""Calls to submit per thread before taking the first result. Keeps all threads busy, and limits the
number of results in memory."""


def in_order(
    call: Callable[[T], R], items: Iterable[T], threads: int, name: str = "parallel"
) -> Generator[R]:
    """Call a function with each item concurrently; yields the results in the items' order.

    Takes items lazily, so their number is unlimited. If a call raises or the consumer stops, it
    waits for running calls and starts no new ones.
    """
    futures: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        for item in items:
            futures.append(pool.submit(call, item))
            if len(futures) >= threads * AHEAD:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
