"""What bench/migration/monitoring.py examines: a collection of InsuranceQA answers, streams of real queries, damage."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA, beir, rows
from gnomon.core.contracts import DelegatingEncoder, Encoder, Role
from gnomon.core.documents import Document
from gnomon.core.vectors import Vectors
from gnomon.evaluate.judgments import DataSet

Array = np.ndarray[Any, np.dtype[Any]]
HOME = Path.home() / ".cache" / "gnomon" / "bench"
DOCUMENTS, POOL, GOLDEN = 2000, 3000, 60
PROMPT = "query: "


class Known(DelegatingEncoder):
    """An encoder that knows what earlier benchmarks encoded; the rest it encodes once and keeps in a file.

    `change` is done to each row, `prompt` put before each query: a model that is not what it was.
    """

    def __init__(
        self,
        encoder: Encoder,
        kept: dict[tuple[str, bytes], Array],
        *,
        change: Callable[[Array], Array] | None = None,
        prompt: str = "",
    ) -> None:
        super().__init__(encoder)
        self._kept, self._change, self._prompt = kept, change, prompt

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """Each text once."""
        own = [self._prompt + text for text in texts] if role == "query" else list(texts)
        keys = [(role, hashlib.sha256(text.encode()).digest()) for text in own]
        lacking = {key: text for key, text in zip(keys, own, strict=True) if key not in self._kept}
        if lacking:
            made = self.encoder.encode(list(lacking.values()), role=role).data
            self._kept.update(zip(lacking, made, strict=True))
        data = np.stack([self._kept[key] for key in keys]) if keys else np.zeros((0, self.space.dim), "f4")
        return Vectors(data if self._change is None else self._change(data), self.space)

    def altered(self, **how: Any) -> Known:
        """The same model, changed."""
        return Known(self.encoder, self._kept, **how)


def known(encoder: Encoder) -> Known:
    """With the vectors of the collections that other benchmarks keep, and those of the last run."""
    kept: dict[tuple[str, bytes], Array] = {}
    for name in ("insuranceqa", "scifact"):
        catalog = HOME / name / "collection.db"
        if catalog.is_file():
            with sqlite3.connect(f"file:{catalog}?mode=ro", uri=True) as connection:
                found = connection.execute("SELECT role, text_hash, data FROM vectors")
                kept.update({(role, key): np.frombuffer(data, "<f4") for role, key, data in found})
    file = HOME / "monitoring" / "encoded.npz"
    if file.is_file():
        with np.load(file) as saved:
            pairs = zip(saved["roles"].tolist(), saved["keys"], saved["rows"], strict=True)
            kept.update({(role, key.tobytes()): row for role, key, row in pairs})
    return Known(encoder, kept)


def keep(encoder: Known) -> None:
    """Save all vectors for the next run."""
    file = HOME / "monitoring" / "encoded.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    pairs = list(encoder._kept)
    keys = np.frombuffer(b"".join(key for _, key in pairs), dtype=np.uint8).reshape(-1, 32)
    np.savez(
        file,
        roles=np.array([role for role, _ in pairs]),
        keys=keys,
        rows=np.stack([encoder._kept[p] for p in pairs]),
    )


@dataclass(frozen=True)
class Material:
    """Documents in the collection and in reserve, golden queries, and streams of queries."""

    documents: list[Document]
    reserve: list[Document]
    foreign: list[Document]
    golden: DataSet
    asked: list[str]
    topic: list[str]
    claims: list[str]


def material() -> Material:
    """From InsuranceQA's answers and its 14,889 questions, and SciFact's abstracts and claims."""
    data = beir("insuranceqa", "dev")
    golden = sorted(data.relevant)[:GOLDEN]
    relevant = {query: data.relevant[query] for query in golden}
    wanted = {document for grades in relevant.values() for document in grades}
    texts = [Document(row["_id"], row["text"]) for row in data.documents if row["_id"] in wanted]
    others = [row for row in data.documents if row["_id"] not in wanted]
    drawn = random.Random(1).sample(others, DOCUMENTS - len(texts) + POOL)
    more = [Document(row["_id"], row["text"]) for row in drawn]
    cut = DOCUMENTS - len(texts)
    questions = [row for row in rows(DATA / "insuranceqa" / "queries.jsonl.gz") if row["_id"] not in relevant]
    abstracts = rows(DATA / "scifact" / "corpus.jsonl.gz")[:1000]
    foreign = [Document(f"s{row['_id']}", row["text"], title=row["title"]) for row in abstracts]
    claims = [row["text"] for row in rows(DATA / "scifact" / "queries.jsonl.gz")]
    return Material(
        documents=texts + more[:cut],
        reserve=more[cut:],
        foreign=foreign,
        golden=DataSet("insuranceqa", {q: data.queries[q] for q in golden}, relevant, "dev"),
        asked=[row["text"] for row in questions],
        topic=[row["text"] for row in questions if row["domain"] == "medicare-insurance"],
        claims=claims,
    )


def made(folder: Path, encoder: Encoder, content: Material) -> Path:
    """The collection, in a new folder."""
    with gnomon.open(folder, encoder=encoder) as kb:
        kb.add(content.documents)
        kb.search("a first query")
    return folder


def rotation(dim: int) -> Array:
    """A random rotation: another model of the same quality, in coordinates of its own."""
    turned: Array = np.linalg.qr(np.random.default_rng(1).standard_normal((dim, dim)))[0].astype("f4")
    return turned


def damaged(catalog: Path, share: float, change: Callable[[Array, int], Array], *, seed: int) -> int:
    """Change a share of the stored document vectors, at random. Returns how many."""
    connection = sqlite3.connect(catalog)
    with connection:
        found = connection.execute("SELECT id, data FROM vectors WHERE role = 'document' ORDER BY id").fetchall()
        picked = random.Random(seed).sample(found, round(share * len(found)))
        changed = [
            (change(np.frombuffer(data, "<f4"), number).astype("<f4").tobytes(), row)
            for number, (row, data) in enumerate(picked)
        ]
        connection.executemany("UPDATE vectors SET data = ? WHERE id = ?", changed)
    connection.close()
    return len(changed)


def corrupted(row: Array, number: int) -> Array:
    """One of five: random numbers, zeros, NaN, the halves exchanged, a tenth of the numbers lost."""
    noise = np.random.default_rng(number).standard_normal(len(row))
    half = len(row) // 2
    ways = (
        noise / np.linalg.norm(noise),
        np.zeros(len(row)),
        np.full(len(row), np.nan),
        np.concatenate([row[half:], row[:half]]),
        np.where(noise < -1.28, 0.0, row),
    )
    changed: Array = ways[number % len(ways)]
    return changed
