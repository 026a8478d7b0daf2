"""A collection of 100,000 short chunks of real text with real vectors, built once and kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gnomon
from bench.data import DATA, rows

CHUNKS, BLOCK, LONGEST = 100_000, 5_000, 400
"""Chunks in all, documents put in at a time, and characters of a text: each is one chunk."""


def built(folder: Path) -> Path:
    """The collection's folder below `folder`, filled up to CHUNKS documents where it is not yet."""
    place = folder / f"served-{CHUNKS}"
    with gnomon.open(place) as kb:
        done, started = len(kb), time.perf_counter()
        block: list[dict[str, Any]] = []
        for number, document in enumerate(documents()):
            if number >= done:
                block.append(document)
            if len(block) == BLOCK or (block and number == CHUNKS - 1):
                kb.add(block)
                print(f"{number + 1:,} documents, {time.perf_counter() - started:.0f} s", flush=True)
                block = []
    return place


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
    """As many glosses that are in no document: about nine words each."""
    left = rows(DATA / "pairs" / "wordnet_gloss.jsonl.gz")[CHUNKS:]
    return [row["b"] for row in left if 20 <= len(row["b"]) <= 90][:count]
