"""Checks of the catalog: the database's own check, references, the journal, versions that lag."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from sqlalchemy import Connection, insert, select

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.dialect import is_postgres
from gnomon.doctor.context import MAX_EXAMPLES, CheckContext
from gnomon.doctor.report import Diagnosis, DoctorFinding

_LAST_ENTRIES = """WITH last AS MATERIALIZED (SELECT j.chunk_id, j.chunking_id, j.op FROM journal j
    JOIN (SELECT max(seq) AS seq FROM journal GROUP BY chunk_id) newest ON newest.seq = j.seq)"""
_UNLOGGED = f"""{_LAST_ENTRIES} SELECT c.id, c.chunking_id FROM chunks c LEFT JOIN last l ON l.chunk_id = c.id
    WHERE coalesce(l.op, '-') <> '+'"""
_STALE = f"""{_LAST_ENTRIES} SELECT l.chunk_id, l.chunking_id FROM last l LEFT JOIN chunks c ON c.id = l.chunk_id
    WHERE l.op = '+' AND c.id IS NULL"""


def integrity(context: CheckContext) -> Iterator[Diagnosis]:
    """The database's own check: SQLite's integrity_check of every page and index, PostgreSQL's amcheck of indexes."""
    messages = context.catalog.backend.check()
    if not messages:
        return
    only_indexes = all("index" in line.lower() for line in messages)
    yield Diagnosis(
        DoctorFinding(
            "integrity",
            "error",
            message="the catalog is damaged" + (" in its indexes only" if only_indexes else ""),
            count=len(messages),
            explanation="The database finds it inconsistent: a disk error, a copy made while it was written, or a "
            "crash of the machine. Searches may miss documents or fail.",
            advice="rebuild the indexes of its tables: --fix"
            if only_indexes
            else f"restore it from a backup, or index into a new collection; {context.catalog.backend.recovery}",
            examples=tuple(messages[:MAX_EXAMPLES]),
            is_fixable=only_indexes,
        ),
        (lambda: _reindex(context)) if only_indexes else None,
    )


def references(context: CheckContext) -> Iterator[Diagnosis]:
    """Rows that refer to rows that do not exist."""
    rows = context.catalog.backend.broken_references()
    if rows:
        tables = sorted(set(rows))
        yield Diagnosis(
            DoctorFinding(
                "references",
                "error",
                message=f"{len(rows):,} rows refer to rows that do not exist",
                count=len(rows),
                explanation="The catalog was changed by another program than gnomon.",
                advice="restore it from a backup, or index into a new collection",
                examples=tuple(tables[:MAX_EXAMPLES]),
            )
        )


def journal(context: CheckContext) -> Iterator[Diagnosis]:
    """Chunks that the journal does not record, chunks that it records in vain, and deleted entries."""
    with context.catalog.read() as connection:
        unlogged, stale = _unlogged(connection), _stale(connection)
        gone = _gone(connection)
    count = len(unlogged) + len(stale)
    if count:
        yield Diagnosis(
            DoctorFinding(
                "journal",
                "error",
                message=f"the journal does not record {count:,} passages that were added or removed",
                count=count,
                explanation="The indexes follow the journal: they lack such passages, or find removed ones.",
                advice="add the entries: --fix",
                examples=tuple(f"chunk {row[0]}" for row in (*unlogged, *stale))[:MAX_EXAMPLES],
                is_fixable=True,
            ),
            lambda: _add_entries(context),
        )
    if gone:
        yield Diagnosis(
            DoctorFinding(
                "journal-gaps",
                "warning",
                message=f"{gone:,} entries of the journal are gone",
                count=gone,
                explanation="They were deleted from outside. An index that was older than them may be incomplete; "
                "the check of the indexes says whether it is.",
                advice="nothing, if the indexes are found sound",
            )
        )


def behind(context: CheckContext) -> Iterator[Diagnosis]:
    """Kept versions that lack documents."""
    for version, state in context.versions:
        if state.state == "ready" and state.behind:
            yield Diagnosis(
                DoctorFinding(
                    "behind",
                    "warning",
                    message=f"{version.name}, which is ready, lacks {state.behind:,} documents",
                    count=state.behind,
                    explanation="Writers could not update it, most likely because its model is not available.",
                    advice="gnomon switch and rollback update it first; or remove it: gnomon versions COLLECTION "
                    f"--retire {version.name}",
                )
            )
        elif state.state == "building":
            yield Diagnosis(
                DoctorFinding(
                    "building",
                    "note",
                    message=f"{version.name} is being built: {state.behind:,} documents are missing",
                    count=state.behind,
                    explanation="It does not serve yet.",
                    advice="gnomon migrate COLLECTION --status, or remove it: gnomon versions COLLECTION --retire "
                    f"{version.name}",
                )
            )


def log_again(connection: Connection, chunk_ids: list[int]) -> None:
    """Record chunks as removed and added again: indexes then read them from the catalog anew."""
    chunk = schema.chunks.c
    for at in range(0, len(chunk_ids), 400):
        of = select(chunk.id, chunk.chunking_id).where(chunk.id.in_(chunk_ids[at : at + 400]))
        rows = [tuple(row) for row in connection.execute(of.order_by(chunk.id))]
        write_entries(connection, "-", rows)
        write_entries(connection, "+", rows)


def write_entries(connection: Connection, op: str, rows: list[tuple[int, int]]) -> None:
    """Write journal entries of rows (chunk id, chunking id)."""
    if rows:
        nonce = secrets.randbits(62)
        lines = [{"op": op, "chunk_id": c, "chunking_id": of, "nonce": nonce} for c, of in rows]
        connection.execute(insert(schema.journal), lines)


def _add_entries(context: CheckContext) -> str:
    with context.catalog.write() as connection:
        unlogged, stale = _unlogged(connection), _stale(connection)
        write_entries(connection, "-", stale)
        write_entries(connection, "+", unlogged)
    return f"recorded {len(unlogged):,} added and {len(stale):,} removed passages in the journal"


def _reindex(context: CheckContext) -> str:
    context.catalog.backend.rebuild_indexes()
    return "rebuilt the indexes of the catalog's tables"


def _unlogged(connection: Connection) -> list[tuple[int, int]]:
    return [(row[0], row[1]) for row in connection.exec_driver_sql(_UNLOGGED)]


def _stale(connection: Connection) -> list[tuple[int, int]]:
    return [(row[0], row[1]) for row in connection.exec_driver_sql(_STALE)]


def _gone(connection: Connection) -> int:
    """How many sequence numbers have no entry: in SQLite they rise by one, and gnomon never deletes an entry.

    In PostgreSQL those of a transaction that was rolled back are gone.
    """
    if is_postgres(connection):
        return 0
    last = "(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'journal')"
    row = connection.exec_driver_sql(f"SELECT {last} - count(*) FROM journal").scalar_one()
    return max(0, int(row))
