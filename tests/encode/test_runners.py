"""Parallel calls: in order, no more at once than there are lanes; a network is built once, when it is needed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gnomon.encode.runtime.batches import parallel_map
from gnomon.encode.runtime.runners import LazyRunner


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


class Doubling:
    def run(self, *inputs):
        return inputs[0] * 2


def test_a_runner_is_built_once_when_it_is_first_used_by_any_thread():
    built, start = [], threading.Barrier(4, timeout=20)

    def make():
        built.append(threading.get_ident())
        time.sleep(0.01)
        return Doubling()

    runner = LazyRunner(make)
    assert built == []

    def use(value):
        start.wait()
        return runner.run(np.array(value)).item()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(use, [1, 2, 3, 4])) == [2, 4, 6, 8]
    assert len(built) == 1


def test_a_runner_that_could_not_be_built_is_tried_again():
    attempts = []

    def make():
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("not yet")
        return Doubling()

    runner = LazyRunner(make)
    with pytest.raises(ValueError, match="not yet"):
        runner.run(np.array(1))
    assert runner.run(np.array(1)) == 2
