"""TREC's files: judgments (qrels) and queries (topics)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSet, Fault, Judgment, collect_judgments
from gnomon.evaluate.text_files import text_lines

_NAMES = {
    "query": ("query-id", "query_id", "qid", "query", "topic"),
    "document": ("corpus-id", "corpus_id", "docid", "doc_id", "doc-id", "docno", "document", "pid"),
    "grade": ("score", "grade", "relevance", "relevant", "rel", "label"),
}
_TOPIC_HEADERS = ("query", "text", "title", "topic", "question")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_qrels(path: Path) -> Iterator[Judgment]:
    """The judgments of "query 0 document grade" or "query document grade", by tabs or else by spaces.

    A header names the columns and may put them in another order.
    Raises InvalidInput for a line with other columns, UnreadableFile.
    """
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
            faults.append(Fault("duplicate query ids", f"query {query!r}", f"{path.name}:{number}"))
        elif not query:
            faults.append(Fault("empty ids", f"a query {text[:40]!r}", f"{path.name}:{number}"))
        else:
            queries[query] = text
    return queries, tuple(faults)


def looks_like_qrels(line: str) -> bool:
    """Whether a file's first line is one of judgments, or their header."""
    cells = _cells(line)
    return _header(cells) is not None or (len(cells) in (3, 4) and bool(_NUMBER.fullmatch(cells[-1])))


def looks_like_run(line: str) -> bool:
    """Whether a file's first line is one of a run: "query Q0 document rank score name"."""
    cells = line.split()
    return len(cells) == 6 and cells[3].isdigit() and bool(_NUMBER.fullmatch(cells[4]))


def _cells(line: str) -> list[str]:
    # Ids may hold spaces where tabs part the columns.
    return [cell.strip() for cell in line.split("\t")] if "\t" in line.strip() else line.split()


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
