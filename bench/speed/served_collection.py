"""A collection of 100,000 short chunks of real text, built once and kept.

The first vectors are the model's. Those of the rest are mixtures of three of these: what is measured is a search,
not the encoding of documents.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA, rows
from bench.speed.encode import MODEL
from gnomon.collection.catalog.canaries import CANARIES
from gnomon.core.contracts import DelegatingEncoder, Encoder, Role
from gnomon.core.vectors import Vectors

CHUNKS, REAL, BLOCK, LONGEST = 100_000, 20_000, 5_000, 400
"""Chunks in all, those with the model's own vectors, documents put in at a time, characters of a text."""


class Mixing(DelegatingEncoder):
    """An encoder whose documents are mixtures of known vectors, chosen by the text; all else is the model's."""

    def __init__(self, inner: Encoder, vectors: Any) -> None:
        super().__init__(inner)
        self._vectors = vectors

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """For a document a 0.7 : 0.5 : 0.3 mixture of three known vectors."""
        if role == "query" or any(text == canary for text in texts for _, canary in CANARIES):
            return self.encoder.encode(texts, role=role)
        seeds = np.array([zlib.crc32(text.encode()) for text in texts], dtype=np.uint64)
        mixed = np.zeros((len(texts), self.space.dim), dtype=np.float32)
        for weight, prime in ((0.7, 2654435761), (0.5, 40503), (0.3, 2246822519)):
            mixed += np.float32(weight) * self._vectors[(seeds * np.uint64(prime)) % np.uint64(len(self._vectors))]
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        return Vectors(mixed, self.space)


def built(folder: Path) -> Path:
    """The collection's folder below `folder`, filled up to CHUNKS documents where it is not yet."""
    place, encoder = folder / f"served-{CHUNKS}", gnomon.load_encoder(MODEL)
    with gnomon.open(place, encoder=encoder) as kb:
        _fill(kb, REAL)
        if len(kb) == CHUNKS:
            return place
        ids = kb.chunk_ids("id like '%'")[:REAL]
        known = kb.internals.lookups().vectors_of(ids)[1].data
    with gnomon.open(place, encoder=Mixing(encoder, known)) as kb:
        _fill(kb, CHUNKS)
    return place


def _fill(kb: gnomon.Collection, count: int) -> None:
    done, started = len(kb), time.perf_counter()
    block: list[dict[str, Any]] = []
    for number, document in enumerate(documents()):
        if done <= number < count:
            block.append(document)
        if len(block) == BLOCK or (block and number == count - 1):
            kb.add(block)
            print(f"{number + 1:,} documents, {time.perf_counter() - started:.0f} s", flush=True)
            block = []


def documents() -> Iterator[dict[str, Any]]:
    """CHUNKS documents: descriptions of Debian packages, then glosses of WordNet, with metadata to filter by."""
    count = 0
    for number, row in enumerate(rows(DATA / "pairs" / "debian_desc.jsonl.gz")):
        about = {"set": "debian", "letter": row["pkg"][0], "number": number}
        text = row["b"][:LONGEST]
        yield {"id": f"debian/{number}/{row['pkg']}", "title": row["a"], "text": text, "metadata": about}
        count += 1
    for number, row in enumerate(rows(DATA / "pairs" / "wordnet_gloss.jsonl.gz")[: CHUNKS - count]):
        about = {"set": "wordnet", "letter": row["a"][0].lower(), "pos": row["pos"], "number": number}
        yield {"id": f"wordnet/{number}", "title": row["a"], "text": row["b"], "metadata": about}


def queries(count: int) -> list[str]:
    """As many glosses that are in no document, without their examples: about nine words each.

    An example is in quotes, which ask for that very phrase.
    """
    left = rows(DATA / "pairs" / "wordnet_gloss.jsonl.gz")[CHUNKS:]
    texts = (row["b"].partition(";")[0].replace('"', "") for row in left)
    return [text for text in texts if 20 <= len(text) <= 90][:count]
