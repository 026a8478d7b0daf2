"""Many callers: query times idle and while a big index run is under way, and the rate of several threads.

    python -m bench callers [--seconds 15]

Over a collection of SciFact. The index run puts InsuranceQA's answers into the same collection: in another
process, in a thread of this one, and once more in another process with all vectors cached, which moves the
journal as fast as it ever does. What counts is the ratio of the p99 to that of an idle machine.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench import pages
from bench.data import DATA, beir
from bench.record import write
from gnomon.collection.inputs import checked_queries
from gnomon.collection.search import build_retriever
from gnomon.core.contracts import Encoder
from gnomon.core.progress import Progress
from gnomon.encode.batched import BatchedEncoder

BIG = "insuranceqa"
THREADS = (1, 2, 4, 8)
WARM_UP = 50
Search = Callable[[str], Any]


def main() -> None:
    """Measure and write results/callers.json and docs/callers.md."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--seconds", type=float, default=15.0, help="how long each state is measured")
    arguments.add_argument("--index", type=Path, help="(what the other process does, until it is ended)")
    arguments.add_argument("--again", action="store_true", help="(with --index: from the cache, for ever)")
    given = arguments.parse_args()
    if given.index:
        index_until_ended(given.index, again=given.again)
        return
    queries = list(beir("scifact", "test").queries.values())
    with gnomon.open(given.folder / "scifact") as kb:
        kb.index([DATA / "scifact"])  # made where it is not there yet
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(given.folder / "scifact", Path(scratch) / "kb"))
        with gnomon.open(folder) as kb:
            chunks = kb.status().chunks
            rates = throughput(kb, queries, given.seconds / 4)
            times = busy_times(kb, folder, queries, seconds=given.seconds)
            added = kb.status().chunks - chunks
    figures = {"chunks": chunks, "chunks_added": added, "query_ms": times, "throughput": rates}
    write("callers", figures)
    pages.write("callers")


def busy_times(
    kb: gnomon.Collection, folder: Path, queries: Sequence[str], *, seconds: float
) -> dict[str, dict[str, float]]:
    """One caller's times, idle and during each kind of index run, with the ratios."""
    states = {
        "idle": idle(),
        "run_in_another_process": other_process(folder),
        "run_in_a_thread": other_thread(kb),
        "cached_run_in_another_process": other_process(folder, "--again"),
    }
    found: dict[str, dict[str, float]] = {}
    for name, state in states.items():
        with state:
            for query in queries[:WARM_UP]:
                kb.search(query)
            before = kb.internals.indexes.dense_at
            with Age(kb, folder) as age:
                found[name] = summary(asked(kb.search, queries, time.perf_counter() + seconds), seconds)
            found[name]["journal_moved"] = kb.internals.indexes.dense_at - before
            found[name]["behind_s"] = round(age.most_s, 2)
    for figures in found.values():
        for key in ("p50", "p99"):
            figures[f"{key}_to_idle"] = round(figures[key] / found["idle"][key], 2)
    return found


class Age:
    """How long ago the catalog first had more than searches found, at the most; looked at now and then."""

    def __init__(self, kb: gnomon.Collection, folder: Path) -> None:
        self._kb, self._file = kb, folder / "collection.db"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most_s = 0.0

    def __enter__(self) -> Age:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        catalog = sqlite3.connect(self._file)
        heads: list[tuple[float, int]] = []  # those that are not yet found, with when they were first seen
        while not self._stop.wait(0.05):
            now, (head,) = time.perf_counter(), catalog.execute("SELECT max(seq) FROM journal").fetchone()
            heads.append((now, head))
            found = self._kb.internals.indexes.dense_at
            heads = [(seen, seq) for seen, seq in heads if seq > found]
            self.most_s = max([self.most_s, *(now - seen for seen, _ in heads)])
        catalog.close()


@contextmanager
def idle() -> Iterator[None]:
    """Nothing else going on."""
    yield


@contextmanager
def other_process(folder: Path, *more: str) -> Iterator[None]:
    """An index run in a process of its own, which is ended in the middle of it."""
    command = [sys.executable, "-m", __spec__.name, "--index", str(folder), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdout.readline() != "embedding\n":
            raise SystemExit("the other process did not come to embedding")
        try:
            yield
        finally:
            process.kill()


@contextmanager
def other_thread(kb: gnomon.Collection) -> Iterator[None]:
    """An index run in a thread, which is interrupted in the middle of it."""
    going, stop = threading.Event(), threading.Event()

    def tell(progress: Progress) -> None:
        if progress.stage == "embedding":
            going.set()
        if stop.is_set():
            raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(kb.index, [DATA / BIG], progress=tell)
        going.wait(60)
        try:
            yield
        finally:
            stop.set()
            run.result()


def index_until_ended(folder: Path, *, again: bool) -> None:
    """Put the big set in; `again`: take out what is cached of it and put it in again, for ever."""
    told = threading.Event()

    def tell(progress: Progress) -> None:
        if progress.stage == "embedding" and not told.is_set():
            told.set()
            print("embedding", flush=True)

    with gnomon.open(folder) as kb:
        if not again:
            kb.index([DATA / BIG], progress=tell)
            return
        cached = set(kb.ids()) - {row["_id"] for row in beir("scifact", "test").documents}
        texts = [{"id": key, "text": kb.text(key) or ""} for key in cached]
        while True:
            kb.remove(cached)
            kb.add(texts, progress=tell)


def throughput(kb: gnomon.Collection, queries: Sequence[str], seconds: float) -> dict[str, Any]:
    """Queries a second of several threads, with their encodings shared and each by itself."""
    kb.search(queries[0])
    found: dict[str, Any] = {}
    for name, encoder in (("shared", BatchedEncoder(kb.encoder)), ("each_by_itself", kb.encoder)):
        search = searcher(kb, encoder)
        found[name] = {str(count): rate(search, queries, count, seconds=seconds) for count in THREADS}
    with_32 = asked(lambda _: kb.search_many(queries[:32]), queries, time.perf_counter() + seconds)
    found["search_many_of_32"] = {"per_second": round(32 * len(with_32) / sum(with_32), 1)}
    return found


def searcher(kb: gnomon.Collection, encoder: Encoder) -> Search:
    """`Collection.search` with an encoder of its own."""
    view, settings = kb.internals.indexes, kb.version.retrieval
    retriever = build_retriever("hybrid", settings, encoder=encoder, dense=view.dense, lexical=view.lexical)

    def search(text: str) -> Any:
        return kb.hits(text, retriever(checked_queries([text], 10, "chunk"), k=10)[0])

    return search


def rate(search: Search, queries: Sequence[str], callers: int, *, seconds: float) -> dict[str, float]:
    """What so many threads get done in that time, each asking as soon as it has its answer."""
    for query in queries[:WARM_UP]:
        search(query)
    end = time.perf_counter() + seconds
    with ThreadPoolExecutor(callers) as pool:
        shares = [[*queries[number:], *queries[:number]] for number in range(0, callers * 17, 17)]
        runs = list(pool.map(lambda share: asked(search, share, end), shares))
    return summary([taken for run in runs for taken in run], seconds)


def asked(search: Search, queries: Sequence[str], end: float) -> list[float]:
    """Seconds that each query took, over and over until the end."""
    taken = []
    number = 0
    while time.perf_counter() < end:
        started = time.perf_counter()
        search(queries[number % len(queries)])
        taken.append(time.perf_counter() - started)
        number += 1
    return taken


def summary(taken: Sequence[float], seconds: float) -> dict[str, float]:
    """Rate, and quantiles in milliseconds."""
    ms = np.array(taken) * 1000
    quantiles = {f"p{q}": round(float(np.percentile(ms, q)), 2) for q in (50, 99)}
    return {"queries": len(taken), "per_second": round(len(taken) / seconds, 1), **quantiles,
            "max": round(float(ms.max()), 1)}  # fmt: skip


if __name__ == "__main__":
    main()
