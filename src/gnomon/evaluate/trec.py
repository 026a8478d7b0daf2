"""Judgments (qrels) and queries (topics): TREC's files, BEIR's tables, and the JSON that MTEB and ranx write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSet, Fault, Judgment, collect_judgments, repeated_query
from gnomon.evaluate.text_files import first_line, json_rows, text_lines

_NAMES = {
    "query": ("query-id", "query_id", "qid", "query", "topic"),
    "document": ("corpus-id", "corpus_id", "docid", "doc_id", "doc-id", "docno", "document", "pid"),
    "grade": ("score", "grade", "relevance", "relevant", "rel", "label"),
}
_TOPIC_HEADERS = ("query", "text", "title", "topic", "question")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_qrels(path: Path) -> Iterator[Judgment]:
    """The judgments of "query 0 document grade" or "query document grade", by tabs, commas or spaces.

    A header names the columns and may put them in another order. JSON lines of {"query-id", "corpus-id", "score"}
    (MTEB) and one JSON object of query to document to grade (ranx) are read too.
    Raises InvalidInput for a line with other columns, UnreadableFile.
    """
    if first_line(path).lstrip().startswith("{"):
        yield from _json_qrels(path)
        return
    places: tuple[int, int, int] | None = None
    for number, line in text_lines(path):
        cells = _cells(line)
        if places is None:
            header = _header(cells)
            places = header or _default_places(cells, path, number)
            width = len(cells)
            if header:
                continue
        if len(cells) != width:
            raise _wrong_columns(cells, path, number)
        query, document, grade = (cells[at] for at in places)
        yield Judgment(query, document, grade, f"{path.name}:{number}")


def _json_qrels(path: Path) -> Iterator[Judgment]:
    nested = nested_scores(path)
    if nested is not None:
        for query, grades in nested.items():
            for document, grade in grades.items():
                yield Judgment(query, document, json.dumps(grade), path.name)
        return
    for number, row in json_rows(path):
        found = [next((row[name] for name in known if name in row), None) for known in _NAMES.values()]
        if any(isinstance(value, dict | list | bool) or value is None for value in found):
            raise InvalidInput(
                f"{path}, line {number}: {json.dumps(row, ensure_ascii=False)[:100]}",
                expected='a judgment such as {"query-id": "1", "corpus-id": "d7", "score": 1}',
                hint="correct the line",
            )
        yield Judgment(str(found[0]), str(found[1]), str(found[2]), f"{path.name}:{number}")


def nested_scores(path: Path) -> dict[str, dict[str, Any]] | None:
    """A file of one JSON object of query to document to number, as ranx writes it; None for another file."""
    try:
        plain = json.loads("\n".join(line for _, line in text_lines(path)))
    except (ValueError, RecursionError):
        return None
    nested = isinstance(plain, dict) and bool(plain) and all(isinstance(found, dict) for found in plain.values())
    numbers = nested and all(isinstance(n, int | float) for found in plain.values() for n in found.values())
    return plain if numbers else None


def read_topics(path: Path) -> tuple[dict[str, str], tuple[Fault, ...]]:
    """Queries by id from "id TAB text", and ids that come twice. A header is passed over.

    Raises InvalidInput for a line without a tab, UnreadableFile.
    """
    queries: dict[str, str] = {}
    faults: list[Fault] = []
    for at, (number, line) in enumerate(text_lines(path)):
        query, tab, text = line.partition("\t")
        query, text = query.strip(), text.strip()
        if not tab:
            raise InvalidInput(
                f"{path}, line {number}: {line[:60]!r} has no tab",
                expected="the query's id, a tab, and its text",
                hint="convert the topics to this form, one query a line",
            )
        if at == 0 and query.lower() in _NAMES["query"] + ("id", "_id") and text.lower() in _TOPIC_HEADERS:
            continue
        if query in queries:
            faults.append(repeated_query(query, queries[query], text, where=f"{path.name}:{number}"))
        elif not query:
            faults.append(Fault("empty ids", f"a query {text[:40]!r}", f"{path.name}:{number}"))
        else:
            queries[query] = text
    return queries, tuple(faults)


def looks_like_qrels(line: str) -> bool:
    """Whether a file's first line is one of judgments, or their header."""
    if line.lstrip().startswith("{"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return False
        return isinstance(row, dict) and _header(list(row)) is not None
    cells = _cells(line)
    return _header(cells) is not None or (len(cells) in (3, 4) and bool(_NUMBER.fullmatch(cells[-1])))


def looks_like_run(line: str) -> bool:
    """Whether a file's first line is one of a run: "query Q0 document rank score name"."""
    cells = line.split()
    return len(cells) == 6 and cells[3].isdigit() and bool(_NUMBER.fullmatch(cells[4]))


def _cells(line: str) -> list[str]:
    # Ids may hold spaces where tabs or commas part the columns; a line of both tabs and spaces is parted by either.
    for separator in ("\t", ","):
        cells = [cell.strip() for cell in line.split(separator)]
        if len(cells) in (3, 4) or _header(cells) is not None:
            return cells
    return line.split()


def _header(cells: Sequence[str]) -> tuple[int, int, int] | None:
    names = [cell.lower() for cell in cells]
    found = [next((names.index(name) for name in known if name in names), -1) for known in _NAMES.values()]
    return None if -1 in found else (found[0], found[1], found[2])


def _default_places(cells: Sequence[str], path: Path, number: int) -> tuple[int, int, int]:
    if len(cells) == 3:
        return 0, 1, 2
    if len(cells) == 4:
        return 0, 2, 3
    raise _wrong_columns(cells, path, number)


def _wrong_columns(cells: Sequence[str], path: Path, number: int) -> InvalidInput:
    run = looks_like_run(" ".join(cells))
    return InvalidInput(
        f"{path}, line {number}: {len(cells)} columns ({' | '.join(cells)[:80]})"
        + ("; that is a run, not judgments" if run else ""),
        expected='"query 0 document grade" or "query document grade" on every line',
        hint="give the judgments; a run is compared, not loaded as a data set"
        if run
        else "correct the line: ids with spaces need tabs between the columns",
    )


def load_qrels(path: Path) -> DataSet:
    """A data set of judgments whose queries have no text: nothing can be searched for with it.

    Raises InvalidInput for a line with other columns and where nothing can be read, UnreadableFile.
    """
    relevant, faults = collect_judgments(read_qrels(path))
    if not relevant:
        raise InvalidInput(
            f"{path} holds no judgment that can be read",
            expected='at least one line "query 0 document grade"',
            hint="look at the file",
        )
    return DataSet(path.name, dict.fromkeys(relevant, ""), relevant, path=path, faults=faults)
