"""Adding documents from JSON lines while they arrive: batch by batch, in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gnomon.collection import Collection, IndexReport
from gnomon.collection.inputs import as_document
from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.serve.work import WorkQueue

BATCH_LINES, BATCH_BYTES = 256, 2 << 20
MAX_PROBLEMS = 1000
"""Problems that are named; further ones are counted."""
Line = tuple[int, bytes | None]


@dataclass
class BulkReport:
    """What was added so far. `problems` name a line or an id, `problem_count` counts those left out too."""

    lines: int = 0
    documents: int = 0
    unchanged: int = 0
    refused: int = 0
    chunks_added: int = 0
    chunks_removed: int = 0
    embedded: int = 0
    cached: int = 0
    truncated: int = 0
    tokens: int = 0
    cost: float = 0.0
    problem_count: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)

    def count(self, report: IndexReport, given: int) -> None:
        """Count what `Collection.add` did with so many documents."""
        for name in (
            "documents",
            "chunks_added",
            "chunks_removed",
            "embedded",
            "cached",
            "truncated",
            "tokens",
            "cost",
        ):
            setattr(self, name, getattr(self, name) + getattr(report, name))
        self.unchanged += given - report.documents

    def add_problem(self, reason: str, *, hint: str = "", line: int | None = None, document: str | None = None) -> None:
        """Name a problem, or only count it where there are many."""
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append({"line": line, "id": document, "reason": reason, "hint": hint})


def add_batch(
    kb: Collection, documents: Sequence[Document], report: BulkReport, *, lines: Mapping[str, int] | None = None
) -> None:
    """Add documents and count what was done. `lines` has the number of each id's line, where they came in lines."""
    if not documents:
        return
    done = kb.add(documents)
    report.count(done, len({document.id for document in documents}))
    for problem in done.problems:
        report.add_problem(
            problem.reason, hint=problem.hint, line=(lines or {}).get(problem.path), document=problem.path
        )


def add_lines(kb: Collection, batch: Sequence[Line], report: BulkReport) -> None:
    """Add the documents of some lines; a line that holds none is a problem with its number."""
    documents: list[Document] = []
    lines: dict[str, int] = {}
    for number, line in batch:
        try:
            document = _document(line)
        except InvalidInput as error:
            report.refused += 1
            reason = f"{error.message}; expected {error.expected}" if error.expected else error.message
            report.add_problem(reason, hint=error.hint, line=number)
        else:
            documents.append(document)
            lines[document.id] = number
    add_batch(kb, documents, report, lines=lines)
    report.lines = batch[-1][0]


def _document(line: bytes | None) -> Document:
    if line is None:
        raise InvalidInput("a line above the limit of a body's bytes", expected="shorter documents")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"not usable JSON: {error}", expected="one JSON object a line") from error
    if not isinstance(row, dict):
        raise InvalidInput(f"a JSON {type(row).__name__}", expected="one JSON object a line")
    return as_document(row)


async def add_stream(
    kb: Collection, lines: AsyncIterator[Line], report: BulkReport, *, work: WorkQueue
) -> AsyncIterator[BulkReport]:
    """Add the documents of numbered lines as they arrive; yields the report, which grows, after each batch.

    What was yielded is committed. Raises what adding and reading raise.
    """
    batch: list[Line] = []
    waiting = 0
    async for number, line in lines:
        batch.append((number, line))
        waiting += len(line or b"")
        if len(batch) >= BATCH_LINES or waiting >= BATCH_BYTES:
            await work.run(add_lines, kb, batch, report)
            batch, waiting = [], 0
            yield report
    if batch:
        await work.run(add_lines, kb, batch, report)
    yield report
