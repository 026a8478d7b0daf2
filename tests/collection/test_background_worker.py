"""The background thread of searches: at most one, ends by itself, and its errors reach who needs it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from gnomon.collection.indexes import sync
from gnomon.collection.indexes.sync import BackgroundWorker, SearchPriority


def test_one_thread_at_most_until_closed() -> None:
    took, inside = threading.Event(), []

    def step() -> bool:
        inside.append(threading.current_thread())
        took.set()
        return True

    worker = BackgroundWorker(step)
    for _ in range(50):
        worker.start()
    assert took.wait(60)
    assert worker.is_running
    worker.close()
    assert not worker.is_running
    assert len(set(inside)) == 1
    worker.start()
    assert not worker.is_running, "nothing starts after close"
    worker.close()


def test_ends_by_itself_when_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "_LINGER_S", 0.02)
    monkeypatch.setattr(sync, "_POLL_S", 0.001)
    worker = BackgroundWorker(lambda: False)
    for _ in range(2):  # and can be started again
        worker.start()
        end = time.monotonic() + 60
        while worker.is_running and time.monotonic() < end:
            time.sleep(0.005)
        assert not worker.is_running


def test_an_error_is_raised_once_by_the_next_start() -> None:
    done = threading.Event()

    def step() -> bool:
        if not done.is_set():
            done.set()
            raise ValueError("the disk is full")
        return True

    worker = BackgroundWorker(step)
    worker.start()
    assert done.wait(60)
    while worker.is_running:
        time.sleep(0.001)
    with pytest.raises(ValueError, match="the disk is full"):
        worker.start()
    worker.start()
    assert worker.is_running
    worker.close()


@pytest.mark.parametrize("searched", [False, True])
@pytest.mark.parametrize("count", [0, 1, 31, 32, 9000])
def test_blocks_are_all_there_is_in_order(searched: bool, count: int) -> None:
    pace = SearchPriority()
    if searched:
        pace.record_search()
    blocks = list(pace.blocks(np.arange(count)))
    assert np.concatenate([*blocks, np.zeros(0, dtype=np.int64)]).tolist() == list(range(count))
    assert max([len(block) for block in blocks[:1]], default=0) <= (32 if searched else 8192)
