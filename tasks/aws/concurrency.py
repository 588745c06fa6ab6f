"""Many calls at a time, or many items in a call."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4
"""Calls begun, for each thread, before the first of them is taken: threads find work at all times,
and no more than so many answers are in memory, however many calls there are."""


def in_order(
    call: Callable[[T], R], items: Iterable[T], threads: int, name: str = "parallel"
) -> Generator[R]:
    """Call a function with each item, many at a time; yields the answers in the items' order.

    Items are taken as they are needed, so that there may be any number of them. When a call raises,
    or whoever takes the answers stops, what runs is waited for and nothing more is begun.
    """
    begun: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        for item in items:
            begun.append(pool.submit(call, item))
            if len(begun) >= threads * AHEAD:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
