"""A version's vectors in a store, in the place of a local vector index: followed, filled and searched."""

from __future__ import annotations

import re
import shlex
import threading
import time
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from gnomon.collection.address import PostgresAddress
from gnomon.collection.catalog import fields, queries, store_records
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.store_filling import Filled, StoreFilling
from gnomon.core.conditions import OWN, Condition
from gnomon.core.contracts import Array
from gnomon.core.errors import CollectionBusy, GnomonError, InvalidInput, ServerUnreachable, StoreChanged
from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.stores import Store, StorePosition
from gnomon.core.vectors import Vectors
from gnomon.retrieve.where import fields as fields_of
from gnomon.stores import StoreAddress, open_store
from gnomon.stores.requests import check_space

_AGAIN_S, _UNREACHABLE_S, _WAIT_S = 0.5, 3.0, 600.0
"""How long to leave a store alone that another process was filling, or that did not answer; to wait for another."""
_SYMBOLS = re.compile(r"[^a-z0-9_]+")
_PUSHED_DOWN = frozenset(OWN) - {"source"}
"""Own fields whose changes are in the journal. A file that is moved has another source without an entry."""


def _silent(done: int, of: int) -> None:
    """Tells nobody."""


def store_name(catalog: Catalog, version: Version) -> str:
    """The name of a version's collection in its engine, such as "kb_1f2e3d4c_v2"."""
    return f"{store_alias(catalog)}_v{version.id}"


def store_alias(catalog: Catalog) -> str:
    """The name in an engine that leads to the version that is live, such as "kb_1f2e3d4c"."""
    readable = _SYMBOLS.sub("_", catalog.backend.name.lower()).strip("_")[:24] or "collection"
    readable = f"c_{readable}" if not readable[0].isalpha() else readable
    return f"{readable}_{re.sub('[^0-9a-z]', '', catalog.collection_id)[:8]}"


def version_store(catalog: Catalog, version: Version) -> Store:
    """The store of a version whose settings name one, opened; nothing is made."""
    if version.retrieval.store is None:
        raise InvalidInput(f"{version.name} has no store", expected="a version with the setting store")
    return _opened(catalog, version.retrieval.store, store_name(catalog, version))


def _opened(catalog: Catalog, text: str, name: str) -> Store:
    """The store at an address; of `pgvector` alone in the database that the catalog is in, if any."""
    address, place = StoreAddress.parse(text), getattr(catalog.backend, "place", None)
    if address.scheme == "pgvector" and not address.path and isinstance(place, PostgresAddress):
        from gnomon.stores.pgvector import open_pgvector

        return open_pgvector(address, name, database=place.secret_url)
    return open_store(address, name)


def require_store(catalog: Catalog, space: Space, *, address: str | None) -> None:
    """Ask the engine at an address, if any, before anything is built for it.

    Raises InvalidInput where it does not take vectors of this space or its extra is not installed, ServerUnreachable.
    """
    if address is None:
        return
    space.require_one_vector("a store")
    # A name that nothing has: the alias is there once a version is live, a view or such without a label.
    store = _opened(catalog, address, f"{store_alias(catalog)}_new")
    check_space(space, store.capabilities, (space.similarity,))
    store.position()
    store.close()


class StoreIndex:
    """What a view searches by: the store of a version, and where it stands. Thread-safe.

    `position` is what the store surely holds, as it was last read or written here; it may hold later changes too.
    """

    def __init__(self, catalog: Catalog, version: Version) -> None:
        self._catalog, self._version = catalog, version
        self.space = version.space
        self._store: Store | None = None
        self.position: StorePosition | None = None
        self.fault: GnomonError | None = None
        self._checked = False
        self._try_at = 0.0
        self._mutex = threading.Lock()

    @property
    def store(self) -> Store:
        """The store, opened when first needed."""
        with self._mutex:
            if self._store is None:
                self._store = version_store(self._catalog, self._version)
            return self._store

    def count(self) -> int:
        """How many chunks the engine holds."""
        return self.store.count()

    def search(self, queries: Vectors, *, k: int, where: Condition | Array | None = None) -> list[Ranking]:
        """The `k` nearest of each query. Raises what the store raises, and CollectionBusy while it was never filled."""
        if self.fault is not None and (self.position is None or isinstance(self.fault, StoreChanged)):
            raise self.fault
        if self.position is None:
            raise CollectionBusy(
                f"the store of {self._version.name} is being filled for the first time",
                expected="a store that was filled",
                hint="gnomon status KB shows how far it is; words alone are found meanwhile: --mode lexical",
            )
        return self.store.search(queries, k=k, where=where)

    def can_filter(self, condition: Condition, revision: int) -> bool:
        """Whether a condition on fields, whose types are of this revision, is left to the engine."""
        at = self.position
        own = {field.name for field in fields_of(condition) if field.own}
        return at is not None and at.fields == revision and own <= _PUSHED_DOWN and self.store.can_filter(condition)

    def look(self, connection: Connection, *, upto: int) -> int:
        """The journal position that the store has now, at most `upto`; nothing is written to it."""
        try:
            self._read_position(connection)
            self.fault = None
        except GnomonError as error:
            self.fault = error
        return 0 if self.position is None else min(self.position.seq, upto)

    def follow(self, connection: Connection, *, upto: int, whole: bool = False, filled: Filled = _silent) -> int:
        """Bring the store to a journal position of a view of the catalog. Returns the position that it has now.

        Where another process fills it, or it does not answer, it stays behind: `fault` says why. `whole` waits for
        others, and writes metadata anew whose types have changed.
        """
        if whole or time.monotonic() >= self._try_at:
            self._try_at = 0.0
            at = self.look(connection, upto=upto)
            retyped = self.position is not None and self.position.fields != fields.revision(connection)
            is_there = self.position is not None and at == upto and self._checked and not (whole and retyped)
            if self.fault is None and not is_there and not self._catalog.is_read_only:
                try:
                    self._fill(connection, upto=upto, whole=whole, filled=filled)
                except GnomonError as error:
                    self.fault = error
            if isinstance(self.fault, ServerUnreachable):
                self._try_at = time.monotonic() + _UNREACHABLE_S
        return 0 if self.position is None else min(self.position.seq, upto)

    def require_filled(self) -> None:
        """Raise what kept the store from being filled."""
        if self.fault is not None:
            raise self.fault

    def claim_alias(self) -> None:
        """Let the name that other programs use lead to this version."""
        self.store.set_alias(store_alias(self._catalog))

    def drop(self) -> None:
        """Delete the engine's collection, and what is known of it: it is filled from the beginning."""
        with self._exclusive(wait_s=_WAIT_S):
            self._drop()

    def close(self) -> None:
        """Close connections."""
        with self._mutex:
            if self._store is not None:
                self._store.close()
            self._store = None

    def _drop(self) -> None:
        self.store.drop()
        self.position, self.fault, self._checked = None, None, False
        with self._catalog.write() as connection:
            store_records.forget_filled(connection, self._version.id)

    def _fill(self, connection: Connection, *, upto: int, whole: bool, filled: Filled) -> None:
        try:
            with self._exclusive(wait_s=_WAIT_S if whole else 0.0):
                is_ours = self._read_position(connection)  # again: another process may have been first
                known = store_records.filled_store(connection, self._version.id) is not None
                if self.position is None and is_ours and known:
                    raise StoreChanged(
                        f"the store {self.store.name}, which was filled, is gone: someone else has deleted it",
                        expected="what was put in",
                        hint=f"fill it anew: gnomon doctor {shlex.quote(self._catalog.address)} --fix",
                    )
                if not is_ours:  # filled from what is not in the catalog any more, as a copy was put back
                    self._drop()
                self._bring_up(connection, upto=upto, whole=whole, filled=filled, is_new=not known)
        except CollectionBusy:
            self._try_at = time.monotonic() + _AGAIN_S

    def _bring_up(self, connection: Connection, *, upto: int, whole: bool, filled: Filled, is_new: bool) -> None:
        filling = StoreFilling(self.store, connection, self._version, collection=self._catalog.collection_id)
        at = self.position
        if at is None or at.seq < upto or whole:
            at = filling.fill(at, upto=upto, whole=whole, filled=filled)
            if at.recall is None:
                at = filling.measure_recall(at)
            self.position = at
        if is_new:
            with self._catalog.write() as writing:
                store_records.record_filled(writing, self._version.id, self.store.name)
            if queries.chunking_head(connection, self._version.chunking_id).live == self._version.id:
                self.claim_alias()
        if not self._checked and at.seq == upto:
            filling.check()
            self._checked = True

    def _read_position(self, connection: Connection) -> bool:
        """Read where the store stands. False where that is a position of another history. Raises StoreChanged."""
        at = self.store.position()
        if at is None:
            self.position = None
            return True
        if (at.collection, at.version) != (self._catalog.collection_id, self._version.id):
            raise StoreChanged(
                f"the store {self.store.name} was filled from another collection",
                expected=f"one of {self._catalog.collection_id}",
                hint="delete it in the engine, or give this collection another store",
            )
        if at.space != self.space.fingerprint:
            raise StoreChanged(
                f"the store {self.store.name} holds vectors of the space {at.space[:12]}",
                expected=f"vectors of {self.space.short}",
                hint=f"fill it anew: gnomon doctor {shlex.quote(self._catalog.address)} --fix",
            )
        is_ours = self._is_of_this_history(connection, at)
        self.position = at if is_ours else None
        return is_ours

    def _is_of_this_history(self, connection: Connection, at: StorePosition) -> bool:
        """Whether the catalog's journal has that entry; one that this view is too old for is looked up anew."""
        chunking = self._version.chunking_id
        nonce = queries.nonce_at(connection, at.seq, chunking)
        if nonce is None:
            with self._catalog.read() as newer:
                nonce = queries.nonce_at(newer, at.seq, chunking)
        return nonce == at.nonce

    def _exclusive(self, *, wait_s: float) -> AbstractContextManager[None]:
        return self._catalog.exclusive(f"store-v{self._version.id}", wait_s=wait_s, owner="filling of the store")


class FilteredStore:
    """A store that filters by a condition itself where a search allows just the ids that meet it."""

    def __init__(self, index: StoreIndex, condition: Condition, allowed: Array) -> None:
        self.space = index.space
        self._index, self._condition, self._allowed = index, condition, allowed

    def search(self, queries: Vectors, *, k: int, where: Array | None = None) -> list[Ranking]:
        """The `k` nearest of each query: see `StoreIndex.search`."""
        return self._index.search(queries, k=k, where=self._condition if where is self._allowed else where)
