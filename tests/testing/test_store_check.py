"""The checks of stores: conditions mean what the catalog finds, and a broken promise is found."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

import gnomon
from gnomon.collection.catalog import schema
from gnomon.collection.catalog.conditions import where_clause
from gnomon.collection.catalog.document_fields import document_fields
from gnomon.core.documents import Document
from gnomon.core.errors import GnomonError
from gnomon.core.ranking import Ranking
from gnomon.testing import HashEncoder, check_store, meets
from gnomon.testing.store_documents import CONDITIONS, documents
from support.odd_stores import FilteringStore, breaking


def test_conditions_mean_what_the_catalog_finds(tmp_path: pathlib.Path) -> None:
    made = [documents(number) for number in range(150)]
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(16)) as kb:
        kb.add([Document(own["id"], "a passage", own["title"], metadata=metadata) for metadata, own in made])
        with kb.internals.catalog.read() as connection:
            table = schema.documents.c
            rows = connection.execute(select(table.key, table.title, table.media_type, table.metadata)).all()
            kept = {
                row.key: (json.loads(row.metadata), {"id": row.key, "title": row.title, "media_type": row.media_type})
                for row in rows
            }
            found = 0
            for text, condition in CONDITIONS.items():
                clause = where_clause(condition, document_fields(connection))
                of_catalog = set(connection.execute(select(table.key).where(clause)).scalars())
                assert {key for key, each in kept.items() if meets(condition, *each)} == of_catalog, text
                found += 0 < len(of_catalog) < len(made)
    assert found > 100


def test_a_store_that_filters_passes(tmp_path: pathlib.Path) -> None:
    check_store(lambda name: FilteringStore(tmp_path, name), rows=150)


def _lower(right: Callable[..., list[Ranking]], *arguments: Any, **options: Any) -> list[Ranking]:
    return [Ranking(each.ids, each.scores - 0.01) for each in right(*arguments, **options)]


def _unordered(right: Callable[..., list[Ranking]], *arguments: Any, **options: Any) -> list[Ranking]:
    return [Ranking(each.ids[::-1], each.scores[::-1]) for each in right(*arguments, **options)]


def _made_anew(right: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        return right(*arguments, **options)
    except GnomonError:
        return []


BROKEN: dict[str, tuple[str, Callable[..., Any]]] = {
    "scores": ("search", _lower),
    "order": ("search", _unordered),
    "k": ("search", lambda right, *a, **o: right(*a, **{**o, "k": max(1, o["k"] - 1)})),
    "where is heeded": ("search", lambda right, *a, **o: right(*a, **{**o, "where": None})),
    "searches of what is gone": ("search", _made_anew),
    "deletes": ("delete", lambda right, ids: right(ids[1:])),
    "count": ("count", lambda right: right() + 1),
    "ids": ("ids", lambda right: right()[::-1]),
    "upserts": ("upsert", lambda right, items: None),
    "stamps": ("stamp", lambda right, position: right(replace(position, seq=position.seq + 1))),
    "position": ("position", lambda right: None if (at := right()) is None else replace(at, recall=None)),
    "vectors": ("vectors_of", lambda right, ids: right(ids[:-3])),
    "space": ("create", lambda right, space, fields: right(replace(space, fingerprint="f" * 64), fields)),
    "drop": ("drop", lambda right: None),
    "filters": ("can_filter", lambda right, condition: True),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_found(tmp_path: pathlib.Path, name: str) -> None:
    method, change = BROKEN[name]
    if name == "filters":  # says yes, but finds other documents: numbers as texts
        broken = breaking("upsert", lambda right, items: right(replace(items, fields=[{}] * len(items))))
    else:
        broken = breaking(method, change)
    with pytest.raises((AssertionError, GnomonError)):
        check_store(lambda name: broken(tmp_path, name), rows=60)


def test_lost_neighbours_are_found(tmp_path: pathlib.Path) -> None:
    def forgetful(right: Callable[..., list[Ranking]], *arguments: Any, **options: Any) -> list[Ranking]:
        return [
            each.take(np.flatnonzero(np.arange(len(each)) != 3)[: options["k"]].tolist())
            for each in right(*arguments, **{**options, "k": options["k"] + 1})
        ]

    broken = breaking("search", forgetful)
    with pytest.raises(AssertionError):
        check_store(lambda name: broken(tmp_path, name), rows=60)
