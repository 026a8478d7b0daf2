"""The catalog itself: SQLite's own check, references, the journal, versions that lag."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from sqlalchemy import Connection, insert, select

from gnomon.collection.catalog import schema
from gnomon.doctor.context import SHOWN, Look
from gnomon.doctor.report import Finding, Found

_MOST = 100  # messages that SQLite is asked for

# With max(), SQLite takes the other columns from the very row that has it.
_LAST = """WITH last AS MATERIALIZED
    (SELECT chunk_id, chunking_id, op, max(seq) AS seq FROM journal GROUP BY chunk_id)"""
_UNTOLD = f"""{_LAST} SELECT c.id, c.chunking_id FROM chunks c LEFT JOIN last l ON l.chunk_id = c.id
    WHERE l.op IS NOT '+'"""
_GHOSTS = f"""{_LAST} SELECT l.chunk_id, l.chunking_id FROM last l LEFT JOIN chunks c ON c.id = l.chunk_id
    WHERE l.op = '+' AND c.id IS NULL"""


def integrity(look: Look) -> Iterator[Found]:
    """SQLite's integrity_check: every page, every index."""
    said = integrity_messages(look)
    if said == ["ok"]:
        return
    only_indexes = all("index" in line.lower() for line in said)
    yield Found(
        Finding(
            "integrity",
            "error",
            "the catalog's file is damaged" + (" in its indexes only" if only_indexes else ""),
            len(said),
            0,
            "SQLite finds it inconsistent: the disk, a copy made while it was written, or a crash of the "
            "machine. Searches may lack documents or fail.",
            "have its indexes made anew: --fix"
            if only_indexes
            else "restore the folder from a backup, or index into a new collection; what can be read: "
            f"sqlite3 {look.catalog.path} .recover",
            tuple(said[:SHOWN]),
            only_indexes,
        ),
        (lambda: _reindex(look)) if only_indexes else None,
    )


def integrity_messages(look: Look) -> list[str]:
    """What SQLite says of the file: ["ok"] where all is well."""
    with look.catalog.read() as connection:
        return [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST})")]


def references(look: Look) -> Iterator[Found]:
    """Rows that refer to others that are not there."""
    with look.catalog.read() as connection:
        rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if rows:
        tables = sorted({f"{row[0]} to {row[2]}" for row in rows})
        yield Found(
            Finding(
                "references",
                "error",
                f"{len(rows):,} rows refer to others that are not there",
                len(rows),
                0,
                "The catalog was changed by another program than gnomon.",
                "restore it from a backup, or index into a new collection",
                tuple(tables[:SHOWN]),
            )
        )


def journal(look: Look) -> Iterator[Found]:
    """Whether the journal tells of every chunk that is there and of none else, and whether lines are gone."""
    with look.catalog.read() as connection:
        untold, ghosts = _untold(connection), _ghosts(connection)
        gone = _gone(connection)
    count = len(untold) + len(ghosts)
    if count:
        yield Found(
            Finding(
                "journal",
                "error",
                f"the journal does not tell of {count:,} passages that came or went",
                count,
                0,
                "The indexes follow the journal: they lack such passages, or find some that are gone.",
                "have the lines put in: --fix",
                tuple(f"chunk {row[0]}" for row in (*untold, *ghosts))[:SHOWN],
                True,
            ),
            lambda: _tell(look),
        )
    if gone:
        yield Found(
            Finding(
                "journal-gaps",
                "warning",
                f"{gone:,} lines of the journal are gone",
                gone,
                0,
                "Somebody deleted them. An index that stood before them may not be what it should; the check "
                "of the indexes says whether it is.",
                "nothing, where the indexes are found sound",
            )
        )


def behind(look: Look) -> Iterator[Found]:
    """Kept versions that lack documents."""
    for version, standing in look.kept:
        if standing.state == "ready" and standing.behind:
            yield Found(
                Finding(
                    "behind",
                    "warning",
                    f"{version.name}, which is ready, lacks {standing.behind:,} documents",
                    standing.behind,
                    0,
                    "Writers could not bring it along, most likely since its model is not to be had.",
                    f"gnomon switch and rollback catch up first; or give it up: --retire {version.name}",
                )
            )
        elif standing.state == "building":
            yield Found(
                Finding(
                    "building",
                    "note",
                    f"{version.name} is being built: {standing.behind:,} documents to go",
                    standing.behind,
                    0,
                    "It does not serve yet.",
                    "gnomon migrate COLLECTION --status, or give it up: gnomon versions COLLECTION --retire "
                    f"{version.name}",
                )
            )


def tell_again(connection: Connection, chunk_ids: list[int]) -> None:
    """Say in the journal that chunks went and came: indexes then take them from the catalog anew."""
    chunk = schema.chunks.c
    for at in range(0, len(chunk_ids), 400):
        of = select(chunk.id, chunk.chunking_id).where(chunk.id.in_(chunk_ids[at : at + 400]))
        rows = [tuple(row) for row in connection.execute(of.order_by(chunk.id))]
        write_lines(connection, "-", rows)
        write_lines(connection, "+", rows)


def write_lines(connection: Connection, op: str, rows: list[tuple[int, int]]) -> None:
    """Put lines into the journal: (chunk id, chunking id)."""
    if rows:
        nonce = secrets.randbits(62)
        lines = [{"op": op, "chunk_id": c, "chunking_id": of, "nonce": nonce} for c, of in rows]
        connection.execute(insert(schema.journal), lines)


def _tell(look: Look) -> str:
    with look.catalog.write() as connection:
        untold, ghosts = _untold(connection), _ghosts(connection)
        write_lines(connection, "-", ghosts)
        write_lines(connection, "+", untold)
    return f"told the journal of {len(untold):,} passages that came and {len(ghosts):,} that went"


def _reindex(look: Look) -> str:
    with look.catalog.write() as connection:
        connection.exec_driver_sql("REINDEX")
    return "made the indexes of the catalog's tables anew"


def _untold(connection: Connection) -> list[tuple[int, int]]:
    return [(row[0], row[1]) for row in connection.exec_driver_sql(_UNTOLD)]


def _ghosts(connection: Connection) -> list[tuple[int, int]]:
    return [(row[0], row[1]) for row in connection.exec_driver_sql(_GHOSTS)]


def _gone(connection: Connection) -> int:
    """How many numbers that were given out have no line: they rise by one, and none is ever deleted."""
    given = "(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'journal')"
    row = connection.exec_driver_sql(f"SELECT {given} - count(*) FROM journal").scalar_one()
    return max(0, int(row))
