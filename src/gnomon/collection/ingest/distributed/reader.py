"""Reads changed files by a Ray cluster: their parts come back as shards, whose vectors go into the cache first.

What is then written finds its vectors there, as if it had been embedded before: the run itself is the same, and a
switch of versions, a second run or a lost shard costs what it costs there. A shard is deleted when its parts are
committed. What an earlier run left is taken over first, so that nothing is embedded twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.collection.catalog import vector_cache
from gnomon.collection.ingest.distributed import dataset
from gnomon.collection.ingest.distributed.cluster import connected
from gnomon.collection.ingest.distributed.shards import Item, Manifest, Shard
from gnomon.collection.ingest.distributed.tasks import Group, RunSetup, ShardPlace, keys_of
from gnomon.collection.ingest.reader_thread import OpenReader, ReaderThread
from gnomon.collection.ingest.writer import EmbeddingCounts, Target, Writer
from gnomon.collection.settings import IndexOptions, RaySettings
from gnomon.core.errors import IndexDamaged, InvalidInput, StorageError
from gnomon.core.interrupts import kept_interrupts
from gnomon.core.paths import absolute, path_of, path_text
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.usage import MeteredEncoder
from gnomon.core.vectors import Vectors
from gnomon.text.chunk import Chunker
from gnomon.text.discover import DiscoveredFile
from gnomon.text.parts import FilePart
from gnomon.text.settings import ReadSettings
from gnomon.text.worker import Request

_GROUP_FILES, _GROUP_BYTES, _LEAST_BYTES = 256, 4 << 20, 1 << 16
_GROUPS_A_WORKER = 8
_TRIES = 3


def reader_of(options: IndexOptions, writer: Writer, *, folder: Path, progress: ProgressCallback) -> OpenReader:
    """What reads the files of a run: this machine, or the cluster that its options name."""
    if options.ray is None:
        return ReaderThread
    return partial(ClusterReader, writer=writer, settings=options.ray, folder=folder, progress=progress)


class ClusterReader:
    """Reads files as `ReaderThread` does, with a cluster. `progress` gets messages of what it waits for.

    `embedded` counts what the workers embedded, `remarks` what was wrong with shards and is mended.
    """

    def __init__(
        self,
        found: Sequence[DiscoveredFile],
        stored: Mapping[str, Any],
        reading: ReadSettings,
        *,
        writer: Writer,
        settings: RaySettings,
        folder: Path,
        progress: ProgressCallback,
    ) -> None:
        self._requests = [Request(item, _digest(stored.get(path_text(item.path)))) for item in found]
        self._reading, self._writer, self._settings, self._progress = reading, writer, settings, progress
        self._shards = absolute(path_of(settings.shards)) if settings.shards else folder / "shards"
        self.embedded, self.remarks = EmbeddingCounts(), list[str]()
        self._running: Generator[Item, None, None] | None = None
        self._yielded: list[str] = []  # shards whose parts were all passed on, and maybe not committed yet

    def parts(self, chunker: Chunker) -> Iterator[Item]:
        """Every part of every file; those of one file in order."""
        self._running = running = self._parts(chunker)
        return running

    def written(self) -> None:
        """All parts that were passed on are committed: their shards are deleted, unless they are to be kept."""
        done, self._yielded = self._yielded, []
        if done and not self._settings.keep_shards:
            for name in done:
                self._store.delete(name)
        if done:
            self._manifest.remove(done)

    def stop(self) -> None:
        """End the run, and a cluster that was started for it. Shards that are not committed stay."""
        if self._running is not None:
            self._running.close()

    def _parts(self, chunker: Chunker) -> Generator[Item, None, None]:
        target = self._writer.live_target()
        setup = self._setup(target, chunker)
        self._store = setup.store
        about = {"collection": setup.collection, "model": setup.model, "space": setup.space.fingerprint}
        self._manifest = Manifest(self._store.files, about)
        self._adopt(target)
        with kept_interrupts() as interrupted, connected(self._settings.address, self._progress) as ray:
            workers = self._settings.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            groups = _grouped(self._requests, workers)
            nodes = sum(1 for node in ray.nodes() if node["Alive"])
            said = f"Ray: {workers} workers on {nodes} node{'s' if nodes > 1 else ''}, {len(groups)} groups of files"
            self._progress(Progress("embedding", message=said))
            claims = dataset.start_claims(self._known(target))
            for item in self._all(groups, setup, target=target, claims=claims, workers=workers):
                if interrupted.is_set():  # and a library lost it
                    raise KeyboardInterrupt
                yield item

    def _all(
        self, groups: Sequence[Group], setup: RunSetup, *, target: Target, claims: Any, workers: int
    ) -> Iterator[Item]:
        """The parts of all groups. The groups of shards that were damaged on the way are gone through again."""
        order = ShardOrder(self._lacking(target))
        todo = list(groups)
        for _ in range(_TRIES):
            for place in dataset.finished_shards(todo, setup, claims=claims, workers=workers):
                if place.error is None and order.is_waiting(place):
                    continue
                if place.error is None and order.is_passed_on(place):
                    self._yielded.append(place.name)
                elif (shard := self._received(place, target)) is not None:
                    order.add(place, shard)
                    yield from self._ready(order, target, fresh=(place, shard))
            todo = [group for group in todo if not order.is_complete(group.number)]
            if not todo:
                break
        order.hold_back = False  # what no shard brought is embedded here
        yield from self._ready(order, target)
        if left := [group for group in groups if not order.is_complete(group.number)]:
            raise StorageError(
                f"shards of {len(left):,} groups of files were damaged {_TRIES} times: {self.remarks[-1]}",
                expected="a folder for shards that keeps what is written there",
                hint="name another one: --shards FOLDER",
            )

    def _ready(
        self, order: ShardOrder, target: Target, *, fresh: tuple[ShardPlace, Shard] | None = None
    ) -> Iterator[Item]:
        for place in order.ready():
            is_fresh = fresh is not None and fresh[0] == place
            shard = fresh[1] if fresh and is_fresh else self._store.read(place.name, target.version.space)
            yield from shard.items
            self._yielded.append(place.name)

    def _received(self, place: ShardPlace, target: Target) -> Shard | None:
        """A shard, its vectors put into the cache; None where it is damaged and is to be made again."""
        if place.error is not None:
            raise place.error
        try:
            shard = self._store.read(place.name, target.version.space)
        except IndexDamaged as error:
            self.remarks.append(f"{error.message}; it was made again")
            self._store.delete(place.name)
            return None
        except FileNotFoundError as error:
            raise StorageError(
                f"the shard {place.name}, which {place.node} wrote, is not at {path_text(self._shards)} here",
                expected="a folder or URL that this machine and all workers reach by the same name",
                hint="name one: --shards FOLDER or --shards s3://BUCKET/FOLDER",
            ) from error
        self._put(shard, target)
        self._manifest.add(place.name, shard)
        counts = shard.counts
        self.embedded += EmbeddingCounts(counts.embedded, 0, counts.truncated, counts.tokens, counts.seconds)
        return shard

    def _adopt(self, target: Target) -> None:
        """Take over what an earlier run embedded and did not commit: vectors now, and the files are read again."""
        names = self._store.names()
        for name in (name for name in self._manifest.earlier() if name not in names):
            self.remarks.append(f"the shard {name}, whole by the manifest, is gone; its texts are embedded again")
        for name in names:
            try:
                shard = self._store.read(name, target.version.space)
            except IndexDamaged as error:
                self.remarks.append(f"{error.message}; its texts are embedded again")
            else:
                if shard.space != target.version.space.fingerprint:
                    continue
                self._put(shard, target)
            if not self._settings.keep_shards:
                self._store.delete(name)
        self._manifest.remove(())

    def _put(self, shard: Shard, target: Target) -> None:
        if shard.space != target.version.space.fingerprint or not shard.hashes:
            return
        vectors = Vectors.of_items(list(shard.vectors), target.version.space)
        with self._writer.catalog.write() as connection:
            space = target.version.space_id
            vector_cache.put(connection, space, "document", hashes=shard.hashes, vectors=vectors)

    def _known(self, target: Target) -> Any:
        with self._writer.catalog.read() as connection:
            found = vector_cache.all_hashes(connection, target.version.space_id, "document")
            return keys_of(found) if found else np.zeros(0, dtype="<u8")

    def _lacking(self, target: Target) -> Callable[[Sequence[bytes]], bool]:
        def lacking(hashes: Sequence[bytes]) -> bool:
            with self._writer.catalog.read() as connection:
                missing = vector_cache.missing(connection, target.version.space_id, "document", hashes=hashes)
            return bool(missing)

        return lacking

    def _setup(self, target: Target, chunker: Chunker) -> RunSetup:
        """What the workers need. Raises InvalidInput for a model that only this process can use."""
        model = target.version.model
        if isinstance(target.encoder, MeteredEncoder):
            raise InvalidInput(
                f"{model} is a model of a server, with --ray",
                expected="a model that runs on the workers",
                hint="index without --ray: the server does the work, and its requests keep to one budget here",
            )
        if chunker.portable is None:
            raise InvalidInput(
                f"{model} counts tokens in a way that no other process knows, with --ray",
                expected="an encoder with `token_counting`",
                hint="index without --ray",
            )
        collection = self._writer.catalog.collection_id
        own = target.own_tokenizer
        return RunSetup(
            collection, model, target.version.space, chunker.portable, self._reading, self._shards / collection, own
        )


class ShardOrder:
    """Shards that arrived: passed on in each group's order, and when all their texts have vectors.

    Their contents are not kept: a shard that waits is read again. `hold_back` as False ends the waiting for vectors.
    """

    def __init__(self, lacking: Callable[[Sequence[bytes]], bool]) -> None:
        self._lacking = lacking
        self.hold_back = True
        self._next: dict[int, int] = {}
        self._arrived: dict[int, int] = defaultdict(int)
        self._sizes: dict[int, int] = {}
        self._waiting: dict[tuple[int, int], tuple[ShardPlace, tuple[bytes, ...]]] = {}

    def is_waiting(self, place: ShardPlace) -> bool:
        """Whether a shard has arrived and was not passed on yet."""
        return (place.group, place.index) in self._waiting

    def is_passed_on(self, place: ShardPlace) -> bool:
        """Whether a shard was passed on."""
        return place.index < self._next.get(place.group, 0)

    def is_complete(self, group: int) -> bool:
        """Whether all shards of a group have arrived."""
        return group in self._sizes and self._arrived[group] == self._sizes[group]

    def add(self, place: ShardPlace, shard: Shard) -> None:
        """A shard has arrived, and its vectors are in the cache."""
        parts = [item for item in shard.items if isinstance(item, FilePart)]
        texts = {one.text_hash for part in parts for each in part.documents for one in each.chunks}
        self._waiting[place.group, place.index] = (place, tuple(texts.difference(shard.hashes)))
        self._arrived[place.group] += 1
        if place.last:
            self._sizes[place.group] = place.index + 1

    def ready(self) -> Iterator[ShardPlace]:
        """Those that can be passed on now."""
        for group in sorted({group for group, _ in self._waiting}):
            while (at := (group, self._next.get(group, 0))) in self._waiting:
                place, others = self._waiting[at]
                if self.hold_back and others and self._lacking(others):
                    break
                del self._waiting[at]
                self._next[group] = at[1] + 1
                yield place


def _grouped(requests: Sequence[Request], workers: int) -> list[Group]:
    """The files in groups of at most 256 files and some megabytes, and several groups for each worker."""
    whole = sum(one.found.size for one in requests)
    most = min(_GROUP_BYTES, max(_LEAST_BYTES, whole // (workers * _GROUPS_A_WORKER)))
    groups: list[list[Request]] = []
    size = 0
    for one in requests:
        if not groups or size + one.found.size > most or len(groups[-1]) >= _GROUP_FILES:
            groups.append([])
            size = 0
        groups[-1].append(one)
        size += one.found.size
    return [Group(number, tuple(each)) for number, each in enumerate(groups)]


def _digest(stored: Any) -> str | None:
    return None if stored is None else str(stored.sha256)
