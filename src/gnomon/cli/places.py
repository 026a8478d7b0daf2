"""Where a collection is, as commands take it: a folder, or the address of one in PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.collection.address import PostgresAddress, collection_address, is_database
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    Place = Path | PostgresAddress
else:  # typer takes no unions; `place` makes one or the other
    Place = Path


def place(text: str | Path | PostgresAddress) -> Place:
    """A folder as it was given, or the parsed address of a collection in a database, which prints no password."""
    if not isinstance(text, str) or not is_database(text):
        return Path(text) if isinstance(text, str) else text
    try:
        return collection_address(text)
    except InvalidInput as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise typer.BadParameter(f"{error.message}; expected {error.expected}{hint}") from error


CollectionPlace = Annotated[
    Place,
    typer.Argument(
        help="The collection: a folder, or postgresql://host/database/collection.",
        metavar="COLLECTION",
        parser=place,
    ),
]
