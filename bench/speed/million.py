"""A collection of a million chunks, end to end: text in, ten hits out, and what one more document costs.

    python -m bench million [--chunks 1000000] [--folder FOLDER]

The texts are pairs of real short texts; their vectors are mixtures of real vectors, made without the model:
what is measured is everything but the encoding of documents. Queries are encoded by the model, on one thread.
The collection is kept in the folder and used again.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.record import write
from bench.speed.encode import MODEL
from bench.speed.real_vectors import real_vectors, texts
from gnomon.core.contracts import DelegatingEncoder, Encoder, Role
from gnomon.core.vectors import Vectors

REAL, BLOCK, QUERIES = 50_000, 20_000, 300


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
    """Build where there is none, measure, write results/million.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--chunks", type=int, default=1_000_000)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    given = arguments.parse_args()
    inner = gnomon.load_encoder(MODEL, settings=gnomon.EncoderSettings(threads=1))
    encoder = Mixing(inner, real_vectors(given.folder, REAL))
    known = texts()
    folder = given.folder / f"chunks-{given.chunks}"
    with gnomon.open(folder, encoder=encoder) as kb:
        started = time.perf_counter()
        added = 0
        for block in blocks(known, kb.status().chunks, given.chunks):
            added += kb.add(block).chunks_added
            print(f"{added:,} chunks, {time.perf_counter() - started:.0f} s", flush=True)
        built = time.perf_counter() - started
        kb.search("warm up")
    asked = known[REAL : REAL + QUERIES]
    with gnomon.open(folder, encoder=encoder) as kb:
        began = time.perf_counter()
        kb.search("the first search of a process")
        first = time.perf_counter() - began
        rounds = [one_round(kb, inner, asked) for _ in range(4)]
        resident = resident_mib()
        one = one_more(kb)
        status = kb.status()
    body = {
        "model": MODEL,
        "chunks": status.chunks,
        "added_now": added,
        "build_wall_s": round(built, 1) if added else None,
        "first_search_s": round(first, 3),
        "rounds": rounds,
        # A shared machine's speed changes by the minute: the quickest round is the least disturbed.
        "query_ms": min(rounds, key=lambda one: one["hybrid"]["p50"]),
        "one_more_document_ms": one,
        # After four rounds of 990 queries, pages of mapped files that were touched included.
        "resident_mib": resident,
        "disk_mib": round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20),
        "catalog_mib": round(status.catalog_bytes / 2**20),
        "derived_mib": round(sum(item.bytes for item in status.derived) / 2**20),
    }
    write("million", body)


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


def timed(call: Any) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def percentiles(taken: Sequence[float]) -> dict[str, float]:
    """Median and the 99th."""
    return {"p50": round(float(np.median(taken)), 2), "p99": round(float(np.quantile(taken, 0.99)), 2)}


if __name__ == "__main__":
    main()
