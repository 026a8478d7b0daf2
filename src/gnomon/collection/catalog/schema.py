"""The catalog's tables. Their numbered migrations are in `migrations`."""

from __future__ import annotations

import zlib

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()
IN_VALUES = 500
"""Values in one IN list at most: SQLite's oldest limit is 999 parameters."""
_AUTO = {"sqlite_autoincrement": True}  # an id is never used twice, so a derived index cannot confuse two chunks

meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", Text, nullable=False))

spaces = Table(
    "spaces",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String(64), nullable=False, unique=True),
    Column("space", Text, nullable=False),  # Space.to_json
    Column("model", Text, nullable=False),  # what to load it from: a short name, a hub id or a folder
    Column("tolerance", Float),  # the least cosine of its canaries; none: the usual one
    Column("checked", String),  # when they were last compared, ISO 8601; none where that costs nothing
)
canaries = Table(
    "canaries",
    metadata,
    Column("space_id", ForeignKey("spaces.id"), primary_key=True),
    Column("role", String, primary_key=True),
    Column("text", Text, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)
tokenizers = Table(  # kept so that a chunking outlives the model whose tokenizer counts its tokens
    "tokenizers",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the tokenizer's JSON
    Column("body", LargeBinary, nullable=False),  # the JSON, zlib
)
chunkings = Table(
    "chunkings",
    metadata,
    Column("id", Integer, primary_key=True),
    # All that tells it from another one, as JSON: the settings, and the tokenizer where that is known.
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
    # Every document with an id up to this one has its chunks and vectors. The live version is always whole.
    Column("upto", Integer, nullable=False, server_default="0"),
    Index("versions_one_live", "state", unique=True, sqlite_where=text("state = 'live'")),
)
switches = Table(
    "switches",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("from_id", ForeignKey("versions.id"), nullable=False),
    Column("to_id", ForeignKey("versions.id"), nullable=False),
    Column("why", Text, nullable=False),  # "switch", "rollback", or what else its caller says
    sqlite_autoincrement=True,
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
    Column("ctime_ns", Integer, nullable=False, server_default="0"),  # 0: not known, the file is hashed once
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
    Column("locations", Text, nullable=False, server_default=""),  # Locations.to_json, "" where they are unknown
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
    Column("location", String, nullable=False, server_default=""),  # Location.to_json
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
    Column("checksum", Integer),  # see vector_checksum; none in a row that an older gnomon wrote meanwhile
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
    Index("journal_by_chunking", "chunking_id"),
    sqlite_autoincrement=True,
)
tables = Table(  # files that are queried beside the documents: where they are, and their columns
    "tables",
    metadata,
    Column("name", String, primary_key=True),
    Column("path", Text, nullable=False),
    Column("about", Text, nullable=False),  # JSON
)
fields = Table(  # the type of each metadata field; what is stored of it was converted to that where it could be
    "fields",
    metadata,
    Column("name", Text, primary_key=True),
    Column("type", String, nullable=False),  # text, number, boolean, date
    Column("known", String, nullable=False),  # declared, inferred
)
spending = Table(  # what servers were sent and charged: a row for each day, model and role
    "spending",
    metadata,
    Column("day", String, primary_key=True),  # UTC, ISO 8601
    Column("model", Text, primary_key=True),
    Column("role", String, primary_key=True),
    Column("requests", Integer, nullable=False),
    Column("texts", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("cost", Float, nullable=False),  # USD
)


def vector_checksum(space_id: int, role: str, text_hash: bytes, data: bytes) -> int:  # noqa: PLR0917 - SQL calls it
    """CRC-32 of a vector's row: a bit that is flipped in any of its columns shows. -1 where data are no bytes."""
    if not isinstance(data, bytes):  # a flipped bit may have made them a text
        return -1
    return zlib.crc32(data, zlib.crc32(text_hash, zlib.crc32(f"{space_id} {role} ".encode())))
