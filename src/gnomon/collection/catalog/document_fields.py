"""How the fields of documents are compared where the catalog is: in SQLite or in PostgreSQL."""

from __future__ import annotations

from sqlalchemy import Connection

from gnomon.collection.catalog.conditions import DocumentFields
from gnomon.collection.catalog.dialect import is_postgres
from gnomon.collection.catalog.jsonb_conditions import PostgresDocumentFields
from gnomon.collection.catalog.sqlite_conditions import SqliteDocumentFields

_SQLITE, _POSTGRES = SqliteDocumentFields(), PostgresDocumentFields()


def document_fields(connection: Connection) -> DocumentFields:
    """How conditions on documents are written for this connection."""
    return _POSTGRES if is_postgres(connection) else _SQLITE


def field_counts(connection: Connection) -> dict[str, int]:
    """How many documents have each metadata field, the most frequent first."""
    return document_fields(connection).key_counts(connection)
