"""A collection of a million chunks, end to end: text in, ten hits out, and what one more document costs.

    python -m bench million [--chunks 1000000] [--folder FOLDER] [--rounds 4]

The texts are pairs of real short texts; their vectors are mixtures of real vectors, made without the model:
what is measured is everything but the encoding of documents. Queries are encoded by the model, on one thread.
The collection is kept in the folder and used again.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.record import RESULTS, write
from bench.speed.encode import MODEL
from bench.speed.real_vectors import real_vectors, texts
from gnomon.core.contracts import DelegatingEncoder, Encoder, Role
from gnomon.core.vectors import Vectors
from gnomon.index.ann import SCAN, TRAINING_ROWS

REAL, BLOCK, QUERIES, SAMPLE = 50_000, 20_000, 300, 200


class Mixing(DelegatingEncoder):
    """An encoder whose documents are mixtures of real vectors, chosen by the text; queries are real."""

    def __init__(self, inner: Encoder, vectors: Any) -> None:
        super().__init__(inner)
        self._vectors = vectors

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """For a document a 0.7 : 0.5 : 0.3 mixture of three real vectors."""
        if role == "query":
            return self.encoder.encode(texts, role=role)
        seeds = np.array([zlib.crc32(text.encode()) for text in texts], dtype=np.uint64)
        mixed = np.zeros((len(texts), self.space.dim), dtype=np.float32)
        for weight, prime in ((0.7, 2654435761), (0.5, 40503), (0.3, 2246822519)):
            mixed += np.float32(weight) * self._vectors[(seeds * np.uint64(prime)) % np.uint64(REAL)]
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        return Vectors(mixed, self.space)


def main() -> None:
    """Build where there is none, measure, write results/million.json, where other sizes stay as they are."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--chunks", type=int, default=1_000_000)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--rounds", type=int, default=4)
    arguments.add_argument("--note", default="", help="how the collection came to be, where it was not built here")
    given = arguments.parse_args()
    inner = gnomon.load_encoder(MODEL, settings=gnomon.EncoderSettings(threads=1))
    real = real_vectors(given.folder, REAL)
    encoder, known = Mixing(inner, real), texts()
    folder = given.folder / f"chunks-{given.chunks}"
    built = build(folder, encoder, known, chunks=given.chunks)
    size = {**built, **measure(folder, encoder, known, count=given.rounds), "coded_rows_per_s": coded_rows_per_s(real)}
    if given.note:
        size["note"] = given.note
    path = RESULTS / "million.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    others = [one for one in before.get("sizes", []) if abs(one["chunks"] - size["chunks"]) > size["chunks"] // 100]
    sizes = sorted([*others, size], key=lambda one: int(one["chunks"]))
    write("million", {"model": MODEL, "sizes": sizes})


def build(folder: Path, encoder: Encoder, known: Sequence[str], *, chunks: int) -> dict[str, Any]:
    """Add what is missing, and bring the indexes up to date; seconds of CPU time where all was added now."""
    added, started = 0, time.process_time()
    with gnomon.open(folder, encoder=encoder) as kb:
        there = kb.status().chunks
        for block in blocks(known, there, chunks):
            added += kb.add(block).chunks_added
            print(f"{added:,} chunks, {time.process_time() - started:.0f} s of CPU time", flush=True)
        kb.search("warm up")
    spent = time.process_time() - started
    print(f"ready after {spent:.0f} s of CPU time", flush=True)
    return {"build_cpu_s": round(spent, 1) if added and not there else None}


def measure(folder: Path, encoder: Mixing, known: Sequence[str], *, count: int) -> dict[str, Any]:
    """Searches, one more document, memory and disk of a collection that is there."""
    asked = known[REAL : REAL + QUERIES]
    with gnomon.open(folder, encoder=encoder) as kb:
        began = time.perf_counter()
        kb.search("the first search of a process")
        first = time.perf_counter() - began
        rounds = [one_round(kb, encoder.encoder, asked) for _ in range(count)]
        resident = resident_mib()
        vectors = {text: encoder.encode([text], role="query").data[0] for text in asked[:SAMPLE]}
        recall = recall_at_10(folder, kb, vectors)
        one = one_more(kb)
        status = kb.status()
    derived = {item.name: item.bytes for item in status.derived}
    return {
        "chunks": status.chunks,
        "first_search_s": round(first, 3),
        # A shared machine's speed changes by the minute: the quickest round is the least disturbed.
        "query_ms": min(rounds, key=lambda one: one["hybrid"]["p50"]),
        "rounds": rounds,
        "load_average_after": [round(value, 2) for value in os.getloadavg()],
        "recall_at_10": recall,
        "one_more_document_ms": one,
        # After `rounds` of 990 searches each: VmRSS, pages of mapped files that were touched included.
        "rss_mib": resident,
        "catalog_mib": round(status.catalog_bytes / 2**20, 1),
        "derived_mib": round(sum(derived.values()) / 2**20, 1),
        "derived_dense_mib": round(derived.get("dense", 0) / 2**20, 1),
        "derived_lexical_mib": round(derived.get("lexical", 0) / 2**20, 1),
        "disk_mib": round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20, 1),
    }


def recall_at_10(folder: Path, kb: gnomon.Collection, asked: Mapping[str, Any]) -> float:
    """The share of the ten passages nearest by the catalog's own vectors that a dense search finds.

    `asked` has each query's vector. A passage that is as near as the tenth counts like it.
    """
    queries = np.stack(list(asked.values()))
    dim, best = queries.shape[1], np.full((len(asked), 10), -np.inf, dtype=np.float32)
    reader = sqlite3.connect(f"file:{folder / 'collection.db'}?mode=ro", uri=True)
    rows = reader.execute("SELECT data FROM vectors WHERE role = 'document' AND length(data) = ?", (2 * dim,))
    while block := rows.fetchmany(BLOCK):
        vectors = np.frombuffer(b"".join(row[0] for row in block), "<f2").reshape(-1, dim).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        best = np.partition(np.concatenate([best, queries @ vectors.T], axis=1), -10, axis=1)[:, -10:]
    reader.close()
    tenth = zip(asked, (best.min(axis=1) - 1e-5).tolist(), strict=True)
    found = [sum(hit.score >= least for hit in kb.search(text, mode="dense", k=10)) for text, least in tenth]
    return float(round(sum(found) / (10 * len(found)), 4))


def coded_rows_per_s(vectors: Any) -> int:
    """Rows that one CPU second makes codes of, learning from them included."""
    started = time.process_time()
    SCAN.train(vectors[:TRAINING_ROWS], len(vectors), "cosine").add(vectors)
    return round(len(vectors) / (time.process_time() - started))


def blocks(known: Sequence[str], start: int, end: int) -> Iterator[list[dict[str, str]]]:
    """Documents from number `start` to `end`, a text and another one below it."""
    for first in range(start, end, BLOCK):
        yield [
            {
                "id": f"d{n}",
                "text": f"{known[n % len(known)]}. {known[(n * 7919 + n // 977) % len(known)]}. {n}",
            }
            for n in range(first, min(first + BLOCK, end))
        ]


def latencies(kb: gnomon.Collection, queries: Sequence[str], mode: Any) -> dict[str, float]:
    """One query at a time, after some to warm up, in milliseconds."""
    for text in queries[:30]:
        kb.search(text, mode=mode)
    return percentiles([timed(lambda text=text: kb.search(text, mode=mode)) for text in queries])


def one_round(kb: gnomon.Collection, inner: Encoder, asked: Sequence[str]) -> dict[str, Any]:
    """All modes, and the encoding of queries by itself."""
    found = {mode: latencies(kb, asked, mode) for mode in ("dense", "lexical", "hybrid")}
    alone = percentiles([timed(lambda t=t: inner.encode([t], role="query")) for t in asked])
    return {**found, "encode_alone": alone}


def one_more(kb: gnomon.Collection) -> dict[str, float]:
    """Adding a document and finding it, in milliseconds."""
    taken = []
    for number in range(10):
        text = f"an entirely new text about zyzzyva beetles, number {number} of {time.time_ns()}"

        def add_and_find(text: str = text) -> None:
            kb.add([text])
            if kb.search(text, mode="lexical", k=1)[0].text != text:
                raise SystemExit("a document that was just added is not found")

        taken.append(timed(add_and_find))
    return percentiles(taken)


def resident_mib() -> int | None:
    """This process's resident memory (VmRSS); None where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS:")), None)


def timed(call: Any) -> tuple[float, float]:
    """Milliseconds, and those of CPU time of all threads."""
    started, cpu_started = time.perf_counter(), time.process_time()
    call()
    return (time.perf_counter() - started) * 1000, (time.process_time() - cpu_started) * 1000


def percentiles(taken: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Median and the 99th, and the median of the CPU time, which other load on the machine hardly changes."""
    wall, cpu = zip(*taken, strict=True)
    p50, p99, cpu_p50 = np.median(wall), np.quantile(wall, 0.99), np.median(cpu)
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "cpu_p50": round(float(cpu_p50), 2)}


if __name__ == "__main__":
    main()
