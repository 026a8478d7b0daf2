"""Late interaction over a whole collection: an index of multi-vector items, kept as short codes of their rows.

Candidates come from lists of items by centroid (`centroid_lists`), and are ranked by MaxSim over the rows that the
codes stand for (`token_codes`). Khattab and Zaharia 2020, ColBERT (arXiv:2004.12832); Santhanam et al. 2022, PLAID
(arXiv:2205.09707). Why so: docs/decisions/0021-models.md; what it costs: docs/late-interaction.md.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.vector_types import VectorType
from gnomon.core.vectors import Vectors
from gnomon.index.arguments import AllowedItems, FilterCache, checked_ids, checked_k, checked_new, comparable
from gnomon.index.centroid_lists import CentroidLists, building_bytes
from gnomon.index.exact import candidates, search_multi_vector
from gnomon.index.memory import require_memory
from gnomon.index.rows import RowSnapshot, RowStore
from gnomon.index.storage import IndexContent, SavedState, StoredForm, load, save
from gnomon.index.token_codes import Bits, TokenCodec

_TAIL = 64
"""Items without lists that are always candidates, rather than put into lists at once."""
_TYPICAL_ROWS = 128
"""Rows an item is thought to have as long as none is known."""


@dataclass(frozen=True, slots=True)
class MultiVectorSettings:
    """How exactly rows are kept, and how candidates are found.

    `bits` a dimension: 2 or 4. For each row of a query the `probes` nearest lists are looked at; of all items
    the best `candidates`, and 4 for each result asked for, are ranked by MaxSim. Up to `exact_below` items all are.
    Raises InvalidInput for settings out of range.
    """

    bits: Bits = 4
    probes: int = 16
    candidates: int = 128
    exact_below: int = 512

    def __post_init__(self) -> None:
        if min(self.probes, self.candidates) < 1 or self.exact_below < 0:
            raise InvalidInput("a setting of a multi-vector index below its least", expected="probes, candidates >= 1")


@dataclass(frozen=True, eq=False)
class _State:
    rows: RowSnapshot
    lists: CentroidLists | None


class MultiVectorIndex:
    """An Index of a "maxsim" space: items of several rows, compared by MaxSim.

    Scores are MaxSim over the decoded rows: with 4 bits within about a hundredth of the exact ones. A search sees
    one consistent state and takes no lock; one thread may add or remove at the same time. Raises InvalidInput for a
    space of one vector an item.
    """

    def __init__(
        self, space: Space, settings: MultiVectorSettings | None = None, *, store: RowStore | None = None
    ) -> None:
        if space.similarity != "maxsim":
            raise InvalidInput(
                f"a multi-vector index of {space.short}, whose similarity is {space.similarity}",
                expected='a space of the similarity "maxsim"',
                hint="use ScanIndex for one vector an item",
            )
        self._space, self.settings = space, settings or MultiVectorSettings()
        self._codec = TokenCodec(space.dim, self.settings.bits)
        self.form = StoredForm(read_codes=CentroidLists.from_bytes, codec=self._codec)
        self._lock = threading.RLock()
        self._store = store or RowStore.empty(space.dim, multi=True, squares=False, codec=self._codec)
        self._state = _State(self._store.rows, None)
        self._saved: SavedState | None = None
        self._filters = FilterCache(AllowedItems.of)

    @property
    def space(self) -> Space:
        """The space of the vectors it holds."""
        return self._space

    @property
    def is_approximate(self) -> bool:
        """Whether candidates are found by lists; otherwise every item is scored."""
        return self._state.lists is not None

    @property
    def rows(self) -> RowSnapshot:
        """All its rows as they are kept, to be examined."""
        return self._state.rows

    def pooled(self, positions: Int[np.ndarray, " some"]) -> Float[np.ndarray, "some dim"]:
        """A vector for each of these positions of `rows`: the mean of its item's."""
        flat, begins = self._state.rows.item_rows(positions)
        data = self._codec.restored(self._state.rows.take(flat))
        return Vectors(data, self._space, begins).pooled()

    def __len__(self) -> int:
        return self._state.rows.count

    def stored(self, vectors: Vectors) -> Vectors:
        """The vectors as this index keeps them: scores are of these."""
        data = self._codec.decode(self._codec.encode(comparable(self._space, vectors)))
        return Vectors(self._codec.restored(data), self._space, vectors.starts)

    def add(self, ids: Int[np.ndarray, " items"], vectors: Vectors) -> None:
        """Put items in; an id that is there already gets its new vectors.

        New items go into the lists from time to time. Once the rows have grown fourfold the centroids are learnt
        anew: a pass over all rows. Raises SpaceMismatch for another space, InvalidVectors for repeated ids, and
        InvalidInput, changing nothing, where they would not fit into memory.
        """
        data = comparable(self._space, vectors)
        with self._lock:
            new = checked_new(ids, len(vectors))
            require_memory(len(data) * self._codec.width, f"{len(new)} items of {self._space.short}")
            self._store.add(new, data, vectors.starts)
            self._publish()

    def bytes_to_build(self, items: int, *, held: int) -> int:
        """About how much memory adding so many items takes, where all but `held` of them are saved on the way."""
        rows = self._state.rows
        each = int(rows.starts[-1]) / len(rows.ids) if rows.starts is not None and len(rows.ids) else _TYPICAL_ROWS
        total = int((len(rows.ids) + items) * each)
        return int(min(items, held) * each) * self._codec.width + building_bytes(total, self._space.dim)

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        with self._lock:
            self._store.remove(checked_ids(ids))
            self._publish()

    def _publish(self) -> None:
        lists = self._state.lists
        if self._store.is_sparse():
            live = self._store.rows.live
            self._store.compact()
            lists = lists.compacted(live) if lists is not None and live is not None else lists
        rows = self._store.rows
        if len(rows.ids) <= self.settings.exact_below:
            lists = None
        elif lists is None or lists.is_outgrown(rows):
            lists = CentroidLists.of(rows)
        elif len(rows.ids) - lists.coded > max(_TAIL, lists.coded // 64):
            lists = lists.extended(rows)
        self._state = _State(rows, lists)

    def search(self, queries: Vectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None) -> list[Ranking]:
        """The `k` most similar of the allowed ids for each query, nearly all of them; ties in order of id.

        Raises SpaceMismatch for queries of another space, InvalidInput for k < 1.
        """
        wanted, data = checked_k(k), self._codec.rotated(comparable(self._space, queries))
        state = self._state
        allowed = None if where is None else self._filters.of(where, state.rows)
        starts = queries.starts if queries.starts is not None else np.zeros(0, dtype=np.int64)
        found = []
        for query in np.split(data, starts[1:]) if len(starts) else []:
            among = allowed if state.lists is None else self._candidates(query, state, wanted, allowed=allowed)
            found.append(search_multi_vector(query, state.rows, wanted, allowed=among))
        return found

    def _candidates(
        self, query: Float[np.ndarray, "rows dim"], state: _State, k: int, *, allowed: AllowedItems | None
    ) -> AllowedItems | None:
        rows, lists, count = state.rows, state.lists, self.settings.candidates + 4 * k
        if lists is None or (len(allowed) if allowed is not None else rows.count) <= count:
            return allowed
        admitted = rows.live if allowed is None else allowed.mask
        keys = lists.scores(query, self.settings.probes)
        if admitted is not None:
            keys[~admitted[: lists.coded]] = -np.inf
        tail = np.arange(lists.coded, len(rows.ids))
        if admitted is not None:
            tail = tail[admitted[lists.coded :]]
        return AllowedItems(np.concatenate([candidates(keys, count, 0.0), tail]), len(rows.ids))

    def stored_as(self, vector_type: VectorType) -> MultiVectorIndex:
        """Raises InvalidInput: rows are kept as codes, and in no other type."""
        self._space.stored_as(vector_type)
        return self

    def pinned(self) -> MultiVectorIndex:
        """A snapshot as an index of its own, which later changes of this one do not reach; nothing is copied."""
        with self._lock:
            pinned = MultiVectorIndex(self._space, self.settings, store=RowStore(self._state.rows))
            pinned._state, pinned._filters = self._state, self._filters
            return pinned

    def save(self, folder: Path, *, stamp: int) -> None:
        """Write what has changed since the last save to this folder; see `gnomon.index.storage`.

        `stamp` is the journal position that the index stands for. Raises StorageError.
        """
        with self._lock:
            state, generation = self._state, self._store.generation
            content = IndexContent(state.rows, generation, self._space, self.form, state.lists)
            self._saved = save(folder, content, stamp, last=self._saved)

    @classmethod
    def load(
        cls, folder: Path, space: Space, settings: MultiVectorSettings | None = None
    ) -> tuple[MultiVectorIndex, int]:
        """What was saved, with its stamp; codes and lists stay on disk and are read as they are needed.

        Raises IndexDamaged for files that are missing, damaged, or of another space or settings.
        """
        index = cls(space, settings)
        content, saved, stamp = load(folder, space, index.form)
        index._store = RowStore(content.rows)
        index._saved = saved.of(index._store.generation)
        index._state = _State(content.rows, content.codes if isinstance(content.codes, CentroidLists) else None)
        return index, stamp
