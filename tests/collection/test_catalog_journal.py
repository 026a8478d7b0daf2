"""The journal with several writers at once: whoever follows it never misses an entry, nor sees one appear below."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from sqlalchemy import Connection, insert, select

from gnomon.collection.address import collection_address
from gnomon.collection.catalog import mutations, queries, schema
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.documents import Chunk, Document
from gnomon.text.parts import ChunkedDocument

ON_BOTH = True
WRITERS, WRITES = 3, 12
CHUNKING = 1


class TakenBackError(Exception):
    """What a writer raises to have its transaction taken back: on PostgreSQL its positions are lost."""


def document(name: str, words: int) -> ChunkedDocument:
    text = " ".join(f"{name}-{n}" for n in range(words))
    chunks = (Chunk(name, n, 0, 1, "x", f"{name}-{n}", 1) for n in range(words))
    return ChunkedDocument(Document(name, text), tuple(chunks))


def write(place: str, writer: int, failed: list[BaseException]) -> None:
    rng = random.Random(writer)
    catalog = Catalog(collection_address(place), create=False)
    try:
        for turn in range(WRITES):
            one = document(f"w{writer}d{rng.randrange(4)}", rng.randrange(1, 5))
            try:
                with catalog.write() as connection:
                    mutations.write_documents(connection, CHUNKING, [one])
                    if turn % 4 == 3:
                        raise TakenBackError
            except TakenBackError:
                continue
    except BaseException as error:
        failed.append(error)
    finally:
        catalog.close()


def entries(connection: Connection, after: int) -> list[tuple[int, str, int]]:
    journal = schema.journal.c
    wanted = select(journal.seq, journal.op, journal.chunk_id).where(journal.seq > after).order_by(journal.seq)
    return [(row.seq, row.op, row.chunk_id) for row in connection.execute(wanted)]


def test_a_follower_misses_nothing_and_sees_nothing_appear_below(new_place: Callable[[], str]) -> None:
    place = new_place()
    with Catalog(collection_address(place), create=True).write() as connection:
        connection.execute(insert(schema.chunkings).values(settings="{}"))
    failed: list[BaseException] = []
    writers = [threading.Thread(target=write, args=(place, number, failed)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    catalog = Catalog(collection_address(place), create=False)
    seen: list[tuple[int, str, int]] = []
    followed: set[int] = set()
    at = queries.JournalPosition(0, 0)
    is_last = False
    while not is_last:
        is_last = not any(writer.is_alive() for writer in writers)
        with catalog.read() as connection:
            now = queries.head(connection)
            assert queries.nonce_at(connection, at.seq) == at.nonce
            change = queries.delta(connection, CHUNKING, at.seq, upto=now.seq)
            seen += entries(connection, at.seq)
            assert entries(connection, 0) == seen
            followed = (followed - set(change.removed.tolist())) | set(change.added.tolist())
            assert sorted(followed) == queries.all_ids(connection, CHUNKING).tolist()
        at = now
    assert failed == []
    ids = [chunk for _, op, chunk in seen if op == "+"]
    assert len(set(ids)) == len(ids) > 0  # no id is used twice
    catalog.close()
