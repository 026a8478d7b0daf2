"""An index for larger collections: candidates by quantised codes, then exact scores for the best of them.

By default a scan of short codes: built in one pass, filtered and updated as easily as the exact index, whose
results it gives. HNSW and IVF (`ScanSettings.find`) look at fewer rows and find a little less. Coded items lie in
segments (`segments`), each saved, checked and rebuilt alone. Recall is measured whenever codes are built; where it is
too low, rows are scanned exactly.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.batching import in_blocks
from gnomon.core.errors import InvalidInput, LowRecall
from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.vector_types import VectorType
from gnomon.core.vectors import Vectors
from gnomon.index.ann import ANN_METHODS, codes_bytes
from gnomon.index.arguments import FilterCache, checked_ids, checked_k, checked_new, comparable
from gnomon.index.manifest import damaged
from gnomon.index.memory import require_memory
from gnomon.index.quantised_search import (
    AllowedParts,
    CodedParts,
    ScanSettings,
    candidates_needed,
    fetch_count,
    search_coded,
    search_exactly,
    tune_width,
)
from gnomon.index.rows import PIECE, RowSnapshot, RowStore
from gnomon.index.segment_files import load_segments, save_segments
from gnomon.index.segments import RowSource, Segment, SegmentCoder, read_rows
from gnomon.index.storage import IndexContent, SavedState, StoredForm, has_changed, load, save

__all__ = ["ScanIndex", "ScanSettings"]

_TAIL = 4096
"""Rows without codes that are always scanned exactly rather than coded at once."""


@dataclass(frozen=True, eq=False)
class _State:
    """What a search sees. `trained` is how many items there were when the codes were learnt, `checked` when recall was
    last measured, `failed_at` when codes last missed the least recall."""

    parts: CodedParts
    trained: int = 0
    checked: int = 0
    failed_at: int = 0

    @property
    def total(self) -> int:
        """Items, those that are gone among them."""
        return self.parts.coded + len(self.parts.tail.ids)

    def is_outgrown(self, total: int, added: int) -> bool:
        """Whether recall is to be measured again, which a few rows do not set off: a pass over all."""
        return total > (2 if added * 64 >= total else 4) * self.checked


class ScanIndex:
    """An Index that finds candidates by their codes and ranks them exactly.

    Rows added since the codes were built are scanned exactly as well. A search sees one consistent state and
    takes no lock; one thread may add or remove at the same time. With a `source`, which must have the rows, those that
    are coded are neither held nor saved here.
    """

    def __init__(self, space: Space, settings: ScanSettings | None = None, *, source: RowSource | None = None) -> None:
        if space.similarity == "maxsim":
            raise InvalidInput(
                f"multi-vector items of {space.short}",
                expected="one vector an item: cosine, dot or euclidean",
                hint="use MultiVectorIndex, which is made for late interaction",
            )
        self._space, self.settings, self._source = space, settings or ScanSettings(), source
        self._lock = threading.RLock()
        self._store = self._new_store()
        self._state = _State(CodedParts((), self._store.rows, source))
        self._saved: SavedState | None = None
        self._filters = FilterCache(AllowedParts.of)
        self.lost = 0
        """Items of segments that turned out damaged when this was loaded: they are to be added again."""

    def _new_store(self) -> RowStore:
        squares = self._space.similarity == "euclidean"
        return RowStore.empty(self._space.dim, multi=False, squares=squares, vector_type=self.settings.rows)

    @property
    def space(self) -> Space:
        """The space of the vectors it holds."""
        return self._space

    @property
    def is_approximate(self) -> bool:
        """Whether codes are in use; otherwise every row is scanned exactly."""
        return bool(self._state.parts.segments)

    @property
    def is_saved(self) -> bool:
        """Whether it is worth saving: a small one is read from its vectors as quickly."""
        return self._state.total > self.settings.exact_below

    @property
    def segment_items(self) -> list[int]:
        """How many items are in each segment."""
        return [segment.items.count for segment in self._state.parts.segments]

    @property
    def rows(self) -> RowSnapshot:
        """Ids of all its items, and which are there, to be examined; `pooled` gives their rows."""
        parts = self._state.parts
        every = [*(segment.items for segment in parts.segments), parts.tail]
        ids = np.concatenate([own.ids for own in every])
        live = np.concatenate([np.ones(len(own.ids), bool) if own.live is None else own.live for own in every])
        return replace(parts.tail, ids=ids, live=live, count=parts.count)

    def pooled(self, positions: Int[np.ndarray, " some"]) -> Float[np.ndarray, "some dim"]:
        """A vector for each of these positions of `rows`; zeros for one that its source no longer has."""
        parts, first = self._state.parts, 0
        out = np.zeros((len(positions), self._space.dim), dtype=np.float32)
        for segment in parts.segments:
            at = np.flatnonzero((positions >= first) & (positions < first + len(segment)))
            own = positions[at] - first
            order = np.argsort(own, kind="stable")
            found, rows = read_rows(segment, own[order], parts.source)
            out[at[order][np.isin(own[order], found)]] = rows
            first += len(segment)
        late = positions >= first
        out[late] = parts.tail.take(positions[late] - first)
        return out

    def __len__(self) -> int:
        return self._state.parts.count

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
            segments = tuple(segment.without(new) for segment in self._state.parts.segments)
            # Rows of a cosine space were normalised, which made a copy.
            self._store.add(new, data, owned=self._space.similarity == "cosine")
            self._publish(segments, len(new))

    def bytes_to_add(self, items: int) -> int:
        """About how much memory adding so many takes: rows, and codes where these become due."""
        with self._lock:
            total, state = self._state.total + items, self._state
            is_due = self._is_coding_due(len(state.parts.tail.ids) + items, total, items, state=state)
            coding = codes_bytes(total, self._space.dim, self.settings.find) if is_due else 0
            return self._store.bytes_to_add(items) + coding

    def bytes_to_build(self, items: int, *, held: int) -> int:
        """The same where all but `held` of the rows are saved on the way, and mapped from disk, or in a source."""
        row = self._space.dim * 4
        if self._source is not None and self.settings.find != "exact":
            return min(items, self.settings.exact_below + held) * row + codes_bytes(
                self._state.total + items, self._space.dim, self.settings.find
            )
        return self.bytes_to_add(items) - max(0, items - held) * row

    def _is_coding_due(self, late: int, total: int, added: int, *, state: _State) -> bool:
        if self.settings.find == "exact" or total <= self.settings.exact_below:
            return False
        if not state.parts.segments:
            return total > 2 * state.failed_at
        return late > _TAIL or state.is_outgrown(total, added)

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        gone = checked_ids(ids)
        with self._lock:
            segments = tuple(segment.without(gone) for segment in self._state.parts.segments)
            self._store.remove(gone)
            self._publish(segments, 0)

    def _publish(self, segments: tuple[Segment, ...], added: int) -> None:
        if self._store.is_sparse():
            self._store.compact()
        state = self._with(self._state, segments)
        while sparse := [segment for segment in state.parts.segments if segment.is_sparse]:
            state = self._emptied(state, sparse[0])
        if state.parts.segments and state.total <= self.settings.exact_below:
            state = self._uncoded(state)
            state = replace(state, failed_at=0)
        elif state.parts.count and self._is_coding_due(len(state.parts.tail.ids), state.total, added, state=state):
            state = self._coded(state, added)
        self._state = state

    def _with(self, state: _State, segments: tuple[Segment, ...], *, width: int | None = None) -> _State:
        """The state with these segments, and the tail as it is now."""
        wide = state.parts.width if width is None else width
        return replace(state, parts=CodedParts(segments, self._store.rows, self._source, wide))

    def _emptied(self, state: _State, segment: Segment) -> _State:
        """The state with what is left of a segment in the others: coded again, a piece at a time."""
        others = tuple(one for one in state.parts.segments if one is not segment)
        for some in in_blocks(segment.live_positions(), PIECE):
            found, rows = read_rows(segment, some, self._source)
            if others:
                others = self._coder.appended(others, segment.items.ids[found], rows)
            else:
                self._store.add(segment.items.ids[found], rows)
        return self._with(state, others)

    def _uncoded(self, state: _State) -> _State:
        """The state with all items in the tail."""
        for segment in state.parts.segments:
            for some in in_blocks(segment.live_positions(), PIECE):
                found, rows = read_rows(segment, some, self._source)
                self._store.add(segment.items.ids[found], rows, owned=True)
        return self._with(state, ())

    @property
    def _coder(self) -> SegmentCoder:
        return SegmentCoder(ANN_METHODS[self.settings.find], self._space.similarity, self.settings.rows, self._source)

    def _coded(self, state: _State, added: int) -> _State:
        """The state with the tail in segments; with codes made anew, or none, where a measurement asks for it."""
        before, segments, total = self._store, state.parts.segments, state.total
        tail = before.rows
        places = np.arange(len(tail.ids)) if tail.live is None else np.flatnonzero(tail.live)
        for some in in_blocks(places, self._coder.method.segment_rows):
            segments = self._coder.appended(segments, tail.ids[some], tail.take(some))
        self._store = self._new_store()
        first = not state.parts.segments
        longer = self._with(replace(state, trained=total, checked=total) if first else state, segments)
        if not (first or state.is_outgrown(total, added)):
            return longer
        method, drifts = self._coder.method, self._coder.method.depends_on_data
        most = None if first or not drifts else 2 * state.parts.width
        longer, recall = self._tuned(longer, most)
        may_help = not first and drifts and longer.parts.width < method.widths[-1]
        if recall < (self.settings.wanted_recall if may_help else self.settings.min_recall) and not first:
            fresh = tuple(self._coder.recoded(one) for one in segments if one.items.count)
            longer, recall = self._tuned(replace(self._with(longer, fresh), trained=total), None)
        if recall >= self.settings.min_recall:
            return replace(longer, failed_at=0)
        self._warn(total, recall)
        if first:
            self._store = before
            return replace(self._with(longer, ()), failed_at=total)
        return replace(self._uncoded(longer), failed_at=total)

    def _tuned(self, state: _State, most: int | None) -> tuple[_State, float]:
        width, recall = tune_width(state.parts, self._space.similarity, settings=self.settings, most=most)
        return replace(self._with(state, state.parts.segments, width=width), checked=state.total), recall

    def _warn(self, total: int, recall: float) -> None:
        warnings.warn(
            f"{self.settings.find} codes of {total} vectors of {self._space.short} find {recall:.3f} "
            f"of the true neighbours, wanted {self.settings.min_recall}: scanning exactly instead, which is "
            "slower",
            LowRecall,
            stacklevel=5,
        )

    def search(self, queries: Vectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None) -> list[Ranking]:
        """The `k` most similar of the allowed ids for each query, nearly all of them; ties in order of id.

        Raises SpaceMismatch for queries of another space, InvalidInput for k < 1.
        """
        wanted, data, parts = checked_k(k), comparable(self._space, queries), self._state.parts
        allowed = None if where is None else self._filters.of(where, parts)
        similarity = self._space.similarity
        if not parts.segments or (allowed is not None and self._are_few(allowed, parts, wanted)):
            return search_exactly(data, parts, wanted, similarity=similarity, allowed=allowed)
        need = candidates_needed(self.settings, parts, wanted)
        return search_coded(data, parts, wanted, need=need, similarity=similarity, allowed=allowed)

    def _are_few(self, allowed: AllowedParts, parts: CodedParts, k: int) -> bool:
        """Whether scoring all the allowed costs less than finding some of them by their codes."""
        if self.settings.filtered_exactly is not None:
            return allowed.coded <= self.settings.filtered_exactly
        need = candidates_needed(self.settings, parts, k)
        if self._source is not None:
            return allowed.coded <= need  # rows from elsewhere cost far more than codes
        # In rows scored exactly, as measured: codes take a twentieth each, and 5 for each candidate to fetch.
        return allowed.coded <= parts.coded / 20 + 5 * fetch_count(need, allowed.coded, parts.coded)

    def pinned(self) -> ScanIndex:
        """A snapshot as an index of its own, which later changes of this one do not reach; nothing is copied."""
        with self._lock:
            pinned = ScanIndex(self._space, self.settings, source=self._source)
            pinned._store = RowStore(self._state.parts.tail, vector_type=self.settings.rows)
            pinned._state, pinned._filters = self._state, self._filters
            return pinned

    def stored_as(self, vector_type: VectorType) -> ScanIndex:
        """An index of the same vectors as another type keeps them, in the space of that; every row is compared."""
        settings = replace(self.settings, rows=vector_type, find="exact")
        made = ScanIndex(self._space.stored_as(vector_type), settings)
        for ids, rows in self._state.parts.blocks():
            made.add(ids, Vectors(rows, made.space))
        return made

    @property
    def _form(self) -> StoredForm:
        """How rows without codes are saved: not at all where a source has them, unless every one is compared."""
        return StoredForm(self.settings.rows, is_kept=self._source is None or not self._state.parts.segments)

    def save(self, folder: Path, *, stamp: int) -> None:
        """Write what has changed since the last save to this folder; see `gnomon.index.storage`."""
        with self._lock:
            state = self._state
            entries, segments = save_segments(folder, state.parts.segments)
            known = {
                "find": self.settings.find,
                "width": state.parts.width,
                "trained": state.trained,
                "checked": state.checked,
                "has_source": self._source is not None,
                "entries": entries,
            }
            content = IndexContent(state.parts.tail, self._store.generation, self._space, self._form, segments=known)
            self._saved = save(folder, content, stamp, last=self._saved)
            self._state = self._with(state, segments)

    @classmethod
    def load(
        cls, folder: Path, space: Space, settings: ScanSettings | None = None, *, source: RowSource | None = None
    ) -> tuple[ScanIndex, int]:
        """What was saved, with its stamp; rows stay on disk and are read as they are needed.

        A damaged segment is left out: `lost` says how many items it had. Raises IndexDamaged for other files that are
        missing, damaged, or of another space or settings.
        """
        index = cls(space, settings, source=source)
        form = StoredForm(index.settings.rows)
        while True:
            content, saved, stamp = load(folder, space, form)
            known = _require_segments(folder, saved.body, index.settings.find, has_source=source is not None)
            segments, index.lost = load_segments(folder, saved.body, form, dim=space.dim)
            if not index.lost or not has_changed(saved):
                break  # otherwise a save in another process has replaced files since the manifest was read
        index._fill(content, saved)
        total = sum(len(one) for one in segments) + len(content.rows.ids)
        # Rows without codes missed the least recall before: they are not coded again at every start.
        failed_at = 0 if known["entries"] else total
        state = _State(index._state.parts, known["trained"], known["checked"], failed_at)
        index._state = index._with(state, tuple(segments), width=known["width"])
        return index, stamp

    def _fill(self, content: IndexContent, saved: SavedState) -> None:
        """Take the rows that were saved without codes; those that are in the source only are read from it."""
        if content.form.is_kept or self._source is None:
            self._store = RowStore(content.rows, vector_type=self.settings.rows)
            self._saved = saved.of(self._store.generation)
            return
        live = content.rows.live
        ids = content.rows.ids if live is None else content.rows.ids[live]
        for some in in_blocks(ids, PIECE):
            found, rows = self._source.read(some, np.full(len(some), -1))
            self._store.add(some[found], rows, owned=True)


def _require_segments(folder: Path, body: dict[str, Any], find: str, *, has_source: bool) -> dict[str, Any]:
    """What a manifest says of segments. Raises IndexDamaged where these are for other settings, or an older form."""
    known = body.get("segments")
    if known is None:
        raise damaged(folder, "an index of an older form", expected="codes in segments")
    made = known["find"] if known["entries"] else find
    if made != find or known["has_source"] != has_source:
        raise damaged(folder, f"codes for {made}", expected=f"codes for {find}")
    return dict(known)
