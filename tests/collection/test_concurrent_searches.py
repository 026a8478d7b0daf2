"""Many threads search one collection while another writes to it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gnomon.collection import Collection

QUERIES = ("gnomon sundial", "blue whale", "black tea", "read the settings")


def test_concurrent_searches_find_what_lone_ones_find(kb: Collection) -> None:
    expected = {query: [(h.document, round(h.score, 5)) for h in kb.search(query)] for query in QUERIES}

    def ask(number: int) -> bool:
        query = QUERIES[number % len(QUERIES)]
        return [(h.document, round(h.score, 5)) for h in kb.search(query)] == expected[query]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))


def test_searches_go_on_while_a_run_writes(kb: Collection, docs: Path) -> None:
    for number in range(300):
        (docs / f"note{number}.txt").write_text(f"Note {number} on nothing in particular.")
    stop = threading.Event()
    failures: list[object] = []

    def ask() -> None:
        while not stop.is_set():
            hits = kb.search("black tea", k=1)
            if not hits or hits[0].document != "docs/deep/tea.txt":
                failures.append(hits)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    report = kb.index([docs])
    stop.set()
    for thread in threads:
        thread.join()
    assert report.indexed == 300
    assert failures == []
    assert kb.search("note 299", k=1, mode="lexical")[0].document == "docs/note299.txt"
