"""What the tests of versions share: toy models, a collection that is given all of them, a look inside."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gnomon
from gnomon.collection import Collection
from gnomon.collection.address import collection_address
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.dialect import is_postgres
from gnomon.core.documents import Document
from gnomon.testing.toys import HashEncoder

WORDS = (
    "amber birch cedar delta ember fjord grove heron inlet jetty kelp larch mossy north otter pebble quartz "
    "reed sedge tidal umber vetch willow yarrow zephyr"
).split()


class Counting(HashEncoder):
    """Counts the documents' texts that it encodes, apart from canaries."""

    encoded: int = 0

    def encode(self, texts, *, role):  # type: ignore[no-untyped-def]
        if role == "document" and not any("gnomon is the part" in text for text in texts):
            self.encoded += len(texts)
        return super().encode(texts, role=role)


one = partial(Counting, 64, max_tokens=48)
two = partial(Counting, 64, salt="two", max_tokens=48)
three = partial(Counting, 32, salt="three", max_tokens=24)


def opened(place: Path | str, **options: object) -> Collection:
    """The collection at a place, with every model at hand."""
    options.setdefault("encoder", [one(), two(), three()])
    return gnomon.open(place, **options)  # type: ignore[arg-type]


def catalog_at(place: Path | str) -> Catalog:
    """The catalog that is at a place, open."""
    return Catalog(collection_address(place), create=False)


def text(number: int, turn: int = 0) -> str:
    """A text of a few sentences, so that it is cut; every number has its own words."""
    picked = [WORDS[(number * 7 + turn * 3 + at) % len(WORDS)] for at in range(40)]
    return f"Note n{number}t{turn}. " + ". ".join(" ".join(picked[at : at + 8]).capitalize() for at in range(0, 40, 8))


def until(condition: Callable[[], bool]) -> bool:
    """Whether it comes true in four minutes: on a busy machine another process may get no turn for long."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def check_sound(place: Path | str) -> None:
    """No chunk, vector or journal entry is missing or too many, for any version as far as it is whole."""
    catalog = catalog_at(place)
    check_catalog(catalog)
    catalog.close()


def check_catalog(catalog: Catalog) -> None:
    """The same of a catalog that is open."""
    with catalog.read() as connection:

        def one_of(query: str) -> int:
            return int(connection.exec_driver_sql(query).scalar_one())

        if not is_postgres(connection):
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert one_of("SELECT count(*) FROM versions WHERE state = 'live'") == 1
        net = "SELECT coalesce(sum(CASE op WHEN '+' THEN 1 ELSE -1 END), 0) FROM journal"
        assert one_of(net) == one_of("SELECT count(*) FROM chunks")
        uncut = """SELECT count(*) FROM versions v CROSS JOIN documents d
            WHERE v.state != 'retired' AND (v.state = 'live' OR d.id <= v.upto) AND d.characters > 0
            AND NOT EXISTS (SELECT 1 FROM chunks c
                            WHERE c.document_id = d.id AND c.chunking_id = v.chunking_id)"""
        assert one_of(uncut) == 0
        unembedded = """SELECT count(*) FROM versions v JOIN chunks c ON c.chunking_id = v.chunking_id
            WHERE v.state != 'retired' AND (v.state = 'live' OR c.document_id <= v.upto) AND NOT EXISTS
            (SELECT 1 FROM vectors e WHERE e.space_id = v.space_id AND e.role = 'document'
             AND e.text_hash = c.text_hash)"""
        assert one_of(unembedded) == 0


def served(kb: Collection) -> dict[str, str]:
    """Every document that a search can find, with its text as its chunks have it, in both indexes."""
    snapshot = kb.internals.serving.snapshot()
    view, lookups = snapshot.indexes, snapshot.served.lookups()
    query = snapshot.served.encoders.encoder.encode(["note"], role="query")
    dense = view.dense.search(query, k=100_000)[0].ids
    lexical = view.lexical.search(["note " + " ".join(WORDS)], k=100_000)[0].ids
    assert sorted(dense.tolist()) == sorted(lexical.tolist())
    assert view.dense_at == view.lexical_at
    found: dict[str, str] = {}
    with kb.internals.catalog.read() as connection:
        from gnomon.collection.catalog.queries import chunks_of

        for chunk in chunks_of(connection, sorted(dense.tolist())):
            found[chunk.document_id] = found.get(chunk.document_id, "") + chunk.text
    expected = snapshot.served.encoders.encoder
    ids, vectors = lookups.vectors_of(dense)
    assert len(ids) == len(dense)
    assert vectors.space == expected.space == view.dense.space
    return found


def documents(many: dict[str, str]) -> list[Document]:
    return [Document(key, body) for key, body in many.items()]


def built(kb: Collection, encoder: Any = None, **settings: Any) -> str:
    """A version that is ready."""
    name = kb.versions.add(encoder or two(), **settings).name
    kb.versions.backfill(name)
    kb.versions.mark_ready(name)
    return name


def rows(kb: Collection, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in the catalog."""
    with kb.internals.catalog.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def vectors_in(place: Path | str, space_id: int) -> int:
    """Vectors of documents in a space, as they lie there."""
    catalog = catalog_at(place)
    with catalog.read() as connection:
        query = f"SELECT count(*) FROM vectors WHERE space_id = {space_id:d} AND role = 'document'"
        found = int(connection.exec_driver_sql(query).scalar_one())
    catalog.close()
    return found
