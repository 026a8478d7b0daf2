"""Stages and counts reach the observer of their own context, also from threads that copy it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gnomon.core.forking import SharedThreads
from gnomon.core.instrumentation import count, observed_by, stage
from support.observing import Recorder


def test_a_stage_is_told_of_when_it_ends_also_with_an_error() -> None:
    def failing() -> None:
        with stage("outer"):
            with stage("inner"):
                count("batch", texts=2, tokens=9)
            raise KeyError

    observer = Recorder()
    with observed_by(observer), pytest.raises(KeyError):
        failing()
    assert observer.stages == ["inner", "outer"]
    assert observer.seconds[0] <= observer.seconds[1]
    assert observer.counts == {("batch", "texts"): 2, ("batch", "tokens"): 9}


def test_without_an_observer_nothing_is_made() -> None:
    assert stage("a") is stage("b")


def test_each_context_tells_its_own_observer() -> None:
    observers, both = [Recorder(), Recorder()], threading.Barrier(2)

    def work(at: int) -> None:
        with observed_by(observers[at]), stage(f"of {at}"):
            both.wait(5)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert [observer.stages for observer in observers] == [["of 0"], ["of 1"]]


def test_shared_threads_run_in_the_callers_context() -> None:
    def part() -> None:
        with stage("part"):
            pass

    observer = Recorder()
    with observed_by(observer):
        SharedThreads(lambda: 1, "gnomon-test").submit(part).result()
    assert observer.stages == ["part"]
