"""A version: (chunking, space, retrieval settings), immutable. One is live at any time.

States: building, ready, live, retired. One that is not retired is kept. The live version is complete: every
document has its chunks in its chunking, and each of them its vector in its space. Any other is complete up to a
document's row id, its watermark: such ids only rise, and a changed document is a new row.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.dialect import upsert
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.contracts import Encoder
from gnomon.core.errors import CollectionDamaged, InvalidInput
from gnomon.core.space import Space
from gnomon.text.chunk import Chunker, ChunkSettings

KEPT = ("building", "ready", "live")
BACKFILL_STATES = ("building", "ready")
"""States of versions that a backfill completes: the live one is complete after every write."""
_LIVE = select(schema.versions.c.id).where(schema.versions.c.state == "live")


class NotReady(InvalidInput):
    """A version that cannot serve: it lacks documents, is still being built, or is retired."""


@dataclass(frozen=True)
class ChunkTokenizer:
    """The tokenizer of a chunking: SHA-256 of its JSON, and how many tokens the model adds to a text."""

    digest: str
    overhead: int


@dataclass(frozen=True)
class SpaceModel:
    """A further encoder of a version: its space, that row's id, and what to load the encoder from."""

    space_id: int
    space: Space
    model: str


@dataclass(frozen=True)
class Version:
    """One row of the catalog's versions, with what it refers to. `model` is what to load the encoder from.

    `chunk_tokenizer` is None where the version's own model counts the tokens of its chunks. `sparse` is what the
    retrieval settings name as the sparse encoder, `spaces` as further dense ones, in their order.
    """

    id: int
    chunking_id: int
    chunking: dict[str, Any]
    space_id: int
    space: Space
    model: str
    retrieval: RetrievalSettings
    chunk_tokenizer: ChunkTokenizer | None = None
    sparse: SpaceModel | None = None
    spaces: tuple[SpaceModel, ...] = ()

    @property
    def space_ids(self) -> tuple[int, ...]:
        """The rows of all spaces that each of its chunks has a vector in."""
        sparse = () if self.sparse is None else (self.sparse.space_id,)
        return (self.space_id, *sparse, *(one.space_id for one in self.beside))

    @property
    def all_space_ids(self) -> tuple[int, ...]:
        """The same with the spaces in which a chunk has a vector once a search has needed it."""
        return tuple(dict.fromkeys((*self.space_ids, *(model.space_id for model in self.spaces))))

    @property
    def beside(self) -> tuple[Version, ...]:
        """For each space whose ranking is a list of its own: this version as if that were its only space."""
        pairs = zip(self.spaces, self.retrieval.spaces, strict=True)
        return tuple(self.in_space(model) for model, settings in pairs if settings.place == "beside")

    def in_space(self, model: SpaceModel) -> Version:
        """This version as if a further space were its only one: the same chunks, searched by meaning."""
        alone = RetrievalSettings("dense", index=self.retrieval.index, language=self.retrieval.language)
        own = replace(self, space_id=model.space_id, space=model.space, model=model.model)
        return replace(own, retrieval=alone, sparse=None, spaces=())

    @property
    def name(self) -> str:
        """Its name: "v" and its id."""
        return f"v{self.id}"


@dataclass(frozen=True)
class VersionState:
    """What may change of a version: its state, its watermark (a document's row id), and how many documents it lacks."""

    state: str
    upto: int
    behind: int

    @property
    def is_complete(self) -> bool:
        """Whether it may serve: not retired, and no document is missing."""
        return self.state in KEPT and self.behind == 0


def live_version(connection: Connection) -> Version | None:
    """The version that serves, None in a new collection."""
    return next(iter(_read(connection, schema.versions.c.state == "live")), None)


def live_id(connection: Connection) -> int:
    """The id of the version that serves."""
    return int(connection.execute(_LIVE).scalar_one())


def live_chunking(connection: Connection) -> int:
    """The row id of the chunking that serves."""
    table = schema.versions.c
    return int(connection.execute(select(table.chunking_id).where(table.state == "live")).scalar_one())


def all_versions(connection: Connection, states: Iterable[str] | None = None) -> list[Version]:
    """All versions, or those in some states, oldest first."""
    return _read(connection, *(() if states is None else [schema.versions.c.state.in_(list(states))]))


def by_id(connection: Connection, version_id: int) -> Version:
    """The version of an id that is known to be there."""
    (version,) = _read(connection, schema.versions.c.id == version_id)
    return version


def by_name(connection: Connection, name: str) -> Version:
    """The version of a name ("v2"). Raises InvalidInput that lists the names there are."""
    found = all_versions(connection)
    for version in found:
        if version.name == name:
            return version
    raise InvalidInput(
        f"the collection has no version {name}; its versions: {', '.join(each.name for each in found)}",
        expected="a version that is there",
        hint="gnomon versions lists them with their states",
    )


def complete_version(connection: Connection, name: str) -> Version:
    """The version of a name, which holds every document. Raises NotReady where it cannot serve, and as `by_name`."""
    version = by_name(connection, name)
    state = version_state(connection, version.id)
    if state.is_complete:
        return version
    is_retired = state.state == "retired"
    raise NotReady(
        f"{name} is retired" if is_retired else f"{name} is {state.behind:,} documents behind",
        expected="a version that holds every document",
        hint="gnomon versions shows which do" + ("" if is_retired else ", and how far this one is"),
    )


def version_state(connection: Connection, version_id: int) -> VersionState:
    """State, watermark and number of missing documents, as they are in the caller's transaction."""
    table, document = schema.versions.c, schema.documents.c
    row = connection.execute(select(table.state, table.upto).where(table.id == version_id)).one()
    if row.state == "live":
        return VersionState("live", last_document(connection), 0)
    lacking = select(func.count()).select_from(schema.documents).where(document.id > row.upto)
    return VersionState(row.state, row.upto, int(connection.execute(lacking).scalar_one()))


def state_name(connection: Connection, version_id: int) -> str:
    """The version's state."""
    table = schema.versions.c
    return str(connection.execute(select(table.state).where(table.id == version_id)).scalar_one())


def is_complete(connection: Connection, version_id: int) -> bool:
    """Whether a version lacks no document, so that its indexes may be brought to the journal's head."""
    table, document = schema.versions.c, schema.documents.c
    row = connection.execute(select(table.state, table.upto).where(table.id == version_id)).one()
    if row.state not in BACKFILL_STATES:
        return bool(row.state == "live")
    return connection.execute(select(document.id).where(document.id > row.upto).limit(1)).first() is None


def last_document(connection: Connection) -> int:
    """The highest row id that a document has; 0 without any."""
    return int(connection.execute(select(func.max(schema.documents.c.id))).scalar_one() or 0)


def chunking_id(connection: Connection, settings: dict[str, Any], tokenizer: ChunkTokenizer | None) -> int:
    """The id of a chunking's row, inserted where it is new."""
    table, text = schema.chunkings, chunking_json(settings, tokenizer)
    connection.execute(upsert(connection, table).values(settings=text).on_conflict_do_nothing())
    return int(connection.execute(select(table.c.id).where(table.c.settings == text)).scalar_one())


def chunking_json(settings: dict[str, Any], tokenizer: ChunkTokenizer | None) -> str:
    """A chunking as the catalog keeps it: all that tells it from another one."""
    known = {} if tokenizer is None else {"tokenizer": tokenizer.digest, "overhead": tokenizer.overhead}
    return json.dumps({**settings, **known}, sort_keys=True)


def retrieval_json(retrieval: RetrievalSettings) -> str:
    """Retrieval settings as the catalog keeps them."""
    return json.dumps(retrieval.to_json(), sort_keys=True)


def create(connection: Connection, state: str, chunking: int, *, space: int, retrieval: RetrievalSettings) -> int:
    """Make a version of a chunking's row and a space's. Returns its id."""
    values = {
        "chunking_id": chunking,
        "space_id": space,
        "retrieval": retrieval_json(retrieval),
        "state": state,
        "created": timestamp(),
    }
    table = schema.versions
    return int(connection.execute(insert(table).values(**values).returning(table.c.id)).scalar_one())


def timestamp() -> str:
    """The time now as the catalog keeps it: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read(connection: Connection, *which: ColumnElement[bool]) -> list[Version]:
    """The versions of which all this is true, oldest first."""
    v, c, s = schema.versions.c, schema.chunkings.c, schema.spaces.c
    wanted = (
        select(v.id, v.chunking_id, c.settings, v.space_id, s.space, s.model, v.retrieval)
        .join_from(schema.versions, schema.chunkings, c.id == v.chunking_id)
        .join(schema.spaces, s.id == v.space_id)
        .where(*which)
        .order_by(v.id)
    )
    rows = connection.execute(wanted).all()
    searched = [RetrievalSettings.from_json(json.loads(row.retrieval)) for row in rows]
    further = {one.fingerprint for each in searched for one in each.spaces}
    further |= {each.sparse.fingerprint for each in searched if each.sparse is not None}
    models: dict[str, SpaceModel] = {}
    if further:
        found = connection.execute(select(s.fingerprint, s.id, s.space, s.model).where(s.fingerprint.in_(further)))
        models = {r.fingerprint: SpaceModel(r.id, Space.from_json(json.loads(r.space)), r.model) for r in found}
    return [_version(row, retrieval, models) for row, retrieval in zip(rows, searched, strict=True)]


def _version(row: Any, retrieval: RetrievalSettings, models: Mapping[str, SpaceModel]) -> Version:
    settings = json.loads(row.settings)
    tokenizer, overhead = settings.pop("tokenizer", None), settings.pop("overhead", 0)
    lacking = next((one for one in retrieval.spaces if one.fingerprint not in models), None)
    if lacking is not None:
        raise CollectionDamaged(
            f"the space of {lacking.model}, which v{row.id} searches with, is not in the catalog",
            expected="a row for each space of its versions",
            hint="restore the catalog from a backup",
        )
    return Version(
        id=row.id,
        chunking_id=row.chunking_id,
        chunking=settings,
        space_id=row.space_id,
        space=Space.from_json(json.loads(row.space)),
        model=row.model,
        retrieval=retrieval,
        chunk_tokenizer=None if tokenizer is None else ChunkTokenizer(tokenizer, overhead),
        sparse=None if retrieval.sparse is None else models.get(retrieval.sparse.fingerprint),
        spaces=tuple(models[one.fingerprint] for one in retrieval.spaces),
    )


def chunker_for(connection: Connection, version: Version, encoder: Encoder) -> Chunker:
    """The chunker of a version: with the encoder's tokenizer where that is the one it was made with, else the kept one.

    Raises CollectionDamaged where the kept tokenizer is gone.
    """
    settings, tokenizer = ChunkSettings.from_json(version.chunking), version.chunk_tokenizer
    if uses_own_tokenizer(version, encoder):
        return own_chunker(settings, encoder)
    digest = "" if tokenizer is None else tokenizer.digest
    table = schema.tokenizers.c
    body = connection.execute(select(table.body).where(table.digest == digest)).scalar_one_or_none()
    if tokenizer is None or body is None:
        raise CollectionDamaged(
            f"the tokenizer {digest[:12]} of the chunks of {version.name} is not in the catalog",
            expected="a catalog that holds it",
            hint="make a version with chunks of its own: gnomon migrate --chunk-tokens N",
        )
    return Chunker(settings, tokenizer_json=zlib.decompress(body).decode(), overhead=tokenizer.overhead)


def own_chunker(settings: ChunkSettings, encoder: Encoder) -> Chunker:
    """A chunker that counts tokens as an encoder does."""
    return Chunker(
        settings,
        tokenizer_json=encoder.tokenizer_json,
        count=lambda texts: encoder.count_tokens(texts, role="document"),
        overhead=_overhead(encoder),
        counting=getattr(encoder, "token_counting", None),
    )


def uses_own_tokenizer(version: Version, encoder: Encoder) -> bool:
    """Whether the chunks of a version are counted by the tokenizer of its own model."""
    return version.chunk_tokenizer is None or chunk_tokenizer_of(encoder) == version.chunk_tokenizer


def chunk_tokenizer_of(encoder: Encoder) -> ChunkTokenizer | None:
    """Digest and overhead of an encoder's tokenizer; None for one without a tokenizer that could be kept."""
    if encoder.tokenizer_json is None:
        return None
    return ChunkTokenizer(hashlib.sha256(encoder.tokenizer_json.encode()).hexdigest(), _overhead(encoder))


def keep_tokenizer(connection: Connection, encoder: Encoder) -> ChunkTokenizer | None:
    """Put an encoder's tokenizer into the catalog, where it has one."""
    tokenizer = chunk_tokenizer_of(encoder)
    if tokenizer is not None and encoder.tokenizer_json is not None:
        body = zlib.compress(encoder.tokenizer_json.encode(), 6)
        row = upsert(connection, schema.tokenizers).values(digest=tokenizer.digest, body=body)
        connection.execute(row.on_conflict_do_nothing())
    return tokenizer


def record_tokenizer(connection: Connection, version: Version, encoder: Encoder) -> None:
    """Keep the tokenizer of a version's chunking, whose own encoder this is, so that it outlives the model."""
    if version.chunk_tokenizer is not None:
        return
    tokenizer, table = keep_tokenizer(connection, encoder), schema.chunkings
    if tokenizer is not None:
        settings = chunking_json(version.chunking, tokenizer)
        row = update(table).where(table.c.id == version.chunking_id).values(settings=settings)
        connection.execute(row)


def _overhead(encoder: Encoder) -> int:
    return encoder.count_tokens([""], role="document")[0]
