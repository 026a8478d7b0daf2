"""A log of past queries, and which passages they search most."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int
from sqlalchemy import select

from gnomon.collection.catalog import queries, schema
from gnomon.collection.collection import Collection
from gnomon.collection.query_log import logged_queries
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.core.files import is_folder
from gnomon.core.ranking import Query
from gnomon.evaluate.text_files import text_lines
from gnomon.migrate.judgments import Judgments

_DEPTH, _MAX_QUERIES, _QUERY_BATCH, _SQL_BLOCK = 10, 2000, 100, 500


@dataclass(frozen=True)
class QueryLog:
    """How often each query was searched, and where the log is from; empty if there is none."""

    counts: Mapping[str, int] = field(default_factory=dict)
    source: str = ""

    def most_frequent(self, count: int) -> list[str]:
        """The `count` most frequent distinct queries."""
        return [text for text, _ in Counter(self.counts).most_common(count)]


def load_query_log(path: str | None, judged: Judgments | None) -> QueryLog:
    """The queries of a file; without one the judged queries, each counted once; without these an empty log.

    Raises InvalidInput for a file without queries, UnreadableFile.
    """
    if path is not None:
        return QueryLog(Counter(read_queries(Path(path))), str(path))
    if judged is not None:
        return QueryLog(Counter(judged.queries.values()), f"the judged queries of {judged.dataset.name}")
    return QueryLog()


def read_queries(path: Path) -> tuple[str, ...]:
    """Read a file of one query a line: plain text, or JSON: a string or an object with "text" or "query".

    Of a folder, a collection's or the one in it that `gnomon serve --query-log` writes, the logged queries.
    Raises InvalidInput where there is no query, UnreadableFile.
    """
    if is_folder(path):
        found = [query.query.strip() for query in logged_queries(path)]
    else:
        found = [_text(line, path, number).strip() for number, line in text_lines(path)]
    found = [text for text in found if text]
    if not found:
        raise InvalidInput(f"{path} holds no query", expected="a query a line", hint="give a file of recent queries")
    return tuple(found)


def _text(line: str, path: Path, number: int) -> str:
    return _from_json(line, path, number) if line.lstrip()[:1] in ("{", '"') else line


def _from_json(line: str, path: Path, number: int) -> str:
    try:
        row = json.loads(line)
    except ValueError:
        return line  # plain text may begin with a quotation mark too
    text = row.get("text", row.get("query")) if isinstance(row, dict) else row
    if not isinstance(text, str):
        raise InvalidInput(
            f"{path}, line {number}: {line[:80]}",
            expected='a text, or {"text": "…"}, or {"query": "…"}',
            hint="correct the line",
        )
    return text


def most_searched_passages(kb: Collection, log: QueryLog) -> Array:
    """Ids of the passages of all documents that the queries find, those of the most-searched document first.

    A document's count is the sum of the counts of the queries that have it among their first ten passages, by
    the live version's search. At most the 2,000 most frequent distinct queries are used. Documents with equal
    counts keep the order in which they were added, and a document's passages stay together.
    """
    counts: Counter[int] = Counter()
    retriever = kb.retriever()
    for texts in in_blocks(log.most_frequent(_MAX_QUERIES), _QUERY_BATCH):
        rankings = retriever([Query(text) for text in texts], k=_DEPTH)
        with kb.internals.catalog.read() as connection:
            for text, ranking in zip(texts, rankings, strict=True):
                for document in set(queries.document_ids(connection, ranking.ids).values()):
                    counts[document] += log.counts[text]
    documents = most_searched_first(counts, np.array(sorted(counts), dtype=np.int64)).tolist()
    passages = _passages(kb, documents)
    return np.array([one for document in documents for one in passages.get(document, ())], dtype=np.int64)


def most_searched_first(counts: Mapping[int, float], ids: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The ids by falling count; ids of equal count keep their order.

    >>> most_searched_first({7: 2, 9: 5}, np.array([3, 7, 8, 9])).tolist()
    [9, 7, 3, 8]
    """
    searched = np.array([counts.get(int(one), 0) for one in ids], dtype=np.float64)
    return np.asarray(ids[np.argsort(-searched, kind="stable")])


def _passages(kb: Collection, documents: list[int]) -> dict[int, list[int]]:
    """The ids of each document's passages, by the document's row id."""
    chunk, found = schema.chunks.c, dict[int, list[int]]()
    for block in in_blocks(documents, _SQL_BLOCK):
        of = (chunk.document_id.in_(block), chunk.chunking_id == kb.version.chunking_id)
        with kb.internals.catalog.read() as connection:
            rows = connection.execute(select(chunk.document_id, chunk.id).where(*of).order_by(chunk.id)).all()
        for document, passage in rows:
            found.setdefault(document, []).append(passage)
    return found
