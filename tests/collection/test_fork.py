"""A process that searched is forked: the child searches and writes too, or is told at once why it cannot."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path

import pytest

import gnomon
from gnomon.core.errors import CollectionBusy, ForkedProcess
from gnomon.core.forking import SharedThreads
from gnomon.testing.toys import HashEncoder

if not hasattr(os, "fork"):
    pytest.skip("this system has no fork", allow_module_level=True)
FORK = multiprocessing.get_context("fork")
TEXTS = [{"id": f"d{i}", "text": f"Document {i} about topic {i % 7} and keys"} for i in range(40)]


def _answer(call, send) -> None:
    try:
        send.send(call())
    except Exception as error:
        send.send(error)
    finally:
        send.close()


def in_child(call):
    """What `call` returns or raises in a forked child; fails where it does not end."""
    receive, send = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_answer, args=(call, send))
    child.start()
    try:
        assert receive.poll(30), "the child hangs"
        return receive.recv()
    finally:
        child.kill()
        child.join()


@pytest.fixture
def kb(tmp_path: Path):
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder()) as kb:
        kb.add(TEXTS)
        yield kb


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("searched", [True, False])
def test_a_child_searches_as_its_parent_does(kb, mode, searched) -> None:
    if searched:
        kb.search("topic 3", mode=mode)
    found = in_child(lambda: [hit.document for hit in kb.search("topic 3", mode=mode)])
    assert found == [hit.document for hit in kb.search("topic 3", mode=mode)]


def test_a_child_writes_and_the_parent_finds_it(kb) -> None:
    kb.search("keys")
    assert in_child(lambda: kb.add([{"id": "new", "text": "quarry flood"}]).documents) == 1
    assert kb.search("quarry flood", k=1)[0].document == "new"
    assert in_child(lambda: kb.remove("d1")) == 1
    assert "d1" not in kb.ids()


def test_a_child_opens_the_collection_itself(kb, tmp_path: Path) -> None:
    kb.search("keys")

    def opened() -> list[str]:
        with gnomon.open(tmp_path / "kb", encoder=HashEncoder()) as own:
            return [hit.document for hit in own.search("topic 3", k=2)]

    assert in_child(opened) == [hit.document for hit in kb.search("topic 3", k=2)]


def test_a_fork_while_another_thread_reads_the_catalog_is_refused_at_once(kb, tmp_path: Path) -> None:
    is_reading, done = threading.Event(), threading.Event()

    def read() -> None:
        with kb.internals.catalog.read() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM documents").scalar()
            is_reading.set()
            done.wait(30)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        assert is_reading.wait(30)
        for call in (lambda: kb.search("keys"), lambda: gnomon.open(tmp_path / "kb", encoder=HashEncoder())):
            error = in_child(call)
            assert isinstance(error, CollectionBusy), error
            assert "spawn" in error.hint
    finally:
        done.set()
        thread.join()
    assert in_child(lambda: kb.search("topic 3", k=1)[0].document) == kb.search("topic 3", k=1)[0].document


def test_a_model_that_ran_in_the_parent_is_refused_at_once_in_a_child(minilm_folder) -> None:
    encoder = gnomon.load_encoder(str(minilm_folder))
    encoder.encode(["a text"], role="document")
    # OpenVINO would compile in the child, and at times wait for the parent's threads for ever.
    error = in_child(lambda: encoder.encode(["a text"], role="document"))
    assert isinstance(error, ForkedProcess), error
    assert "spawn" in error.hint


def test_searches_of_many_queries_at_once_go_on_in_a_child(tmp_path: Path) -> None:
    encoder = HashEncoder()
    with gnomon.open(tmp_path / "kb", encoder=encoder) as kb:
        kb.add([{"id": f"d{i}", "text": f"word{i} text"} for i in range(300)])
        queries = [f"word{i}" for i in range(100)]
        found = kb.search_many(queries, k=1, mode="dense")
        assert in_child(lambda: kb.search_many(queries, k=1, mode="dense")) == found


def test_shared_threads_are_new_in_a_child() -> None:
    threads = SharedThreads(lambda: 2, "test")
    assert threads.submit(os.getpid).result() == os.getpid()
    assert in_child(lambda: threads.submit(os.getpid).result(20)) != os.getpid()
