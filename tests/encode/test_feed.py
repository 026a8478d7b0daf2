"""Calls side by side: in order, no more at once than there are lanes, and not drawn far ahead."""

import threading
import time

import pytest

from gnomon.encode.runtime.batches import parallel_map


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 23])
def test_results_come_in_the_order_of_the_items(lanes, count):
    def slow_first(n):
        time.sleep(0.002 if n % 3 == 0 else 0)
        return n * n

    assert list(parallel_map(slow_first, range(count), lanes=lanes)) == [n * n for n in range(count)]


def test_as_many_run_at_once_as_there_are_lanes():
    barrier = threading.Barrier(3, timeout=20)
    assert list(parallel_map(lambda _: barrier.wait() >= 0, range(6), lanes=3)) == [True] * 6


def test_items_are_drawn_as_they_are_needed():
    drawn = []

    def items():
        for n in range(100):
            drawn.append(n)
            yield n

    results = parallel_map(lambda n: n, items(), lanes=2)
    assert next(results) == 0
    assert len(drawn) <= 6
    results.close()


def test_an_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda n: 1 // (3 - n), range(9), lanes=2))
