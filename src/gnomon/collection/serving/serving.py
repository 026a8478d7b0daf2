"""Which version answers: each request gets a snapshot, and a switch by another process takes effect without a pause.

The live version's id comes with the journal's head, which every search reads anyway. When another version is live,
the last view of the former one, complete and consistent, goes on answering until a background thread has loaded
the new one's model and indexes; all later requests are then answered by that.
"""

from __future__ import annotations

import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

from gnomon.collection.catalog import versions
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.queries import JournalHead
from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.sync import BackgroundWorker
from gnomon.collection.ingest.writer import Target, Writer
from gnomon.collection.reports import Problem
from gnomon.collection.serving.encoders import EncoderRegistry
from gnomon.collection.serving.snapshot import ServedVersion, Snapshot
from gnomon.core.budget import Budget
from gnomon.core.errors import CollectionBusy, GnomonError, ServerUnreachable, StoreChanged
from gnomon.core.forking import fork_aware, leak
from gnomon.core.instrumentation import stage

_NEAR = 200
"""Journal entries that a loaded version may be behind for a search to use it at once."""
_WAIT_S = 1.0
"""How long the background thread waits at a time for another process that has the files locked."""
_AGAIN_S = 5.0
"""How long after a failure loading a version is tried again."""


class Serving:
    """The versions that this process has open, and the one that answers. `fixed`: it stays, whatever is live.

    `borrowed` is a version that another Serving has open: it is used as it is, and not closed here.
    """

    def __init__(
        self,
        folder: Path,
        catalog: Catalog,
        encoders: EncoderRegistry,
        *,
        version: Version,
        fixed: bool = False,
        borrowed: ServedVersion | None = None,
    ) -> None:
        self.folder, self.catalog, self.encoders, self.fixed = folder, catalog, encoders, fixed
        self._is_borrower = borrowed is not None
        self._start(version, borrowed)
        fork_aware(self)

    def _start(self, version: Version, borrowed: ServedVersion | None = None) -> None:
        self._lock = threading.Lock()
        self._versions: dict[int, ServedVersion] = {} if borrowed is None else {version.id: borrowed}
        self._active = self._served(version)
        self._wanted = version.id
        self._failed: tuple[int, float, Exception] | None = None
        self._warned: set[int] = set()
        self._closing: list[ServedVersion] = []
        self._loader = BackgroundWorker(self._load)

    def before_fork(self) -> None:
        """See `ForkAware`."""

    def after_fork_in_child(self) -> None:
        """Models, indexes and threads are the parent's: the child loads its own when it first needs them."""
        leak(self._versions, self._closing, self._loader)
        self._start(self._active.version)

    @property
    def active(self) -> ServedVersion:
        """The version that answers in this process."""
        return self._active

    @property
    def version(self) -> Version:
        """The version that answers now; where it is fixed nothing is read for it."""
        return (self._active if self.fixed else self.current()[0]).version

    def snapshot(self) -> Snapshot:
        """The version and indexes that answer one request."""
        while True:
            served, head = self.current()
            try:
                with stage("indexes"):
                    return Snapshot(served, served.derived.view(head))
            except versions.NotReady:
                # Another version went live since, and this one was never searched in this process.
                if self.fixed or not self._switch_over(served):
                    raise

    def current(self) -> tuple[ServedVersion, JournalHead]:
        """The version that answers, after checking which one is live, and the journal's head for its view."""
        served = self._active
        head = served.derived.head()
        if self.fixed or head.live == served.version.id:
            return served, head
        other = self._version_for(served, head.live)
        return (served, head) if other is served else (other, other.derived.head())

    def pinned(self, name: str | None = None) -> Serving:
        """One that answers by a single version always, the one that answers now by default; it shares what is open.

        Raises InvalidInput for a name that is not there, NotReady for a version that lacks documents.
        """
        if name is None:
            served = self.current()[0]
        else:
            with self.catalog.read() as connection:
                served_id = versions.complete_version(connection, name).id
            served = self.served_version(served_id)
        return Serving(self.folder, self.catalog, self.encoders, version=served.version, fixed=True, borrowed=served)

    def served_version(self, version_id: int) -> ServedVersion:
        """The version of an id, opened where it is not yet; nothing is loaded."""
        with self._lock:
            if version_id in self._versions:
                return self._versions[version_id]
        with self.catalog.read() as connection:
            version = versions.by_id(connection, version_id)
        with self._lock:
            return self._served(version)

    def target(self, version_id: int) -> Target:
        """What writes chunks and vectors of a version; loads its model."""
        return self.served_version(version_id).target()

    def writer(self, budget: Budget | None = None) -> Writer:
        """Writes for the version that is live at each moment, within a budget."""
        return Writer(self.catalog, self.target, budget or Budget())

    def activate(self, served: ServedVersion) -> None:
        """Answer all later requests by this version, which is loaded. Only it and the one before stay open."""
        with self._lock:
            before = self._active
            if self.fixed or before is served:
                return
            self._active, self._wanted = served, served.version.id
            kept = {before.version.id: before, served.version.id: served}
            self._closing += [each for at, each in self._versions.items() if at not in kept]
            self._versions = kept
        if self._closing:
            self._loader.start()  # closes them: no search waits until what they hold is saved

    def after_write(self, *, save: bool = False) -> tuple[Problem, ...]:
        """After documents were written: searches of this process find them, in the version that is live.

        Returns a problem where its store could not be filled: the documents are in the catalog all the same.
        """
        while True:
            with self.catalog.read() as connection:
                live = versions.live_id(connection)
            served = self._active if self.fixed else self.served_version(live)
            try:
                if not self.fixed or served.derived.is_open:
                    served.derived.refresh(save=save)
                if served.derived.store is not None:
                    served.derived.store.require_filled()
            except versions.NotReady:
                with self.catalog.read() as connection:
                    if versions.live_id(connection) == live:
                        raise
                continue  # yet another version went live in between
            except (ServerUnreachable, StoreChanged) as error:
                reason = f"its store lacks what was put in: {error.message}"
                return (Problem(served.version.name, reason, error.hint, skipped=False),)
            self.activate(served)
            return ()

    def after_removal(self) -> None:
        """After documents were removed: the version that answers in this process loses them too."""
        with self.catalog.read() as connection:
            is_live = versions.live_id(connection) == self._active.version.id
        if is_live or self._active.derived.is_open:
            self._active.derived.refresh()

    def close(self) -> None:
        """End the threads, save what is not on disk yet, and close the catalog; nothing where all of it is borrowed."""
        self._loader.close()
        if self._is_borrower:
            return
        for served in [*self._closing, *self._versions.values()]:
            served.close()
        self.encoders.ledger.close()
        self.catalog.close()

    def _served(self, version: Version) -> ServedVersion:
        if version.id not in self._versions:
            self._versions[version.id] = ServedVersion(self.folder, self.catalog, version, models=self.encoders)
        return self._versions[version.id]

    def _version_for(self, served: ServedVersion, live: int) -> ServedVersion:
        """The version that answers now that another is live: that one where it is loaded, else the former."""
        other = self.served_version(live)
        if self._is_ready(other, served):
            self.activate(other)
            return other
        with self.catalog.read() as connection:
            is_kept = versions.state_name(connection, served.version.id) in versions.KEPT
        if not is_kept:  # its chunks may be deleted at any time: better to wait than to answer incompletely
            self._switch_over(served)
            return self._active
        self._wanted = live
        if not self._has_failed(live):
            self._loader.start()
        elif self._failed is not None and live not in self._warned:
            self._warned.add(live)
            warnings.warn(
                f"{served.version.name} goes on serving in this process, since {other.version.name}, which "
                f"is live, cannot be loaded: {self._failed[2]}",
                RuntimeWarning,
                stacklevel=2,
            )
        return self._active

    def _switch_over(self, served: ServedVersion) -> bool:
        """Load and use the live version, however long that takes. False where that is this one."""
        with self.catalog.read() as connection:
            live = versions.live_id(connection)
        if live == served.version.id:
            return False
        other = self.served_version(live)
        other.warm(served)
        self.activate(other)
        return True

    @staticmethod
    def _is_ready(other: ServedVersion, like: ServedVersion) -> bool:
        """Whether `other` has everything loaded that `like` has."""
        if like.encoders.is_open and not other.encoders.is_open:
            return False
        if not like.derived.is_open:
            return True
        lag = other.derived.lag(other.derived.head())
        return lag is not None and lag <= _NEAR

    def _load(self) -> bool:
        """One step of the background thread: load the version that is wanted, and use it."""
        while self._closing:
            with suppress(GnomonError):  # what cannot be saved now, the catalog has
                self._closing.pop().close()
        wanted, before = self._wanted, self._active
        if wanted == before.version.id or self._has_failed(wanted):
            return False
        try:
            served = self.served_version(wanted)
            served.warm(before, wait_s=_WAIT_S)
        except (CollectionBusy, versions.NotReady):
            return True  # another process builds its indexes, or yet another version went live: again
        except Exception as error:  # noqa: BLE001 - the next search, which is answered all the same, warns of it
            self._failed = (wanted, time.monotonic(), error)
            return False
        if self._wanted == wanted:
            self.activate(served)
        return True

    def _has_failed(self, wanted: int) -> bool:
        """Whether loading it failed a short while ago."""
        failed = self._failed
        return failed is not None and failed[0] == wanted and time.monotonic() - failed[1] < _AGAIN_S
