"""What a keyword index is made of, in tantivy's terms: its schema, segment files, hits and errors."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import CollectionBusy, GnomonError, InvalidInput, StorageError
from gnomon.core.ranking import Ranking
from gnomon.index.files import DISK, damaged
from gnomon.kernels.topk import top_k


def fetched(
    searcher: Any, query: Any, limit: int
) -> tuple[Int[np.ndarray, " hits"], Float[np.ndarray, " hits"]]:
    """Ids and scores of the `limit` best matches, best first; which of those that tie come last is open."""
    hits = searcher.search(query, limit, count=False).hits
    ids = searcher.fast_field_values("id", [at for _, at in hits])
    return np.array(ids, dtype=np.int64), np.array([score for score, _ in hits], dtype=np.float32)


def best(searcher: Any, query: Any, k: int) -> Ranking:
    """The `k` best matches, ties in order of id."""
    everything = max(1, int(searcher.num_docs))
    limit = k + 16
    while True:
        limit = min(limit, everything)
        ids, scores = fetched(searcher, query, limit)
        # With a k-th score above the last that was fetched, nothing that ties with it is missing.
        if len(ids) < limit or limit == everything or (len(ids) >= k and scores[k - 1] > scores[-1]):
            return Ranking(*top_k(scores, ids, k))
        limit *= 4


def any_of(schema: Any, terms: Mapping[str, float]) -> Any:
    """A query for texts with any of the words: the sum of their BM25, each times its weight.

    Raises InvalidInput for a weight that is not above 0: tantivy's bounds on scores would be wrong.
    """
    import tantivy

    if not all(0 < weight < float("inf") for weight in terms.values()):
        raise InvalidInput(
            f"weights of words {sorted(set(terms.values()))[:5]}",
            wanted="finite weights above 0",
            next_step="leave out words that are not to count",
        )

    def one(term: str, weight: float) -> Any:
        query = tantivy.Query.term_query(schema, "body", term, index_option="freq")
        return query if weight == 1 else tantivy.Query.boost_query(query, weight)

    should = tantivy.Occur.Should
    return tantivy.Query.boolean_query([(should, one(term, weight)) for term, weight in terms.items()])


def schema() -> Any:
    """An id to filter by and to read back, and one field of words with their frequencies."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("id", indexed=True, fast=True)
    builder.add_text_field("body", tokenizer_name="gnomon", index_option="freq")
    return builder.build()


def encodable(text: str) -> str:
    """The text as UTF-8 can hold it."""
    # Lone surrogates (from file names, broken JSON) are no words, and tantivy takes UTF-8 only.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class Commit:
    """What tantivy's meta.json says: the commit's number and segments, with the file's own checksum."""

    number: int
    checksum: int
    segments: frozenset[str]

    @staticmethod
    def of(folder: Path) -> Commit:
        """The last commit. Raises IndexDamaged."""
        try:
            content = (folder / "meta.json").read_bytes()
            meta = json.loads(content)
            names = frozenset(segment["segment_id"].replace("-", "") for segment in meta["segments"])
            return Commit(int(meta["opstamp"]), zlib.crc32(content), names)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder / "meta.json", f"cannot be read ({error})") from error

    def owns(self, name: str) -> bool:
        """Whether a file is of one of the segments."""
        return name.partition(".")[0] in self.segments


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """gnomon's errors for tantivy's: ValueError for everything, and a panic that is no Exception."""
    try:
        yield
    except GnomonError:
        raise
    except BaseException as error:
        text = str(error)
        if type(error).__name__ != "PanicException" and not isinstance(error, ValueError):
            raise
        if "LockBusy" in text:
            raise CollectionBusy(
                f"another process is writing to the keyword index in {folder}",
                wanted="one writer at a time",
                next_step="wait until it is done, then try again",
            ) from error
        if any(f"code: {number}," in text or f"os error {number})" in text for number in DISK):
            raise StorageError(
                f"{folder} cannot be written: {text[:300]}",
                wanted="room and permission to write there",
                next_step="free some space or change the permissions; what was committed is not lost",
            ) from error
        raise damaged(folder, text[:300]) from error
