"""What a cluster's workers run: read and chunk files, and embed their texts into a shard.

A read task yields a row for each shard to be; an actor holds one encoder, which makes the shards. Both are given what
they need by value, so a task can be run again anywhere.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from gnomon.collection.ingest.distributed.shards import Item, Shard, ShardCounts, ShardStore, shard_name
from gnomon.collection.ingest.reader_thread import ReaderThread
from gnomon.collection.loading import VectorForm, load_in_form
from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import GnomonError, IndexDamaged, SpaceMismatch
from gnomon.core.file_stores import FileStore
from gnomon.core.paths import path_text
from gnomon.core.progress import no_progress
from gnomon.core.space import Space
from gnomon.core.token_counting import TokenCounting
from gnomon.core.version import __version__
from gnomon.text.chunk import Chunker, ChunkSettings
from gnomon.text.parts import PART_CHUNKS, FilePart
from gnomon.text.settings import ReadSettings
from gnomon.text.worker import Request

SHARD_CHUNKS = PART_CHUNKS
"""Passages after which a shard ends: what a lost worker can cost."""
_TRIES = 5
_REMEMBERED = 10_000_000
"""Texts of a run that are remembered, so that each is embedded once."""


@dataclass(frozen=True)
class RunSetup:
    """What all tasks of a run share: the model and its space, how files are read and cut, and where shards go.

    `own_tokenizer`: passages are counted by the model's own tokenizer.
    """

    collection: str
    model: str
    space: Space
    chunking: tuple[ChunkSettings, TokenCounting]
    reading: ReadSettings
    shards: Path
    own_tokenizer: bool = True
    gnomon: str = __version__

    @property
    def digest(self) -> str:
        """Of all that decides what a shard holds, besides its files."""
        settings, counting = self.chunking
        reading = {**vars(self.reading), "labels": dict(self.reading.labels)}
        about = [self.collection, self.space.fingerprint, settings.to_json(), repr(counting), reading, self.gnomon]
        return hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()

    @property
    def store(self) -> ShardStore:
        """The shards' folder."""
        return ShardStore(FileStore(self.shards))


@dataclass(frozen=True)
class Group:
    """Files that one task reads, by number."""

    number: int
    requests: tuple[Request, ...]


@dataclass(frozen=True)
class ShardPlace:
    """The shard `index` of a group, in the order of its files, and whether it is the group's last; or the error."""

    group: int
    index: int
    last: bool
    name: str = ""
    node: str = ""
    error: GnomonError | None = None


def read_group(group: Group, shared: Sequence[Any]) -> Iterator[Any]:
    """A group's files, read and chunked: a table of one row for each shard to be (its place, and its items).

    `shared` holds the reference of the run's RunSetup.
    """
    import ray

    setup: RunSetup = ray.get(shared[0])
    chunker = Chunker(setup.chunking[0], counting=setup.chunking[1])
    known = {path_text(one.found.path): SimpleNamespace(sha256=one.known_sha256) for one in group.requests}
    stored = {path: each for path, each in known.items() if each.sha256 is not None}
    reader = ReaderThread([one.found for one in group.requests], stored, setup.reading)
    items: list[Item] = []
    index = chunks = 0
    try:
        for item in reader.parts(chunker):
            if chunks >= SHARD_CHUNKS or len(items) >= SHARD_CHUNKS:
                yield _row(ShardPlace(group.number, index, last=False), items, setup)
                items, chunks, index = [], 0, index + 1
            items.append(item)
            chunks += item.chunks if isinstance(item, FilePart) else 0
    finally:
        reader.stop()
    yield _row(ShardPlace(group.number, index, last=True), items, setup)


def _row(place: ShardPlace, items: Sequence[Item], setup: RunSetup) -> Any:
    import pyarrow as pa

    name = shard_name(setup.digest, items, place.index)
    row = pickle.dumps((place.group, place.index, place.last, name, tuple(items)), pickle.HIGHEST_PROTOCOL)
    return pa.table({"items": pa.array([row], pa.large_binary())})


class Claims:
    """Which texts have a vector, or will have one by another shard: an actor of which a run has one.

    Texts are known by the first 8 bytes of their hash. One that is taken for another's, or is lost with its shard, is
    embedded by the machine that commits. Of a run's own texts the last 10 million are remembered.
    """

    def __init__(self) -> None:
        self._known = np.zeros(0, dtype="<u8")
        self._by: dict[int, str] = {}
        self._tries: Counter[str] = Counter()

    def add(self, known: Array) -> None:
        """The texts that have a vector."""
        self._known = np.sort(known)

    def claim(self, shard: str, keys: Array) -> Array | None:
        """Whether each text is the shard's to embed: nobody else's, or its own by an earlier try. None where too many
        tries have ended their workers."""
        self._tries[shard] += 1
        if self._tries[shard] > _TRIES:
            return None
        at = np.searchsorted(self._known, keys)
        at[at == len(self._known)] = 0
        is_new = self._known[at] != keys if len(self._known) else np.ones(len(keys), dtype=bool)
        for place in np.flatnonzero(is_new).tolist():
            is_new[place] = self._by.setdefault(int(keys[place]), shard) == shard
        while len(self._by) > _REMEMBERED:
            del self._by[next(iter(self._by))]
        return is_new


def keys_of(hashes: Sequence[bytes]) -> Array:
    """What `Claims` knows texts by: uint64."""
    return np.frombuffer(b"".join(each[:8] for each in hashes), dtype="<u8")


class ShardMaker:
    """An actor: one encoder, loaded from the node's cache when first needed, and the shards that it makes."""

    def __init__(self, shared: Sequence[Any], claims: Any) -> None:
        import ray

        self._setup: RunSetup = ray.get(shared[0])
        self._claims = claims
        self._encoder: Encoder | None = None

    def __call__(self, table: Any) -> Any:
        """Make the shards of a table's rows. A table with the place of each; what is wrong with the node is one's
        error."""
        import pyarrow as pa

        places = [self._made(pickle.loads(row)) for row in table["items"].to_pylist()]
        return pa.table({"place": pa.array([pickle.dumps(place) for place in places], pa.large_binary())})

    def _made(self, row: tuple[int, int, bool, str, tuple[Item, ...]]) -> ShardPlace:
        group, index, last, name, items = row
        node = socket.gethostname()
        try:
            if not self._is_whole(name):
                self._setup.store.write(name, self._shard(name, items))
        except GnomonError as error:
            said = type(error)(f"worker on {node}: {error.message}", expected=error.expected, hint=error.hint)
            return ShardPlace(group, index, last, error=said)
        return ShardPlace(group, index, last, name, node)

    def _is_whole(self, name: str) -> bool:
        """Whether an earlier try made it already."""
        store = self._setup.store
        try:
            return store.has(name) and bool(store.read(name, self._setup.space))
        except (IndexDamaged, FileNotFoundError):
            return False

    def _shard(self, name: str, items: tuple[Item, ...]) -> Shard:
        import ray

        parts = [item for item in items if isinstance(item, FilePart)]
        chunks = {one.text_hash: one for part in parts for each in part.documents for one in each.chunks}
        hashes = list(chunks)
        mine = ray.get(self._claims.claim.remote(name, keys_of(hashes))) if hashes else []
        if mine is None:
            raise GnomonError(
                f"{_TRIES} workers ended while they embedded the passages of {_named(parts)}",
                expected="a worker that comes to an end: it may need more memory, see ray's logs",
                hint="take fewer --ray-workers a machine, or leave these files out with --exclude",
            )
        own = [key for key, is_mine in zip(hashes, mine, strict=True) if is_mine]
        if not own:
            return Shard(self._setup.space.fingerprint, items)
        encoder = self._opened()
        texts = [chunks[key].embed_text for key in own]
        started = time.perf_counter()
        vectors = encoder.encode(texts, role="document")
        seconds = time.perf_counter() - started
        tokens = [chunks[key].tokens for key in own]
        if not self._setup.own_tokenizer:
            tokens = encoder.count_tokens(texts, role="document")
        truncated = sum(count > encoder.max_tokens for count in tokens)
        counts = ShardCounts(len(own), truncated, sum(tokens), seconds)
        return Shard(self._setup.space.fingerprint, items, tuple(own), tuple(_rows(vectors)), counts)

    def _opened(self) -> Encoder:
        """The encoder. Raises SpaceMismatch where the node's model, or its gnomon, is another one."""
        setup = self._setup
        if self._encoder is None:
            form = VectorForm.of(setup.space)
            encoder = load_in_form(setup.model, form, threads=1, progress=no_progress)
            if encoder.space != setup.space or setup.gnomon != __version__:
                raise SpaceMismatch(
                    f"{setup.model} by gnomon {__version__} makes vectors of {encoder.space.short} there",
                    expected=f"{setup.space.short} by gnomon {setup.gnomon}, as on the machine that commits",
                    hint="install the same release on all machines, with the same model's files",
                )
            self._encoder = encoder
        return self._encoder


def _named(parts: Sequence[FilePart]) -> str:
    paths = list(dict.fromkeys(part.source.path for part in parts))
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1:,} more files"


def _rows(vectors: Any) -> list[Array]:
    """Each text's vector [dim], or vectors [tokens, dim]."""
    if vectors.starts is None:
        return list(vectors.data)
    return list(np.split(vectors.data, vectors.starts[1:]))
