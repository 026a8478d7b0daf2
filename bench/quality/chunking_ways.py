"""Ways to cut documents and to use their titles, for bench/quality/chunking.py."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.quality.chunking_sets import Judged
from gnomon.collection.evaluation import GROUP_DEPTH, ChunkOwners, ranked_results
from gnomon.collection.search import build_retriever
from gnomon.core.contracts import DelegatingEncoder, Encoder, Role
from gnomon.core.documents import Chunk, Document
from gnomon.core.vectors import Vectors
from gnomon.evaluate import Run
from gnomon.index.exact import ExactIndex
from gnomon.index.lexical import LexicalIndex, LexicalSettings
from gnomon.text.chunk import Chunker, ChunkSettings

ALL = 1_000_000_000
"""More documents than there are."""


@dataclass(frozen=True)
class Way:
    """Which titles stand before the embedded text, how often they are among the words, and the cut.

    `shared` is by how many documents at most a title is shared that stands before their texts; 0 for none.
    """

    shared: int = ALL
    weight: int = 2
    tokens: int = 256
    even: bool = False


@dataclass
class Known(DelegatingEncoder):
    """An encoder that keeps every vector in a file: ways share most of their texts."""

    encoder: Encoder
    path: Path
    rows: dict[tuple[str, str], Any] = field(default_factory=dict)
    kept: int = 0

    def __post_init__(self) -> None:
        if self.path.is_file():
            held = np.load(self.path, allow_pickle=False)
            for role in ("document", "query"):
                if f"{role}_rows" in held:
                    texts = held[f"{role}_texts"].tobytes().decode().split("\0")
                    self.rows |= {(role, text): row for text, row in zip(texts, held[f"{role}_rows"], strict=True)}
        self.kept = len(self.rows)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """Known rows, and the encoder's for the others."""
        new = sorted({text for text in texts if (role, text) not in self.rows}, key=len)
        if new:
            made = self.encoder.encode(new, role=role).data.astype(np.float32)
            self.rows |= {(role, text): row for text, row in zip(new, made, strict=True)}
        return Vectors(np.stack([self.rows[role, text] for text in texts]), self.space)

    def save(self) -> None:
        """Keep what is known, if there is anything new."""
        if len(self.rows) == self.kept:
            return
        kept: dict[str, Any] = {}
        for role in ("document", "query"):
            own = {text: row for (kind, text), row in self.rows.items() if kind == role}
            if own:
                kept[f"{role}_texts"] = np.frombuffer("\0".join(own).encode(), dtype=np.uint8)
                kept[f"{role}_rows"] = np.stack(list(own.values()))
        np.savez(self.path, **kept)
        self.kept = len(self.rows)


def chunked(data: Judged, way: Way, encoder: Encoder) -> list[tuple[Document, Chunk]]:
    """All chunks with their documents, in order."""
    found = []
    chunkers: dict[tuple[int, bool], Chunker] = {}
    counts = data.titles

    def chunker(tokens: int, titled: bool) -> Chunker:
        if (tokens, titled) not in chunkers:
            chunkers[tokens, titled] = Chunker(
                ChunkSettings(tokens, tokens // 8, titled),
                tokenizer_json=encoder.tokenizer_json,
                count=lambda texts: encoder.count_tokens(texts, role="document"),
                overhead=2,
            )
        return chunkers[tokens, titled]

    for document in data.documents:
        titled = counts[document.title] <= way.shared
        cut = chunker(way.tokens, titled).chunk(document)
        if way.even and len(cut) > 1:
            # As many tokens each as make the same number of chunks equal, and a little to find a seam.
            mean = sum(chunk.tokens for chunk in cut) / len(cut)
            even = chunker(min(way.tokens, math.ceil(mean * 1.1 / 8) * 8), titled).chunk(document)
            cut = even if len(even) <= len(cut) + 1 else cut
        found += [(document, chunk) for chunk in cut]
    return found


def runs(data: Judged, way: Way, encoder: Known, *, modes: Mapping[str, Any]) -> dict[str, Run]:
    """What each mode finds for the questions of a set."""
    cut = chunked(data, way, encoder)
    ids = np.arange(len(cut), dtype=np.int64)
    dense = ExactIndex(encoder.space)
    dense.add(ids, encoder.encode([chunk.embed_text for _, chunk in cut], role="document"))
    numbers = {document.id: number for number, document in enumerate(data.documents)}
    owners = ChunkOwners(
        ids,
        np.array([numbers[document.id] for document, _ in cut], dtype=np.int64),
        {number: key for key, number in numbers.items()},
    )
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        lexical = LexicalIndex.create(Path(folder) / "words", LexicalSettings(title_weight=way.weight))
        titles = [
            " ".join(
                [
                    document.title,
                    *[part for part in chunk.heading if part != document.title],
                ]
            ).strip()
            for document, chunk in cut
        ]
        lexical.add(ids, titles, [chunk.text for _, chunk in cut])
        lexical.commit(1)
        for name, (mode, settings) in modes.items():
            retriever = build_retriever(mode, settings, encoder=encoder, dense=dense, lexical=lexical)
            ranked = ranked_results(retriever, data.queries, owners, k=10, depth=GROUP_DEPTH, by="document")
            found[name] = Run.ranked(name, dict(ranked))
    return found
