"""Which versions' stores were filled: so that one that is gone since is not taken for one that was never there."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from gnomon.collection.catalog import schema


def filled_store(connection: Connection, version_id: int) -> str | None:
    """The name of a version's collection in its engine, None where it was never filled."""
    wanted = select(schema.meta.c.value).where(schema.meta.c.key == _key(version_id))
    found = connection.execute(wanted).scalar_one_or_none()
    return None if found is None else str(found)


def record_filled(connection: Connection, version_id: int, name: str) -> None:
    """Remember that a version's store was filled, under this name."""
    forget_filled(connection, version_id)
    connection.execute(insert(schema.meta).values(key=_key(version_id), value=name))


def forget_filled(connection: Connection, version_id: int) -> None:
    """Its store is to be filled from the beginning, or was dropped."""
    connection.execute(delete(schema.meta).where(schema.meta.c.key == _key(version_id)))


def _key(version_id: int) -> str:
    return f"store_v{version_id}"
