"""Vector engines as stores, on the same real vectors: recall, time, and what they keep on disk.

    python -m bench stores --work FOLDER [--vectors 20000] [--queries 200] [--only "LanceDB" "Milvus Lite"]

Each engine is filled through its store, as a version of a collection is: vectors, texts, metadata, then a stamp. One
query at a time; recall@10 is against exact search in float32. Rows that are not measured now stay as they were.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.record import RESULTS, write
from bench.speed.real_vectors import Array, real_vectors, texts
from gnomon.core.conditions import Comparison, Constant, Field
from gnomon.core.space import Space
from gnomon.core.stores import Store, StoreItems, StorePosition
from gnomon.core.vectors import Vectors
from gnomon.stores import StoreAddress, open_store

_BATCH = 2_000
_K = 10
_TENTH = Comparison(Field("tenth"), "=", (Constant("number", 3),))
"""A condition that one document in ten meets."""


def _at(address: str) -> Callable[[Path], contextlib.AbstractContextManager[Store]]:
    """A way whose store lies in a folder: "{folder}" in the address."""

    @contextlib.contextmanager
    def opened(folder: Path) -> Iterator[Store]:
        store = open_store(StoreAddress.parse(address.format(folder=folder)), "bench_v1")
        try:
            yield store
        finally:
            store.close()

    return opened


WAYS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Store]]] = {
    "FAISS": _at("faiss://{folder}"),
    "LanceDB": _at("lancedb://{folder}"),
    "Qdrant Edge": _at("qdrant://{folder}"),
    "Milvus Lite": _at("milvus://{folder}/lite.db"),
}
"""What is measured, by the name of its row."""


def main() -> None:
    """Measure, and write results/stores.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--work", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--vectors", type=int, default=20_000)
    arguments.add_argument("--queries", type=int, default=200)
    arguments.add_argument("--only", nargs="*", default=list(WAYS))
    given = arguments.parse_args()
    vectors = real_vectors(given.work, given.vectors + 1000)
    base, queries = vectors[: given.vectors], vectors[given.vectors :][: given.queries]
    size = {"vectors": given.vectors, "dimensions": vectors.shape[1], "queries": given.queries}
    rows = {row["store"]: row for row in _earlier(size)}
    for name in given.only:
        folder = given.work / f"store-{name.replace(' ', '-').lower()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            rows[name] = {"store": name, **measured(WAYS[name], folder, base, queries=queries)}
        finally:
            shutil.rmtree(folder)
        print(rows[name], file=sys.stderr)
    write("stores", {**size, "stores": [rows[name] for name in WAYS if name in rows]})


def _earlier(size: dict[str, int]) -> list[dict[str, Any]]:
    """Rows of an earlier run of the same size."""
    path = RESULTS / "stores.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return known["stores"] if size.items() <= known.items() else []


def measured(
    way: Callable[[Path], contextlib.AbstractContextManager[Store]], folder: Path, base: Array, *, queries: Array
) -> dict[str, Any]:
    """A row: filling, searching with and without a filter, and bytes on disk."""
    space = Space("0" * 64, base.shape[1], "cosine", "float", "bench")
    items = StoreItems(
        ids=np.arange(len(base)),
        vectors=Vectors(base, space),
        titles=[""] * len(base),
        texts=texts()[: len(base)],
        fields=[{"tenth": at % 10, "year": 1950 + at % 70} for at in range(len(base))],
        own=[{"id": f"docs/{at}.md", "source": "", "title": "", "media_type": ""} for at in range(len(base))],
    )
    with way(folder) as store:
        started, cpu = time.perf_counter(), time.process_time()
        store.create(space, {"tenth": "number", "year": "number"})
        for start in range(0, len(base), _BATCH):
            store.upsert(_part(items, start))
        put_s = time.perf_counter() - started
        store.stamp(StorePosition("bench", 1, space.fingerprint, seq=1, nonce=1))
        filled_s = time.perf_counter() - started
        cpu_s = time.process_time() - cpu
        wanted = [np.argsort(-row, kind="stable")[:_K] for row in queries @ base.T]
        recall, p50 = _asked(store, queries, space, wanted=wanted)
        tenth = np.flatnonzero(np.arange(len(base)) % 10 == 3)
        among = [tenth[np.argsort(-row, kind="stable")[:_K]] for row in queries @ base[tenth].T]
        where = _TENTH if store.can_filter(_TENTH) else tenth
        filtered_recall, filtered_p50 = _asked(store, queries, space, wanted=among, where=where)
    # Blocks, not lengths: Qdrant sets files aside in advance that are nearly empty.
    used = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
    return {
        "recall_at_10": round(recall, 4),
        "p50_ms": round(p50, 2),
        "filtered_recall_at_10": round(filtered_recall, 4),
        "filtered_p50_ms": round(filtered_p50, 2),
        "put_a_second": round(len(base) / put_s),
        "filled_s": round(filled_s, 1),
        "filled_cpu_s": round(cpu_s, 1),
        "bytes_a_chunk": round(used / len(base)),
    }


def _part(items: StoreItems, start: int) -> StoreItems:
    at = slice(start, start + _BATCH)
    return StoreItems(
        items.ids[at], items.vectors[at], items.titles[at], items.texts[at], items.fields[at], items.own[at]
    )


def _asked(
    store: Store, queries: Array, space: Space, *, wanted: list[Array], where: Comparison | Array | None = None
) -> tuple[float, float]:
    """Recall@10 and the median milliseconds of a query."""
    hits, times = 0, []
    store.search(Vectors(queries[:5], space), k=_K, where=where)
    for query, near in zip(queries, wanted, strict=True):
        started = time.perf_counter()
        (found,) = store.search(Vectors(query[None], space), k=_K, where=where)
        times.append((time.perf_counter() - started) * 1000)
        hits += len(set(found.ids.tolist()) & set(near.tolist()))
    return hits / sum(map(len, wanted)), statistics.median(times)


if __name__ == "__main__":
    main()
