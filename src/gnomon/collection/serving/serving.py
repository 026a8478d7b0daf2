"""Which version serves: each request pins one, and a switch made elsewhere is followed without a pause.

The live version's id comes with the journal's head, which every search asks for anyway. When it has moved,
the last view of the former version, whole and unmixed, goes on answering until a thread beside has the new
one's model and indexes ready; then all later requests are answered by that.
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
from gnomon.collection.serving.encoders import EncoderRegistry
from gnomon.collection.serving.snapshot import ServedVersion, Snapshot
from gnomon.core.errors import CollectionBusy, GnomonError

_NEAR = 200
"""Journal entries that a served may be behind for a search to go over to it at once."""
_WAIT_S = 1.0
"""How long the thread beside waits at once for another process that is at the files."""
_AGAIN_S = 5.0
"""How long after a version could not be loaded that is tried again."""


class Serving:
    """The versions that a process holds, and the one that serves. `fixed`: that stays, whatever is live."""

    def __init__(
        self, folder: Path, catalog: Catalog, encoders: EncoderRegistry, version: Version, *, fixed: bool = False
    ) -> None:
        self.folder, self.catalog, self.encoders, self.fixed = folder, catalog, encoders, fixed
        self._lock = threading.Lock()
        self._versions: dict[int, ServedVersion] = {}
        self._active = self._served(version)
        self._wanted = version.id
        self._failed: tuple[int, float, Exception] | None = None
        self._warned: set[int] = set()
        self._closing: list[ServedVersion] = []
        self._loader = BackgroundWorker(self._load)

    @property
    def active(self) -> ServedVersion:
        """What serves in this process."""
        return self._active

    def snapshot(self) -> Snapshot:
        """The version and the view that a request is answered by."""
        while True:
            served, head = self.current()
            try:
                return Snapshot(served, served.derived.view(head))
            except versions.NotReady:
                # Another version went live since, and this one was never searched here.
                if self.fixed or not self._switch_over(served):
                    raise

    def current(self) -> tuple[ServedVersion, JournalHead]:
        """What serves, after a look at what is live; with the head of the journal for its view."""
        served = self._active
        head = served.derived.head()
        if self.fixed or head.live == served.version.id:
            return served, head
        other = self._follow(served, head.live)
        return (served, head) if other is served else (other, other.derived.head())

    def served_version(self, version_id: int) -> ServedVersion:
        """The served of a version, made where it is not there; nothing is loaded."""
        with self._lock:
            if version_id in self._versions:
                return self._versions[version_id]
        with self.catalog.read() as connection:
            version = versions.by_id(connection, version_id)
        with self._lock:
            return self._served(version)

    def target(self, version_id: int) -> Target:
        """Where chunks and vectors of a version are put; loads its model."""
        return self.served_version(version_id).target()

    def writer(self) -> Writer:
        """What writes for the version that is live at each moment."""
        return Writer(self.catalog, self.target)

    def activate(self, served: ServedVersion) -> None:
        """Answer all later requests by this one, which is loaded. Only it and the one before are kept."""
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

    def after_write(self, *, save: bool = False) -> None:
        """After documents were put in: this process finds them, in the version that is live."""
        while True:
            with self.catalog.read() as connection:
                live = versions.live_id(connection)
            served = self._active if self.fixed else self.served_version(live)
            try:
                if not self.fixed or served.derived.is_open:
                    served.derived.refresh(save=save)
            except versions.NotReady:
                with self.catalog.read() as connection:
                    if versions.live_id(connection) == live:
                        raise
                continue  # yet another version took over meanwhile
            return self.activate(served)

    def after_removal(self) -> None:
        """After documents were taken out: what serves in this process has them no more, and stays."""
        with self.catalog.read() as connection:
            is_live = versions.live_id(connection) == self._active.version.id
        if is_live or self._active.derived.is_open:
            self._active.derived.refresh()

    def close(self) -> None:
        """End the threads, and put on disk what is not there yet."""
        self._loader.close()
        for served in [*self._closing, *self._versions.values()]:
            served.close()

    def _served(self, version: Version) -> ServedVersion:
        if version.id not in self._versions:
            opener = self.encoders.opener(version)
            self._versions[version.id] = ServedVersion(self.folder, self.catalog, version, opener)
        return self._versions[version.id]

    def _follow(self, served: ServedVersion, live: int) -> ServedVersion:
        """What answers now that another version is live: that one where it is ready, else the former."""
        other = self.served_version(live)
        if self._is_ready(other, served):
            self.activate(other)
            return other
        with self.catalog.read() as connection:
            is_kept = versions.state_name(connection, served.version.id) in versions.KEPT
        if not is_kept:  # its chunks may go at any time: better to wait than to answer by what is left
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
        """Go over to what is live, however long that takes. False where that is this one."""
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
        """Whether nothing of `other` has to be loaded that `like` has."""
        if like.encoders.is_open and not other.encoders.is_open:
            return False
        if not like.derived.is_open:
            return True
        lag = other.derived.lag(other.derived.head())
        return lag is not None and lag <= _NEAR

    def _load(self) -> bool:
        """What the thread beside does: bring the version that is wanted, and go over to it."""
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
        except Exception as error:  # noqa: BLE001 - said by the next search, which is answered all the same
            self._failed = (wanted, time.monotonic(), error)
            return False
        if self._wanted == wanted:
            self.activate(served)
        return True

    def _has_failed(self, wanted: int) -> bool:
        """Whether it could not be loaded, and that is not long ago."""
        failed = self._failed
        return failed is not None and failed[0] == wanted and time.monotonic() - failed[1] < _AGAIN_S
