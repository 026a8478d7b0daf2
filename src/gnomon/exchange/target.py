"""The collection that an import fills."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gnomon.collection.catalog import queries, schema
from gnomon.collection.catalog.connection import FILE, Catalog
from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists


@contextmanager
def new_collection(into: Path, *, check: bool) -> Iterator[Path]:
    """The folder of a collection without documents; where there was none and it fails, it is removed again.

    Raises InvalidInput for one that holds documents.
    """
    folder = into.expanduser().absolute()
    is_new = not exists(folder)
    if exists(folder / FILE):
        catalog = Catalog(folder, create=False)
        try:
            with catalog.read() as connection:
                held = queries.count(connection, schema.documents)
        finally:
            catalog.close()
        if held:
            raise InvalidInput(
                f"the collection {into} holds {held:,} documents",
                expected="a new collection",
                hint="import into another folder: --into NEW",
            )
    try:
        yield folder
    except BaseException:
        if is_new and not check:
            shutil.rmtree(folder, ignore_errors=True)
        raise
