"""How writers find the live version, and go on when another one takes over while they embed.

Vectors are committed before chunks, and a switch may come in between. So the transaction that writes makes
sure of the version and of every vector; where that does not hold any more, the batch is prepared once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from gnomon.collection import cache
from gnomon.collection import version as versions
from gnomon.collection.catalog import Catalog
from gnomon.collection.embedding import Embedded, embed
from gnomon.collection.version import Version
from gnomon.core.contracts import Encoder
from gnomon.core.documents import Chunk
from gnomon.text.chunk import Chunker

Batch = TypeVar("Batch")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Target:
    """Where chunks and vectors are put: a version, with the chunker and the encoder that make them.

    `counts_itself`: chunks are counted by the encoder's own tokenizer, and not by another model's.
    """

    version: Version
    chunker: Chunker
    encoder: Encoder
    counts_itself: bool = True

    def tokens(self, chunks: Sequence[Chunk]) -> list[int]:
        """What the encoder sees of each chunk."""
        if self.counts_itself:
            return [chunk.tokens for chunk in chunks]
        return self.encoder.count_tokens([chunk.embed_text for chunk in chunks], role="document")


@dataclass(frozen=True)
class Writer:
    """Writes for whichever version is live. `target` makes that of a version's id."""

    catalog: Catalog
    target: Callable[[int], Target]

    def now(self) -> Target:
        """What is live at this moment."""
        with self.catalog.read() as connection:
            live = versions.live_id(connection)
        return self.target(live)

    def put(
        self,
        made: Callable[[Target], tuple[Batch, Sequence[Chunk]]],
        write: Callable[[Connection, int, Batch], Done],
        said: Callable[[int], None],
    ) -> tuple[Done, Embedded]:
        """Embed a batch's chunks and write it, in a transaction in which its version is live.

        `made` cuts the batch for a version, `write` puts it in for a chunking, `said` is told of chunks.
        A version that takes over meanwhile costs one more pass; one that was prepared for is not left again.
        """
        ready: dict[int, tuple[Target, Batch, Sequence[Chunk]]] = {}
        embedded, target = Embedded(), self.now()
        while True:
            live = target.version
            if live.id not in ready:
                ready[live.id] = (target, *made(target))
            embedded += embed(self.catalog, target, ready[live.id][2], said)
            with self.catalog.write() as connection:
                found = versions.live_id(connection)
                if found in ready:
                    target, batch, chunks = ready[found]
                    if not _lacking(connection, target.version, chunks):
                        return write(connection, target.version.chunking_id, batch), embedded
            target = ready[found][0] if found in ready else self.target(found)


def _lacking(connection: Connection, of: Version, chunks: Sequence[Chunk]) -> set[bytes]:
    """Hashes without a vector: there are none but where somebody cleared the cache since it was looked up."""
    hashes = list({chunk.text_hash for chunk in chunks})
    return cache.missing(connection, of.space_id, "document", hashes)
