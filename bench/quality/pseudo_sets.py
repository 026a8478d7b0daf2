"""Collections of public sets for bench/quality/pseudo.py: made once, searched in every mode, damaged on purpose."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

import gnomon
from bench.data import Beir, beir
from gnomon.collection.catalog import queries, schema
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.search import build_retriever
from gnomon.core.contracts import Encoder, Index, Retriever, Role
from gnomon.core.documents import Document
from gnomon.core.ranking import Query
from gnomon.core.vectors import Vectors
from gnomon.evaluate.pseudo import ChunkText
from gnomon.index.exact import ExactIndex

SETS = {"scifact": "test", "cranfield": "test", "insuranceqa": "dev", "cosqa": "dev"}
MOST_DOCUMENTS = 8000
MOST_QUERIES = 1000
DEPTH = 200  # chunks a query, of which the first ten documents are taken
Run = dict[str, dict[str, float]]


def part_of(name: str) -> Beir:
    """A set, cut to its first queries, to their documents and to others drawn at random."""
    data = beir(name, SETS[name])
    queries = dict(list(data.queries.items())[:MOST_QUERIES])
    relevant = {query: data.relevant[query] for query in queries}
    wanted = {document for grades in relevant.values() for document in grades}
    others = [row for row in data.documents if row["_id"] not in wanted]
    room = max(0, MOST_DOCUMENTS - len(wanted))
    kept = {row["_id"] for row in random.Random(0).sample(others, min(room, len(others)))} | wanted
    return replace(
        data,
        queries=queries,
        relevant=relevant,
        documents=[row for row in data.documents if row["_id"] in kept],
    )


class Once:
    """An encoder that keeps what it has encoded. `before` is put before every query, as a prompt would be."""

    def __init__(self, encoder: Encoder, *, before: str = "", posing_as: Encoder | None = None) -> None:
        self._encoder, self._before = encoder, before
        self.space = (posing_as or encoder).space
        self.max_tokens, self.tokenizer_json = encoder.max_tokens, encoder.tokenizer_json
        self._rows: dict[tuple[Role, str], Any] = {}

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """As the encoder counts them."""
        return self._encoder.count_tokens(texts, role=role)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """As the encoder does it, each text once."""
        new = list(dict.fromkeys(text for text in texts if (role, text) not in self._rows))
        rows = self._encoder.encode([self._before + text for text in new], role=role).data
        self._rows.update({(role, text): row for text, row in zip(new, rows, strict=True)})
        return Vectors(np.stack([self._rows[role, text] for text in texts]), self.space)


@dataclass(frozen=True, eq=False)
class Corpus:
    """An open collection of one set, with all its chunks and which document each is of."""

    kb: gnomon.Collection
    encoder: Once
    chunks: list[ChunkText]
    owners: dict[int, str]
    ids: Any
    vectors: Vectors

    def retriever(
        self,
        mode: Any,
        fuse: Any = None,
        *,
        encoder: Encoder | None = None,
        dense: Index | None = None,
    ) -> Retriever:
        """The retriever that serves a mode, over other queries' vectors or another index where given."""
        view = self.kb.internals.indexes
        settings = gnomon.RetrievalSettings() if fuse is None else gnomon.RetrievalSettings(fuse=fuse)
        return build_retriever(
            mode,
            settings,
            encoder=encoder or self.encoder,
            dense=view.dense if dense is None else dense,
            lexical=view.lexical,
        )

    def run(self, retriever: Retriever, queries: Mapping[str, str]) -> Run:
        """The first ten documents of each query with their best chunk's score."""
        found: Run = {}
        rankings = retriever([Query(text) for text in queries.values()], k=DEPTH)
        for query, ranking in zip(queries, rankings, strict=True):
            best: dict[str, float] = {}
            for chunk, score in zip(ranking.ids.tolist(), ranking.scores.tolist(), strict=True):
                best.setdefault(self.owners[chunk], score)
                if len(best) == 10:
                    break
            found[query] = best
        return found

    def index_of(self, rows: Any, kept: Any = slice(None)) -> Index:
        """An exact index with these rows in the place of the collection's vectors, all or some of them."""
        index = ExactIndex(self.encoder.space)
        index.add(self.ids[kept], Vectors(rows[kept], self.encoder.space))
        return index


def corpus(data: Beir, folder: Path, *, model: str | None = None, titles: bool = True) -> Corpus:
    """The set as a collection in `folder`; one that is there is used again."""
    settings = gnomon.CollectionSettings(model=model, prepend_title=titles)
    kb = gnomon.open(folder, settings=settings)
    if not kb.status().documents:
        kb.add(Document(row["_id"], row["text"], title=row.get("title", "")) for row in data.documents)
    catalog = Catalog(folder, create=False)
    chunk, document = schema.chunks.c, schema.documents.c
    columns = (chunk.id, document.key, chunk.text, chunk.ordinal, document.title, chunk.heading)
    joined = select(*columns).join_from(schema.chunks, schema.documents, document.id == chunk.document_id)
    with catalog.read() as connection:
        found = connection.execute(joined.order_by(chunk.id)).all()
        every = np.array([row.id for row in found], dtype=np.int64)
        ids, vectors = queries.vectors_of(connection, kb.version.space_id, kb.version.space, ids=every)
    catalog.close()
    chunks = [
        ChunkText(str(row.id), row.key, row.text, row.ordinal, row.title, tuple(json.loads(row.heading)))
        for row in found
    ]
    owners = {row.id: row.key for row in found}
    return Corpus(kb, Once(kb.encoder), chunks, owners, ids, vectors)


def with_cls_pooling(model_folder: Path, into: Path) -> Path:
    """A copy of a model's folder whose pooling says CLS: what a wrongly written config does."""
    if not into.is_dir():
        shutil.copytree(model_folder, into)
        config = into / "1_Pooling" / "config.json"
        plain = json.loads(config.read_text())
        plain.update(pooling_mode_mean_tokens=False, pooling_mode_cls_token=True)
        config.write_text(json.dumps(plain))
    return into


def permuted(rows: Any, share: float) -> Any:
    """Vectors of which a share lies under other ids: what a damaged index does."""
    random_state = np.random.default_rng(0)
    chosen = random_state.choice(len(rows), int(share * len(rows)), replace=False)
    damaged = rows.copy()
    damaged[chosen] = rows[np.roll(chosen, 1)]
    return damaged


def mixed(rows: Any, share: float) -> Any:
    """Vectors of which a share is of another space of equal dimensions: the same ones, turned at random."""
    random_state = np.random.default_rng(0)
    turn, _ = np.linalg.qr(random_state.standard_normal((rows.shape[1], rows.shape[1])))
    chosen = random_state.choice(len(rows), int(share * len(rows)), replace=False)
    damaged = rows.copy()
    damaged[chosen] = rows[chosen] @ turn.astype(np.float32)
    return damaged
