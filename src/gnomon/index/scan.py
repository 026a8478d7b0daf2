"""An index for larger collections: candidates by quantised codes, then exact scores for the best of them.

By default a scan of RaBitQ codes: built in one pass, filtered and updated as easily as the exact index, whose
results it gives. HNSW and IVF (`ScanSettings.find`) look at fewer rows and find a little less. Recall is
measured whenever codes are built; where it is too low, rows are scanned exactly.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.batching import in_blocks
from gnomon.core.errors import InvalidInput, LowRecall
from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.vector_types import VectorType
from gnomon.core.vectors import Vectors
from gnomon.index.ann import Codes, codes_bytes
from gnomon.index.arguments import AllowedItems, FilterCache, checked_ids, checked_k, checked_new, comparable
from gnomon.index.exact import search_rows
from gnomon.index.manifest import damaged
from gnomon.index.memory import require_memory
from gnomon.index.quantised_search import (
    CodedRows,
    ScanSettings,
    candidates_needed,
    fetch_count,
    search_coded,
    tune_width,
)
from gnomon.index.rows import PIECE, RowSnapshot, RowStore
from gnomon.index.storage import IndexContent, SavedState, StoredForm, load, save

__all__ = ["ScanIndex", "ScanSettings"]

_TAIL = 4096
"""Rows without codes that are always scanned exactly rather than coded at once."""


@dataclass(frozen=True, eq=False)
class _State:
    rows: RowSnapshot
    codes: Codes | None
    failed_at: int = 0
    """How many rows there were when codes last missed the least recall."""


class ScanIndex:
    """An Index that finds candidates by their codes and ranks them exactly.

    Rows added since the codes were built are scanned exactly as well. A search sees one consistent state and
    takes no lock; one thread may add or remove at the same time.
    """

    def __init__(self, space: Space, settings: ScanSettings | None = None, *, store: RowStore | None = None) -> None:
        if space.similarity == "maxsim":
            raise InvalidInput(
                f"multi-vector items of {space.short}",
                expected="one vector an item: cosine, dot or euclidean",
                hint="use MultiVectorIndex, which is made for late interaction",
            )
        self._space, self.settings = space, settings or ScanSettings()
        self._lock = threading.RLock()
        self._store = store or RowStore.empty(
            space.dim,
            multi=False,
            squares=space.similarity == "euclidean",
            vector_type=self.settings.rows,
        )
        self._state = _State(self._store.rows, None)
        self._saved: SavedState | None = None
        self._filters = FilterCache(AllowedItems.of)

    @property
    def space(self) -> Space:
        """The space of the vectors it holds."""
        return self._space

    @property
    def form(self) -> StoredForm:
        """How its rows are saved."""
        return StoredForm(self.settings.rows, Codes.from_bytes)

    @property
    def is_approximate(self) -> bool:
        """Whether codes are in use; otherwise every row is scanned exactly."""
        return self._state.codes is not None

    @property
    def rows(self) -> RowSnapshot:
        """All its rows as they are kept, to be examined."""
        return self._state.rows

    def pooled(self, positions: Int[np.ndarray, " some"]) -> Float[np.ndarray, "some dim"]:
        """A vector for each of these positions of `rows`."""
        return self._state.rows.take(positions)

    def __len__(self) -> int:
        return self._state.rows.count

    def add(self, ids: Int[np.ndarray, " items"], vectors: Vectors) -> None:
        """Put vectors in; an id that is there already gets its new vector.

        New rows are coded from time to time, in one pass over them. Once the rows have doubled (for additions of
        more than a few) or grown fourfold, recall is measured again: a pass over all rows, or two where it is
        too low and the codes are built anew.
        Raises SpaceMismatch for another space, InvalidVectors for zero vectors (cosine) or repeated ids.
        Raises InvalidInput, and changes nothing, when they would not fit into memory.
        Warns LowRecall when no codes reach the least recall for these vectors.
        """
        data = comparable(self._space, vectors)
        with self._lock:
            new = checked_new(ids, len(vectors))
            require_memory(self.bytes_to_add(len(new)), f"{len(new)} vectors of {self._space.short}")
            # Rows of a cosine space were normalised, which made a copy.
            self._store.add(new, data, owned=self._space.similarity == "cosine")
            self._publish(len(new))

    def bytes_to_add(self, items: int) -> int:
        """About how much memory adding so many takes: rows, and codes where these become due."""
        with self._lock:
            total, state = len(self._state.rows.ids) + items, self._state
            is_due = self._is_coding_due(total, items, state.codes, failed_at=state.failed_at)
            coding = codes_bytes(total, self._space.dim, self.settings.find) if is_due else 0
            return self._store.bytes_to_add(items) + coding

    def bytes_to_build(self, items: int, *, held: int) -> int:
        """The same where all but `held` of the rows are saved on the way, and mapped from disk."""
        return self.bytes_to_add(items) - max(0, items - held) * self._space.dim * 4

    def _is_coding_due(self, total: int, added: int, codes: Codes | None, *, failed_at: int) -> bool:
        if self.settings.find == "exact" or total <= self.settings.exact_below:
            return False
        if codes is None or codes.is_outgrown(total, added):
            return total > 2 * failed_at
        return total - codes.coded > max(_TAIL, codes.coded // 64)

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        with self._lock:
            self._store.remove(checked_ids(ids))
            self._publish(0)

    def _publish(self, added: int) -> None:
        state = self._state
        codes, failed_at = state.codes, state.failed_at
        if self._store.is_sparse():
            self._store.compact()
            codes = None
        rows = self._store.rows
        total = len(rows.ids)
        if total <= self.settings.exact_below:
            codes, failed_at = None, 0
        elif self._is_coding_due(total, added, codes, failed_at=failed_at):
            codes = self._rebuilt(rows) if codes is None else self._grown(rows, codes, added)
            failed_at = 0 if codes else total
        self._state = _State(rows, codes, failed_at)

    def _grown(self, rows: RowSnapshot, codes: Codes, added: int) -> Codes | None:
        """The codes with those of the new rows; made anew only where a measurement asks for it."""
        longer = codes.extended(rows)
        if not codes.is_outgrown(len(rows.ids), added):
            return longer
        similarity, drifts = self._space.similarity, codes.method.depends_on_data
        most = 2 * codes.width if drifts else None
        longer, recall = tune_width(rows, longer, similarity, settings=self.settings, most=most)
        may_help = drifts and codes.width < codes.method.widths[-1]
        if recall >= (self.settings.wanted_recall if may_help else self.settings.min_recall):
            return longer
        return self._rebuilt(rows)

    def _rebuilt(self, rows: RowSnapshot) -> Codes | None:
        similarity = self._space.similarity
        codes = Codes.of(rows, similarity, self.settings.find)
        codes, recall = tune_width(rows, codes, similarity, settings=self.settings)
        if recall >= self.settings.min_recall:
            return codes
        warnings.warn(
            f"{self.settings.find} codes of {len(rows.ids)} vectors of {self._space.short} find {recall:.3f} "
            f"of the true neighbours, wanted {self.settings.min_recall}: scanning exactly instead, which is "
            "slower",
            LowRecall,
            stacklevel=4,
        )
        return None

    def search(self, queries: Vectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None) -> list[Ranking]:
        """The `k` most similar of the allowed ids for each query, nearly all of them; ties in order of id.

        Raises SpaceMismatch for queries of another space, InvalidInput for k < 1.
        """
        wanted, data = checked_k(k), comparable(self._space, queries)
        state = self._state
        allowed = None if where is None else self._filters.of(where, state.rows)
        if state.codes is None or (allowed is not None and self._are_few(len(allowed), state.codes, wanted)):
            return search_rows(data, state.rows, wanted, similarity=self._space.similarity, allowed=allowed)
        return self._coded(state.rows, state.codes, data, k=wanted, allowed=allowed)

    def _are_few(self, allowed: int, codes: Codes, k: int) -> bool:
        """Whether scoring all the allowed costs less than finding some of them by their codes."""
        if self.settings.filtered_exactly is not None:
            return allowed <= self.settings.filtered_exactly
        # In rows scored exactly, as measured: codes take a twentieth each, and 5 for each candidate to fetch.
        need = candidates_needed(self.settings, codes, k)
        return allowed <= codes.coded / 20 + 5 * fetch_count(need, allowed, codes.coded)

    def _coded(
        self,
        rows: RowSnapshot,
        codes: Codes,
        queries: Float[np.ndarray, "queries dim"],
        *,
        k: int,
        allowed: AllowedItems | None,
    ) -> list[Ranking]:
        coded, need = CodedRows(rows, codes, allowed), candidates_needed(self.settings, codes, k)
        return search_coded(queries, coded, k, need=need, similarity=self._space.similarity)

    def pinned(self) -> ScanIndex:
        """A snapshot as an index of its own, which later changes of this one do not reach; nothing is copied."""
        with self._lock:
            state = self._state
            store = RowStore(state.rows, vector_type=self.settings.rows)
            pinned = ScanIndex(self._space, self.settings, store=store)
            pinned._state, pinned._filters = state, self._filters
            return pinned

    def stored_as(self, vector_type: VectorType) -> ScanIndex:
        """An index of the same vectors as another type keeps them, in the space of that; every row is compared."""
        rows = self._state.rows
        settings = replace(self.settings, rows=vector_type, find="exact")
        made = ScanIndex(self._space.stored_as(vector_type), settings)
        items = np.arange(len(rows.ids)) if rows.live is None else np.flatnonzero(rows.live)
        for block in in_blocks(items, PIECE):
            made.add(rows.ids[block], Vectors(rows.take(block), made.space))
        return made

    def save(self, folder: Path, *, stamp: int) -> None:
        """Write what has changed since the last save to this folder; see `gnomon.index.storage`."""
        with self._lock:
            state, generation = self._state, self._store.generation
            content = IndexContent(state.rows, generation, self._space, self.form, state.codes)
            self._saved = save(folder, content, stamp, last=self._saved)

    @classmethod
    def load(cls, folder: Path, space: Space, settings: ScanSettings | None = None) -> tuple[ScanIndex, int]:
        """What was saved, with its stamp; rows and codes stay on disk and are read as they are needed.

        Raises IndexDamaged for files that are missing, damaged, or of another space or settings.
        """
        settings = settings or ScanSettings()
        content, saved, stamp = load(folder, space, cls(space, settings).form)
        codes = content.codes if isinstance(content.codes, Codes) else None
        made = codes.method.name if codes else settings.find
        if made != settings.find:
            raise damaged(folder, f"codes for {made}", expected=f"codes for {settings.find}")
        index = cls(space, settings, store=RowStore(content.rows, vector_type=settings.rows))
        index._saved = saved.of(index._store.generation)
        # Rows without codes missed the least recall before: they are not coded again at every start.
        index._state = _State(content.rows, codes, 0 if codes else len(content.rows.ids))
        return index, stamp
