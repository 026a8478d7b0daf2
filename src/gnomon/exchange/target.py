"""The collection that an import fills."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gnomon.collection.address import PostgresAddress, collection_address
from gnomon.collection.catalog import queries, schema
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.errors import CollectionNotFound, InvalidInput
from gnomon.core.files import exists


@contextmanager
def new_collection(into: str | Path, *, check: bool) -> Iterator[Path | PostgresAddress]:
    """Where a collection without documents is, or is to be; a folder that was not there is removed where it fails.

    Raises InvalidInput for one that holds documents.
    """
    place = collection_address(into)
    is_new = isinstance(place, Path) and not exists(place)
    _require_empty(place)
    try:
        yield place
    except BaseException:
        if is_new and not check and isinstance(place, Path):
            shutil.rmtree(place, ignore_errors=True)
        raise


def _require_empty(place: Path | PostgresAddress) -> None:
    try:
        catalog = Catalog(place, create=False)
    except CollectionNotFound:
        return
    try:
        with catalog.read() as connection:
            held = queries.count(connection, schema.documents)
    finally:
        catalog.close()
    if held:
        raise InvalidInput(
            f"the collection {place} holds {held:,} documents",
            expected="a new collection",
            hint="import into another one: --into NEW",
        )
