"""Queries that were asked: what tells which documents are searched most."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import select

from gnomon.collection.catalog import queries, schema
from gnomon.collection.collection import Collection
from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Query
from gnomon.evaluate.text_files import text_lines
from gnomon.migrate.adapter.search import hot_order
from gnomon.migrate.judgments import Judgments

_DEEP, _MOST, _AT_ONCE, _BLOCK = 10, 2000, 100, 500


@dataclass(frozen=True)
class Asked:
    """Queries with how often each was asked, and where they come from; empty where there are none."""

    times: Mapping[str, int] = field(default_factory=dict)
    source: str = ""

    def most(self, many: int) -> list[str]:
        """The distinct ones that were asked most, `many` at most."""
        return [text for text, _ in Counter(self.times).most_common(many)]


def asked_of(path: str | None, judged: Judgments | None) -> Asked:
    """The queries of a file; else the judged ones, each as if it had been asked once; else none.

    Raises InvalidInput for a file without queries, UnreadableFile.
    """
    if path is not None:
        return Asked(Counter(read_queries(Path(path))), str(path))
    if judged is not None:
        return Asked(Counter(judged.queries.values()), f"the judged queries of {judged.dataset.name}")
    return Asked()


def read_queries(path: Path) -> tuple[str, ...]:
    """A text a line; or JSON lines, each a string or an object with "text" or "query".

    Raises InvalidInput for a file without queries, UnreadableFile.
    """
    found = []
    for number, line in text_lines(path):
        text: object = line
        if line.lstrip()[:1] in ("{", '"'):
            text = _of_json(line, path, number)
        found.append(str(text).strip())
    found = [text for text in found if text]
    if not found:
        raise InvalidInput(f"{path} holds no query", expected="a query a line", hint="give a file of recent queries")
    return tuple(found)


def _of_json(line: str, path: Path, number: int) -> str:
    try:
        row = json.loads(line)
    except ValueError:
        return line  # a query may well begin with a quotation mark
    text = row.get("text", row.get("query")) if isinstance(row, dict) else row
    if not isinstance(text, str):
        raise InvalidInput(
            f"{path}, line {number}: {line[:80]}",
            expected='a text, or {"text": "…"}, or {"query": "…"}',
            hint="correct the line",
        )
    return text


def searched_most(kb: Collection, asked: Asked) -> Array:
    """Ids of the passages of all documents that the queries find, the most-searched document first.

    A document counts once for each time that a query was asked that has it among its first ten passages, by
    the search of what serves. Of more than 2,000 distinct queries the most-asked ones are taken. Documents
    that are searched alike come in the order in which they were put in, and a document's passages together.
    """
    counts: Counter[int] = Counter()
    texts, retriever = asked.most(_MOST), kb.retriever()
    for at in range(0, len(texts), _AT_ONCE):
        some = texts[at : at + _AT_ONCE]
        rankings = retriever([Query(text) for text in some], k=_DEEP)
        with kb.internals.catalog.read() as connection:
            for text, ranking in zip(some, rankings, strict=True):
                for document in set(queries.document_ids(connection, ranking.ids).values()):
                    counts[document] += asked.times[text]
    documents = hot_order(counts, np.array(sorted(counts), dtype=np.int64))
    passages = dict(_passages(kb, documents.tolist()))
    found = [passages.get(one, []) for one in documents.tolist()]
    return np.array([one for some in found for one in some], dtype=np.int64)


def _passages(kb: Collection, documents: list[int]) -> Iterator[tuple[int, list[int]]]:
    """The passages of documents, by the document's row."""
    chunk = schema.chunks.c
    for at in range(0, len(documents), _BLOCK):
        some = documents[at : at + _BLOCK]
        with kb.internals.catalog.read() as connection:
            of = (chunk.document_id.in_(some), chunk.chunking_id == kb.version.chunking_id)
            rows = connection.execute(select(chunk.document_id, chunk.id).where(*of).order_by(chunk.id)).all()
        found: dict[int, list[int]] = {}
        for document, one in rows:
            found.setdefault(document, []).append(one)
        yield from found.items()
