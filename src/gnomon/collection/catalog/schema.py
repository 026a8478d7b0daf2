"""The catalog's tables, in SQLite and in PostgreSQL. Their numbered migrations are in `migrations`."""

from __future__ import annotations

import zlib

from sqlalchemy import (
    DDL,
    BigInteger,
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
    event,
    text,
)
from sqlalchemy.schema import ExecutableDDLElement

metadata = MetaData()
IN_VALUES = 500
"""Values in one IN list at most: SQLite's oldest limit is 999 parameters."""


def _string(length: int | None = None) -> String:
    return String(length).with_variant(_BYTE_ORDER, "postgresql")


# PostgreSQL's texts are compared byte by byte, and its integers have 64 bits, as SQLite's are and have.
_BYTE_ORDER = Text(collation="C")
_STRING = _string()
_TEXT = Text().with_variant(_BYTE_ORDER, "postgresql")
_INTEGER = BigInteger().with_variant(Integer, "sqlite")
_IS_LIVE = text("state = 'live'")

meta = Table("meta", metadata, Column("key", _STRING, primary_key=True), Column("value", _TEXT, nullable=False))

spaces = Table(
    "spaces",
    metadata,
    Column("id", _INTEGER, primary_key=True),
    Column("fingerprint", _string(64), nullable=False, unique=True),
    Column("space", _TEXT, nullable=False),  # Space.to_json
    Column("model", _TEXT, nullable=False),  # what to load it from: a short name, a hub id or a folder
    Column("tolerance", Float),  # the least cosine of its canaries; none: the usual one
    Column("checked", _STRING),  # when they were last compared, ISO 8601; none where that costs nothing
)
canaries = Table(
    "canaries",
    metadata,
    Column("space_id", ForeignKey("spaces.id"), primary_key=True),
    Column("role", _STRING, primary_key=True),
    Column("text", _TEXT, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)
tokenizers = Table(  # kept so that a chunking outlives the model whose tokenizer counts its tokens
    "tokenizers",
    metadata,
    Column("digest", _string(64), primary_key=True),  # SHA-256 of the tokenizer's JSON
    Column("body", LargeBinary, nullable=False),  # the JSON, zlib
)
chunkings = Table(
    "chunkings",
    metadata,
    Column("id", _INTEGER, primary_key=True),
    # All that tells it from another one, as JSON: the settings, and the tokenizer where that is known.
    Column("settings", _TEXT, nullable=False, unique=True),
)
versions = Table(
    "versions",
    metadata,
    Column("id", _INTEGER, primary_key=True),
    Column("chunking_id", ForeignKey("chunkings.id"), nullable=False),
    Column("space_id", ForeignKey("spaces.id"), nullable=False),
    Column("retrieval", _TEXT, nullable=False),
    Column("state", _STRING, nullable=False),  # building, ready, live, retired
    Column("created", _STRING, nullable=False),
    # Every document with an id up to this one has its chunks and vectors. The live version is always whole.
    Column("upto", _INTEGER, nullable=False, server_default="0"),
    Index("versions_one_live", "state", unique=True, sqlite_where=_IS_LIVE, postgresql_where=_IS_LIVE),
)
switches = Table(
    "switches",
    metadata,
    Column("seq", _INTEGER, primary_key=True),
    Column("at", _STRING, nullable=False),
    Column("from_id", ForeignKey("versions.id"), nullable=False),
    Column("to_id", ForeignKey("versions.id"), nullable=False),
    Column("why", _TEXT, nullable=False),  # "switch", "rollback", or what else its caller says
    sqlite_autoincrement=True,
)
interleavings = Table(  # versions whose results are shown in one list, so that clicks say which is better
    "interleavings",
    metadata,
    Column("id", _INTEGER, primary_key=True),
    Column("live_id", ForeignKey("versions.id"), nullable=False),
    Column("candidate_id", ForeignKey("versions.id"), nullable=False),
    Column("settings", _TEXT, nullable=False),  # InterleaveSettings as JSON
    Column("secret", _STRING, nullable=False),  # signs the ids of searches, so that no other gets credit
    Column("started", _STRING, nullable=False),
    Column("ended", _STRING),
    Column("outcome", _STRING),  # none while it goes on
)
interleaved_searches = Table(  # results with a click: what it said
    "interleaved_searches",
    metadata,
    Column("seq", _INTEGER, primary_key=True),
    Column("interleaving_id", ForeignKey("interleavings.id"), nullable=False),
    Column("search", _STRING, nullable=False),  # its id and the result's place
    Column("session", _STRING, nullable=False),
    Column("credit", _INTEGER, nullable=False),  # 1: the candidate's result, -1: the live version's, 0: of both
    UniqueConstraint("interleaving_id", "search"),
    sqlite_autoincrement=True,
)
roots = Table(  # what the documents' ids of each indexed path begin with, so that ids never change
    "roots",
    metadata,
    Column("path", _TEXT, primary_key=True),
    Column("label", _TEXT, nullable=False, unique=True),
)
sources = Table(
    "sources",
    metadata,
    Column("id", _INTEGER, primary_key=True),
    Column("path", _TEXT, nullable=False, unique=True),
    Column("size", _INTEGER, nullable=False),
    Column("mtime_ns", _INTEGER, nullable=False),
    Column("sha256", _string(64), nullable=False),  # "" while a file is only partly written
    Column("ctime_ns", _INTEGER, nullable=False, server_default="0"),  # 0: not known, the file is hashed once
)
documents = Table(
    "documents",
    metadata,
    Column("id", _INTEGER, primary_key=True),
    Column("key", _TEXT, nullable=False, unique=True),
    Column("source_id", ForeignKey("sources.id"), index=True),
    Column("title", _TEXT, nullable=False),
    Column("source", _TEXT, nullable=False),
    Column("media_type", _STRING, nullable=False),
    Column("metadata", _TEXT, nullable=False),
    Column("content_hash", _string(64), nullable=False),
    Column("characters", _INTEGER, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the text, zlib
    Column("locations", _TEXT, nullable=False, server_default=""),  # Locations.to_json, "" where they are unknown
    sqlite_autoincrement=True,
)
chunks = Table(
    "chunks",
    metadata,
    Column("id", _INTEGER, primary_key=True),
    Column("document_id", ForeignKey("documents.id"), nullable=False),
    Column("chunking_id", ForeignKey("chunkings.id"), nullable=False),
    Column("ordinal", _INTEGER, nullable=False),
    Column("start", _INTEGER, nullable=False),
    Column("end", _INTEGER, nullable=False),
    Column("text", _TEXT, nullable=False),
    Column("heading", _TEXT, nullable=False),
    Column("tokens", _INTEGER, nullable=False),
    Column("text_hash", LargeBinary(32), nullable=False),
    Column("location", _STRING, nullable=False, server_default=""),  # Location.to_json
    UniqueConstraint("document_id", "chunking_id", "ordinal"),
    Index("chunks_by_hash", "text_hash"),
    sqlite_autoincrement=True,
)
vectors = Table(
    "vectors",
    metadata,
    Column("id", _INTEGER, primary_key=True),
    Column("space_id", ForeignKey("spaces.id"), nullable=False),
    Column("role", _STRING, nullable=False),
    Column("text_hash", LargeBinary(32), nullable=False),
    Column("data", LargeBinary, nullable=False),  # see vector_cache.stored_type; little-endian
    Column("checksum", _INTEGER),  # see vector_checksum; none in a row that an older gnomon wrote meanwhile
    UniqueConstraint("space_id", "role", "text_hash"),
)
journal = Table(
    "journal",
    metadata,
    Column("seq", _INTEGER, primary_key=True),
    Column("op", _string(1), nullable=False),  # + chunk added, - chunk removed
    Column("chunk_id", _INTEGER, nullable=False),
    Column("chunking_id", _INTEGER, nullable=False),
    Column("nonce", _INTEGER, nullable=False),  # tells two histories apart after a catalog was restored
    Index("journal_by_chunking", "chunking_id"),
    sqlite_autoincrement=True,
)
tables = Table(  # files that are queried beside the documents: where they are, and their columns
    "tables",
    metadata,
    Column("name", _STRING, primary_key=True),
    Column("path", _TEXT, nullable=False),
    Column("about", _TEXT, nullable=False),  # JSON
)
fields = Table(  # the type of each metadata field; what is stored of it was converted to that where it could be
    "fields",
    metadata,
    Column("name", _TEXT, primary_key=True),
    Column("type", _STRING, nullable=False),  # text, number, boolean, date
    Column("known", _STRING, nullable=False),  # declared, inferred
)
spending = Table(  # what servers were sent and charged: a row for each day, model and role
    "spending",
    metadata,
    Column("day", _STRING, primary_key=True),  # UTC, ISO 8601
    Column("model", _TEXT, primary_key=True),
    Column("role", _STRING, primary_key=True),
    Column("requests", _INTEGER, nullable=False),
    Column("texts", _INTEGER, nullable=False),
    Column("tokens", _INTEGER, nullable=False),
    Column("cost", Float, nullable=False),  # USD
)

# What conditions on metadata read in PostgreSQL: the same values as JSONB. No text is ever read from it.
for _statement in (
    "ALTER TABLE documents ADD COLUMN facts jsonb GENERATED ALWAYS AS (metadata::jsonb) STORED",
    "CREATE INDEX documents_by_facts ON documents USING gin (facts jsonb_path_ops)",
):
    _ddl: ExecutableDDLElement = DDL(_statement)  # type: ignore[no-untyped-call]
    event.listen(documents, "after_create", _ddl.execute_if(dialect="postgresql"))


def vector_checksum(space_id: int, role: str, text_hash: bytes, data: bytes) -> int:  # noqa: PLR0917 - SQL calls it
    """CRC-32 of a vector's row: a bit that is flipped in any of its columns shows. -1 where data are no bytes."""
    if not isinstance(data, bytes):  # a flipped bit may have made them a text
        return -1
    return zlib.crc32(data, zlib.crc32(text_hash, zlib.crc32(f"{space_id} {role} ".encode())))
