"""Concurrent calls: their order, and how far they run ahead of the consumer."""

import threading
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.aws.concurrency import AHEAD, in_order


@given(st.lists(st.integers()), st.integers(1, 4))
def test_results_are_in_the_order_of_the_items(items: list[int], threads: int) -> None:
    assert list(in_order(lambda item: item + 1, items, threads)) == [item + 1 for item in items]


def test_calls_are_concurrent() -> None:
    all_there = threading.Barrier(4, timeout=600)
    assert len(list(in_order(lambda _: all_there.wait(), range(8), 4))) == 8


def test_calls_do_not_run_far_ahead_of_the_consumer() -> None:
    begun = []

    def items() -> Iterator[int]:
        for number in range(10_000):
            begun.append(number)
            yield number

    answers = in_order(lambda item: item, items(), 2)
    for taken in islice(answers, 100):
        assert len(begun) - taken <= 2 * AHEAD
    answers.close()
    assert len(begun) <= 100 + 2 * AHEAD


def test_after_an_error_no_new_calls_start() -> None:
    called = []

    def call(item: int) -> int:
        called.append(item)
        return 1 // (item - 50)

    taken = []
    with pytest.raises(ZeroDivisionError):
        taken.extend(in_order(call, range(10_000), 2))
    assert max(called) <= 50 + 2 * AHEAD
