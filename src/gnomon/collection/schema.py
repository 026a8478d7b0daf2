"""The catalog's tables and its numbered migrations."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()
_AUTO = {
    "sqlite_autoincrement": True
}  # an id is never used twice, so a derived index cannot confuse two chunks

meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", Text, nullable=False))

spaces = Table(
    "spaces",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String(64), nullable=False, unique=True),
    Column("space", Text, nullable=False),  # Space.to_json
    Column("model", Text, nullable=False),  # what to load it from: a short name, a hub id or a folder
)
canaries = Table(
    "canaries",
    metadata,
    Column("space_id", ForeignKey("spaces.id"), primary_key=True),
    Column("role", String, primary_key=True),
    Column("text", Text, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)
chunkings = Table(
    "chunkings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("settings", Text, nullable=False, unique=True),
)
versions = Table(
    "versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("chunking_id", ForeignKey("chunkings.id"), nullable=False),
    Column("space_id", ForeignKey("spaces.id"), nullable=False),
    Column("retrieval", Text, nullable=False),
    Column("state", String, nullable=False),  # building, ready, live, retired
    Column("created", String, nullable=False),
)
roots = Table(  # what the documents' ids of each indexed path begin with, so that ids never change
    "roots",
    metadata,
    Column("path", Text, primary_key=True),
    Column("label", Text, nullable=False, unique=True),
)
sources = Table(
    "sources",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", Text, nullable=False, unique=True),
    Column("size", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),  # "" while a file is only partly written
)
documents = Table(
    "documents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("source_id", ForeignKey("sources.id"), index=True),
    Column("title", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("media_type", String, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("characters", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the text, zlib
    sqlite_autoincrement=True,
)
chunks = Table(
    "chunks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("document_id", ForeignKey("documents.id"), nullable=False),
    Column("chunking_id", ForeignKey("chunkings.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("heading", Text, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("text_hash", LargeBinary(32), nullable=False),
    UniqueConstraint("document_id", "chunking_id", "ordinal"),
    Index("chunks_by_hash", "text_hash"),
    sqlite_autoincrement=True,
)
vectors = Table(
    "vectors",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("space_id", ForeignKey("spaces.id"), nullable=False),
    Column("role", String, nullable=False),
    Column("text_hash", LargeBinary(32), nullable=False),
    Column("data", LargeBinary, nullable=False),  # float32, little-endian
    UniqueConstraint("space_id", "role", "text_hash"),
)
journal = Table(
    "journal",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("op", String(1), nullable=False),  # + chunk added, - chunk removed
    Column("chunk_id", Integer, nullable=False),
    Column("chunking_id", Integer, nullable=False),
    Column("nonce", Integer, nullable=False),  # tells two histories apart after a catalog was restored
    sqlite_autoincrement=True,
)


def _create(connection: Connection) -> None:
    metadata.create_all(connection)


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_create,)
"""Migration n brings a catalog from schema n to n + 1. Never edited once released; only added to."""
