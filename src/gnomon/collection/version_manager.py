"""The versions of a collection: add, backfill, switch, roll back, retire, prune."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from gnomon.collection.catalog import chunk_texts, mutations, schema, spaces, vector_cache, versions
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.store_records import filled_store
from gnomon.collection.catalog.versions import (
    KEPT,
    NotReady,
    Version,
    VersionState,
    keep_tokenizer,
    record_tokenizer,
)
from gnomon.collection.indexes.state import derived_folder
from gnomon.collection.indexes.store_index import StoreIndex, require_store
from gnomon.collection.ingest.backfill import Backfill, BackfillOptions, BackfillProgress
from gnomon.collection.reports import Problem, PruneReport, SwitchReport, VersionInfo
from gnomon.collection.serving.further_spaces import resolve_spaces, warn_of_long_chunks
from gnomon.collection.serving.serving import Serving
from gnomon.collection.settings import RetrievalSettings, check_index_kind
from gnomon.core.budget import Budget
from gnomon.core.contracts import Encoder
from gnomon.core.errors import GnomonError, InvalidInput, ServerUnreachable
from gnomon.text.chunk import ChunkSettings

_BATCH = 2000
"""Rows that one transaction deletes at most."""


def prune(catalog: Catalog, *, vacuum: bool = False) -> PruneReport:
    """Delete it all, store what is left in its shortest form, and with `vacuum` give the space back to the disk.

    That takes long, and twice the space until it ends; a run that was cut off goes on where it was.
    Vectors of documents' texts are deleted where no kept version has the space, or no chunk the text.
    """
    before = _size(catalog)
    chunks = _all(catalog, _chunks)
    vectors = _all(catalog, _vectors_of_spaces) + _all(catalog, _vectors_of_texts)
    rewritten = _all(catalog, partial(vector_cache.shorten, limit=_BATCH))
    rewritten += _all(catalog, partial(chunk_texts.drop_copies, limit=_BATCH))
    with catalog.write() as connection:
        tokenizers = _tokenizers(connection)
    with catalog.read() as connection:
        gone = versions.all_versions(connection, ["retired"])
    folders = [derived_folder(catalog.folder, version) for version in gone]
    folders = [path for path in folders if path.is_dir()]
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)
    if vacuum:
        catalog.vacuum()
    _drop_stores(catalog, gone)
    names = tuple(path.name for path in folders)
    return PruneReport(chunks, vectors, tokenizers, names, max(0, before - _size(catalog)), rewritten)


def _drop_stores(catalog: Catalog, gone: Sequence[Version]) -> None:
    """Delete the engines' collections of versions; of an engine that does not answer they stay for the next time."""
    with catalog.read() as connection:
        stored = [version for version in gone if filled_store(connection, version.id) is not None]
    for version in stored:
        store = StoreIndex(catalog, version)
        try:
            store.drop()
        except ServerUnreachable as error:
            warnings.warn(f"the store of {version.name} was not deleted: {error.message}", RuntimeWarning, stacklevel=3)
        finally:
            store.close()


def _all(catalog: Catalog, batch: Callable[[Connection, int], tuple[int, int] | None]) -> int:
    """Batch after batch, each beginning after the last row of the one before. Returns how many rows were changed."""
    removed, after = 0, 0
    while True:
        with catalog.write() as connection:
            found = batch(connection, after)
        if found is None:
            return removed
        count, after = found
        removed += count


def _chunks(connection: Connection, after: int) -> tuple[int, int] | None:
    table = schema.chunks
    kept = select(schema.versions.c.chunking_id).where(schema.versions.c.state.in_(KEPT))
    wanted = select(table.c.id).where(table.c.id > after, table.c.chunking_id.not_in(kept))
    ids = list(connection.execute(wanted.order_by(table.c.id).limit(_BATCH)).scalars())
    if not ids:
        return None
    mutations.drop_chunks(connection, ids)
    return len(ids), ids[-1]


def _vectors_of_spaces(connection: Connection, after: int) -> tuple[int, int] | None:
    table = schema.vectors
    unkept = table.c.space_id.not_in(_space_ids(connection, KEPT))
    ids = list(connection.execute(select(table.c.id).where(unkept).limit(_BATCH)).scalars())
    if not ids:
        return None
    connection.execute(delete(table).where(table.c.id.in_(ids)))
    return len(ids), after


def _vectors_of_texts(connection: Connection, after: int) -> tuple[int, int] | None:
    """Of a range of all vectors those of documents' texts that no chunk has.

    A version that is being built may have its vectors before its chunks: those of its space stay.
    """
    table = schema.vectors
    stretch = select(table.c.id).where(table.c.id > after).order_by(table.c.id).limit(_BATCH)
    ids = list(connection.execute(stretch).scalars())
    if not ids:
        return None
    some_chunk = exists(select(schema.chunks.c.id).where(schema.chunks.c.text_hash == table.c.text_hash))
    building = table.c.space_id.in_(_space_ids(connection, ["building"]))
    among = (table.c.id > after, table.c.id <= ids[-1], table.c.role == "document")
    idle = delete(table).where(*among, ~building, ~some_chunk)
    return connection.execute(idle).rowcount, ids[-1]


def _space_ids(connection: Connection, states: Sequence[str]) -> list[int]:
    """The rows of all spaces that versions in some states have vectors in."""
    every = versions.all_versions(connection, states)
    return sorted({space for version in every for space in version.all_space_ids})


def _tokenizers(connection: Connection) -> int:
    table = schema.tokenizers
    tokenizers = [version.chunk_tokenizer for version in versions.all_versions(connection, KEPT)]
    kept = {tokenizer.digest for tokenizer in tokenizers if tokenizer is not None}
    return connection.execute(delete(table).where(table.c.digest.not_in(kept))).rowcount


def _size(catalog: Catalog) -> int:
    """Bytes of the catalog and of what is derived from it here."""
    inside = catalog.folder == Path(catalog.address)
    total = 0 if inside else catalog.backend.size()
    for path in catalog.folder.rglob("*"):
        with suppress(OSError):  # gone since it was listed
            total += path.stat().st_size if path.is_file() else 0
    return total


ROLLBACK = "rollback"


def make_live(catalog: Catalog, to: Version, why: str, *, after: int | None = None) -> SwitchReport:
    """Make a version the live one, in one transaction that checks that it is ready and lacks nothing.

    The one that was live is then ready, and complete up to the last document. `after` is the number of the last
    switch that the choice of the version was based on, if any. Raises NotReady, also where a later switch came.
    """
    table = schema.versions
    started = time.perf_counter()
    with catalog.write() as connection:
        live = versions.live_version(connection)
        state = versions.version_state(connection, to.id)
        if live is None or live.id == to.id:
            raise InvalidInput(
                f"{to.name} is live already", expected="another version", hint="gnomon versions lists them"
            )
        require_ready(to, state)
        if after is not None and last_switch(connection) != after:
            raise NotReady(f"{to.name} is not what was live before, since another switch came in between")
        # In this order: there is never a moment with two.
        left = update(table).where(table.c.id == live.id)
        connection.execute(left.values(state="ready", upto=versions.last_document(connection)))
        connection.execute(update(table).where(table.c.id == to.id).values(state="live"))
        row = {"at": versions.timestamp(), "from_id": live.id, "to_id": to.id, "why": why}
        connection.execute(insert(schema.switches).values(**row))
    return SwitchReport(live.name, to.name, time.perf_counter() - started, why)


def require_ready(version: Version, state: VersionState) -> None:
    """Raise NotReady that says what is missing, where a version may not go live."""
    if state.state == "ready" and state.behind == 0:
        return
    if state.state == "retired":
        found, hint = "retired, and gets no documents any more", "add a version of its model again: gnomon migrate"
    elif state.behind:
        found, hint = f"{state.behind:,} documents behind", "put them in: gnomon migrate resumes its build"
    else:
        found, hint = "still being built", "wait until it is built: gnomon migrate resumes its build"
    raise NotReady(f"{version.name} is {found}", expected="a ready version that lacks no document", hint=hint)


def mark_ready(catalog: Catalog, version: Version) -> None:
    """Mark a version as built: later writes are put into it too. Raises NotReady where it lacks documents."""
    with catalog.write() as connection:
        state = versions.version_state(connection, version.id)
        if state.state in ("ready", "live"):
            return
        if state.state == "retired" or state.behind:
            require_ready(version, state)
        _set(connection, version, "ready")


def retire(catalog: Catalog, version: Version) -> None:
    """Retire a version: nothing is written for it any more. Raises InvalidInput for the live one."""
    with catalog.write() as connection:
        if versions.state_name(connection, version.id) == "live":
            raise InvalidInput(
                f"{version.name} is live",
                expected="a version that does not serve",
                hint="switch to another one first",
            )
        _set(connection, version, "retired")


def previous_version(connection: Connection) -> Version:
    """The version to roll back to: the one that the live one took over from. Raises InvalidInput without any.

    A rollback undoes the switches it goes back over: rolling back twice does not return to the version left first.
    """
    path: list[int] = []
    # As plain text: after thousands of switches their rows would take longer than the transaction.
    rows = connection.exec_driver_sql("SELECT from_id, to_id, why FROM switches ORDER BY seq")
    for from_id, to_id, why in rows.all():
        path = path or [from_id]
        if why == ROLLBACK and to_id in path:
            del path[len(path) - path[::-1].index(to_id) :]
        else:
            path.append(to_id)
    kept = {version.id: version for version in versions.all_versions(connection, versions.BACKFILL_STATES)}
    for version_id in reversed(path[:-1]):
        if version_id in kept:
            return kept[version_id]
    raise InvalidInput(
        "there is no former version to go back to",
        expected="a switch before, and a former version that was not retired",
        hint="gnomon versions lists what there is",
    )


def last_switch(connection: Connection) -> int:
    """The number of the last switch or rollback, 0 before any."""
    return int(connection.execute(select(func.max(schema.switches.c.seq))).scalar_one() or 0)


def version_infos(connection: Connection) -> Sequence[VersionInfo]:
    """All versions with their states, oldest first."""
    table = schema.switches.c
    latest = select(table.to_id, table.at).order_by(table.seq.desc()).limit(1)
    switch = connection.execute(latest).first()
    found = []
    for version in versions.all_versions(connection):
        state = versions.version_state(connection, version.id)
        own = schema.versions.c
        created = connection.execute(select(own.created).where(own.id == version.id)).scalar_one()
        since = switch.at if switch is not None else created
        found.append(
            VersionInfo(
                id=version.id,
                name=version.name,
                state=state.state,
                model=version.model,
                space=version.space.short,
                fingerprint=version.space.fingerprint,
                chunking=version.chunking,
                retrieval=version.retrieval.to_json(),
                created=created,
                upto=state.upto,
                behind=state.behind,
                live_since=since if state.state == "live" else None,
            )
        )
    return found


def _set(connection: Connection, version: Version, state: str) -> None:
    table = schema.versions
    connection.execute(update(table).where(table.c.id == version.id).values(state=state))


_TRIES = 20
"""How often a switch is tried where writers of other processes come in between."""


class VersionManager:
    """The versions of one open collection (`kb.versions`). Any number of processes may change them at once."""

    def __init__(self, serving: Serving) -> None:
        self._serving, self._catalog = serving, serving.catalog

    def list(self) -> tuple[VersionInfo, ...]:
        """All versions with their states, oldest first."""
        with self._catalog.read() as connection:
            return tuple(version_infos(connection))

    def __call__(self) -> tuple[VersionInfo, ...]:
        """The former way to list the versions: `kb.versions()`."""
        warnings.warn("Collection.versions() is now Collection.versions.list()", DeprecationWarning, stacklevel=2)
        return self.list()

    def get(self, name: str) -> Version:
        """The version of a name, such as "v2". Raises InvalidInput that lists the names there are."""
        with self._catalog.read() as connection:
            return versions.by_name(connection, name)

    def add(
        self,
        encoder: Encoder,
        *,
        model: str | None = None,
        chunking: ChunkSettings | None = None,
        retrieval: RetrievalSettings | None = None,
    ) -> VersionInfo:
        """Add a version in state "building": with the live one's chunks and retrieval settings by default.

        `model` is what to load the encoder from later (by default its space's name). Where the same version is being
        built already, that one is returned, to be resumed. Raises InvalidInput where a ready or live version is the
        same, for search settings that the encoder's vectors do not have, and for chunks longer than the encoder reads.
        """
        if chunking is not None and chunking.max_tokens > encoder.max_tokens:
            raise InvalidInput(
                f"chunks of {chunking.max_tokens} tokens for {encoder.space.short}",
                expected=f"at most the {encoder.max_tokens} tokens that it reads whole",
                hint="take smaller chunks, or a model that reads longer texts",
            )
        own = encoder if chunking is not None else self._own_encoder()
        canaries = spaces.canaries_for(self._catalog, encoder)
        self._serving.encoders.register(encoder)
        searched = retrieval or self._live().retrieval
        require_store(self._catalog, encoder.space, address=searched.store)
        wanted, models = searched.sparse, self._serving.encoders
        sparse = None if wanted is None else models.sparse(wanted)
        searched = resolve_spaces(searched, encoder.space, models.kept)
        further = [(one.model, models.further(one, encoder.space)) for one in searched.spaces]
        known = [(name, each, spaces.canaries_for(self._catalog, each)) for name, each in further]
        for _, each in further:
            warn_of_long_chunks(each, chunking or ChunkSettings.from_json(self._live().chunking))
        with self._catalog.write() as connection:
            live = versions.by_id(connection, versions.live_id(connection))
            for name, each, its_own in known:
                spaces.register(connection, each, name, canaries=its_own)
            if sparse is not None and wanted is not None:
                spaces.register_sparse(connection, sparse, wanted.model)
            space = spaces.register(connection, encoder, model or encoder.space.name, canaries=canaries)
            if own is not None and own.space == live.space:
                record_tokenizer(connection, live, own)
            chunking_id, settings = live.chunking_id, searched
            check_index_kind(encoder.space, settings)
            if chunking is not None:
                tokenizer = keep_tokenizer(connection, encoder)
                chunking_id = versions.chunking_id(connection, chunking.to_json(), tokenizer)
            found = _same(connection, (chunking_id, space, settings)) or versions.create(
                connection, "building", chunking_id, space=space, retrieval=settings
            )
            return _info(connection, found)

    def backfill(self, name: str, options: BackfillOptions | None = None) -> BackfillProgress:
        """Put the documents that a version lacks into it, in steps that `options` can watch, pace and stop.

        Loads its model only where something is to be embedded. Does nothing for the live version.
        """
        return self.prepare_backfill(name, options).run()

    def prepare_backfill(self, name: str, options: BackfillOptions | None = None) -> Backfill:
        """The same, to be run a step at a time."""
        version = self.get(name)
        return Backfill(self._catalog, version, lambda: self._serving.target(version.id), options=options)

    def update_ready(self, budget: Budget | None = None) -> tuple[Problem, ...]:
        """After a write: put the documents into the ready versions too, so that a rollback loses nothing.

        Returns a problem for each that cannot be updated, as its model is gone, or the budget does not allow it.
        """
        with self._catalog.read() as connection:
            ready = versions.all_versions(connection, ["ready"])
        problems = []
        for version in ready:
            target = partial(self._serving.target, version.id)
            try:
                options = BackfillOptions() if budget is None else BackfillOptions(budget=budget)
                Backfill(self._catalog, version, target, options=options).run()
            except GnomonError as error:
                reason = f"lacks what was put in, and cannot be gone back to before it has it: {error.message}"
                problems.append(Problem(version.name, reason, error.hint, skipped=False))
        return tuple(problems)

    def mark_ready(self, name: str) -> VersionInfo:
        """Mark a version as built: later writes are put into it too. Raises NotReady where it lacks documents."""
        version = self.get(name)
        mark_ready(self._catalog, version)
        with self._catalog.read() as connection:
            return _info(connection, version.id)

    def build_indexes(self, name: str) -> None:
        """Save a version's indexes to disk, so that other processes need not build them after a switch.

        Raises NotReady where it lacks documents.
        """
        self._serving.served_version(self.get(name).id).derived.refresh(save=True)

    def switch(self, name: str, *, why: str = "switch") -> SwitchReport:
        """Make a ready version the live one, in one transaction, after a backfill of what it lacks.

        `why` is recorded with the switch. Raises NotReady for a version that is not built, or where writers are
        faster than the backfill.
        """
        version = self.get(name)
        return self._switched(lambda: (version, None), why)

    def rollback(self) -> SwitchReport:
        """Go back to the version that was live before. Raises InvalidInput where there is none."""

        def back() -> tuple[Version, int | None]:
            with self._catalog.read() as connection:
                return previous_version(connection), last_switch(connection)

        return self._switched(back, ROLLBACK)

    def retire(self, name: str) -> VersionInfo:
        """Retire a version: it gets no documents any more. Raises InvalidInput for the live one."""
        version = self.get(name)
        retire(self._catalog, version)
        with self._catalog.read() as connection:
            return _info(connection, version.id)

    def prune(self, *, vacuum: bool = False) -> PruneReport:
        """Delete what only retired versions need; `vacuum` makes the file smaller too, which takes long."""
        return prune(self._catalog, vacuum=vacuum)

    def _switched(self, find: Callable[[], tuple[Version, int | None]], why: str) -> SwitchReport:
        """Backfill, load what this process searches with, switch: again where a writer came in between.

        `find` returns the version, and the number of the last switch that the choice is based on.
        """
        tries = 0
        while True:
            to, after = find()
            served = self._serving.served_version(to.id)
            state = self._state_of(to)
            if state.state == "ready" and state.behind:
                Backfill(self._catalog, to, partial(self._serving.target, to.id)).run()
                state = self._state_of(to)
            try:
                if state.state == "ready" and state.is_complete and not self._serving.fixed:
                    served.warm(self._serving.active)
                done = make_live(self._catalog, to, why, after=after)
            except NotReady:
                tries += 1
                if tries == _TRIES or self._state_of(to).state != "ready":
                    raise
                continue
            self._serving.activate(served)
            if served.derived.store is not None:
                served.derived.store.claim_alias()
            return done

    def _state_of(self, version: Version) -> VersionState:
        with self._catalog.read() as connection:
            return versions.version_state(connection, version.id)

    def _own_encoder(self) -> Encoder | None:
        """The live version's encoder, where no kept tokenizer counts the tokens of its chunks."""
        live = self._live()
        return None if live.chunk_tokenizer is not None else self._serving.target(live.id).encoder

    def _live(self) -> Version:
        with self._catalog.read() as connection:
            return versions.by_id(connection, versions.live_id(connection))


def _same(connection: Connection, wanted: tuple[int, int, RetrievalSettings]) -> int | None:
    """The same version if it is being built. Raises InvalidInput where it is ready or live."""
    for other in versions.all_versions(connection, versions.KEPT):
        if (other.chunking_id, other.space_id, other.retrieval) == wanted:
            state = versions.state_name(connection, other.id)
            if state != "building":
                raise InvalidInput(
                    f"{other.name}, which is {state}, has the same model, chunks and retrieval settings",
                    expected="a version that differs from those there are",
                    hint="name another model, or other settings"
                    + ("" if state == "live" else f", or switch to {other.name}"),
                )
            return other.id
    return None


def _info(connection: Connection, version_id: int) -> VersionInfo:
    return next(info for info in version_infos(connection) if info.id == version_id)
