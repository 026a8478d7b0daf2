"""A scan of short codes of every row, then exact scores for the best of them: for larger collections.

No graph: built in a pass, filtered and changed as easily as the exact index, whose results it gives (the
share of true neighbours is measured when codes are made, and too low a share brings exact scanning back).
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput, LowRecall
from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.index.allowed import Allowed, Remembered
from gnomon.index.arguments import checked_ids, checked_k, checked_new, comparable
from gnomon.index.coded import CodedRows, search_coded, to_fetch
from gnomon.index.codes import Codes, codes_bytes
from gnomon.index.memory import require_room
from gnomon.index.nearest import search_rows
from gnomon.index.rows import Rows, RowStore
from gnomon.index.saved import Content, Saved, load, save

_TAIL = 4096
"""Rows without codes that are always scanned exactly rather than coded at once."""
_WIDENED = (1, 2, 4, 8)
"""Times the candidates that are tried until enough true neighbours are found."""


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """When codes are made and how much is rescored.

    Up to `exact_below` rows are scanned exactly. A search rescores `rescored` candidates and `per_result`
    more for each result asked for, up to 8 times as many where it takes that to find `wanted_recall` of the
    ten nearest of `sample` queries. Codes that even so find less than `min_recall` are not used. Filters that
    allow up to `filtered_exactly` ids skip the codes (None: where that costs less). `rows` is how rows are
    kept: float16 halves disk and memory, and rounds each number to 11 bits.
    """

    exact_below: int = 20_000
    rescored: int = 300
    per_result: int = 4
    filtered_exactly: int | None = None
    wanted_recall: float = 0.998
    min_recall: float = 0.99
    sample: int = 64
    rows: Literal["float32", "float16"] = "float32"

    def __post_init__(self) -> None:
        if self.rows not in ("float32", "float16"):
            raise InvalidInput(f"rows {self.rows!r}", wanted="float32 or float16")
        if not 0 <= self.min_recall <= self.wanted_recall <= 1:
            raise InvalidInput(
                f"min_recall {self.min_recall} and wanted_recall {self.wanted_recall}",
                wanted="0 <= min_recall <= wanted_recall <= 1",
            )
        if min(self.rescored, self.per_result, self.sample) < 1 or self.exact_below < 0:
            raise InvalidInput("a scan setting below its least", wanted="rescored, per_result, sample >= 1")


@dataclass(frozen=True, eq=False)
class _State:
    rows: Rows
    codes: Codes | None
    refused: int = 0
    """How many rows there were when codes were last found wanting."""


class ScanIndex:
    """An Index that finds candidates by their codes and ranks them exactly.

    Rows added since the last coding are scanned exactly beside it. A search sees one consistent state and
    takes no lock; one thread may add or remove meanwhile.
    """

    def __init__(
        self, space: Space, settings: ScanSettings | None = None, *, store: RowStore | None = None
    ) -> None:
        if space.similarity == "maxsim":
            raise InvalidInput(
                f"multi-vector items of {space.short}",
                wanted="one vector an item: cosine, dot or euclidean",
                next_step="use ExactIndex, which scores late interaction",
            )
        self._space, self.settings = space, settings or ScanSettings()
        self._lock = threading.RLock()
        self._store = store or RowStore.empty(
            space.dim,
            multi=False,
            squares=space.similarity == "euclidean",
            half=self.settings.rows == "float16",
        )
        self._state = _State(self._store.rows, None)
        self._saved: Saved | None = None
        self._filters = Remembered(Allowed.of)

    @property
    def space(self) -> Space:
        """The space of the vectors it holds."""
        return self._space

    @property
    def is_approximate(self) -> bool:
        """Whether codes are in use; otherwise every row is scanned exactly."""
        return self._state.codes is not None

    def __len__(self) -> int:
        return self._state.rows.count

    def add(self, ids: Int[np.ndarray, " items"], vectors: Vectors) -> None:
        """Put vectors in; an id that is there already gets its new vector.

        Now and then codes what has come since: a pass over the new rows; over all once they have doubled, by
        the next addition of more than a few of them, or grown fourfold.
        Raises SpaceMismatch for another space, InvalidVectors for zero vectors (cosine) or repeated ids.
        Raises InvalidInput, and changes nothing, when they would not fit into memory.
        Warns LowRecall when the codes turn out not to serve these vectors.
        """
        data = comparable(self._space, vectors)
        with self._lock:
            new = checked_new(ids, len(vectors))
            require_room(self.bytes_to_add(len(new)), f"{len(new)} vectors of {self._space.short}")
            self._store.add(new, data)
            self._publish(len(new))

    def bytes_to_add(self, items: int) -> int:
        """About how much memory adding as many takes: rows, and codes where they become due."""
        with self._lock:
            total, state = len(self._state.rows.ids) + items, self._state
            is_due = self._is_coding_due(total, items, state.codes, state.refused)
            return self._store.bytes_to_add(items) + (codes_bytes(total, self._space.dim) if is_due else 0)

    def _is_coding_due(self, total: int, added: int, codes: Codes | None, refused: int) -> bool:
        if total <= self.settings.exact_below:
            return False
        if codes is None or _is_outgrown(codes, total, added):
            return total > 2 * refused
        return total - codes.coded > max(_TAIL, codes.coded // 64)

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        with self._lock:
            self._store.remove(checked_ids(ids))
            self._publish(0)

    def _publish(self, added: int) -> None:
        state = self._state
        codes, refused = state.codes, state.refused
        if self._store.is_sparse():
            self._store.compact()
            codes = None
        rows = self._store.rows
        total = len(rows.ids)
        if total <= self.settings.exact_below:
            codes, refused = None, 0
        elif self._is_coding_due(total, added, codes, refused):
            if codes is None or _is_outgrown(codes, total, added):
                codes = self._tried(rows)
                refused = 0 if codes else total
            else:
                codes = codes.extended(rows)
        self._state = _State(rows, codes, refused)

    def _tried(self, rows: Rows) -> Codes | None:
        codes, recall = Codes.of(rows, self._space.similarity), 0.0
        for widened in _WIDENED:
            codes = replace(codes, widened=widened)
            recall = self._recall(rows, codes)
            if recall >= self.settings.wanted_recall:
                break
        if recall >= self.settings.min_recall:
            return codes
        warnings.warn(
            f"scan codes of {len(rows.ids)} vectors of {self._space.short} find {recall:.3f} of the true "
            f"neighbours, wanted {self.settings.min_recall}: scanning exactly instead, which is slower",
            LowRecall,
            stacklevel=4,
        )
        return None

    def _recall(self, rows: Rows, codes: Codes) -> float:
        # The index's own rows, each moved about as far again as it lies from the mean: as near to it as a
        # question is to its answer. Scores are comparable bit for bit, so a tie counts as found.
        rng = np.random.default_rng(len(rows.ids))
        own = rows.take(rng.integers(0, len(rows.ids), self.settings.sample))
        away = np.linalg.norm(own - own.mean(axis=0), axis=1, keepdims=True)
        noise = rng.standard_normal(own.shape).astype(np.float32)
        # float32 throughout: queries in float64 would have all rows copied to it.
        queries = own + noise * (away / np.float32(np.sqrt(own.shape[1])))
        truth = search_rows(queries, rows, 10, self._space.similarity, None)
        found = self._coded(rows, codes, queries, 10, None)
        hits = sum(int((f.scores >= t.scores[-1]).sum()) for f, t in zip(found, truth, strict=True) if len(t))
        return hits / max(1, sum(len(t) for t in truth))

    def search(
        self, queries: Vectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` most similar of the allowed ids for each query, nearly all of them; ties in order of id.

        Raises SpaceMismatch for queries of another space, InvalidInput for k < 1.
        """
        wanted, data = checked_k(k), comparable(self._space, queries)
        state = self._state
        allowed = None if where is None else self._filters.of(where, state.rows)
        if state.codes is None or (allowed is not None and self._are_few(len(allowed), state.codes, wanted)):
            return search_rows(data, state.rows, wanted, self._space.similarity, allowed)
        return self._coded(state.rows, state.codes, data, wanted, allowed)

    def _are_few(self, allowed: int, codes: Codes, k: int) -> bool:
        """Whether scoring all the allowed costs less than finding some of them by their codes."""
        if self.settings.filtered_exactly is not None:
            return allowed <= self.settings.filtered_exactly
        # In rows scored exactly, as measured: codes take a twentieth each, and 5 for each candidate to fetch.
        return allowed <= codes.coded / 20 + 5 * to_fetch(self._needed(codes, k), allowed, codes.coded)

    def _needed(self, codes: Codes, k: int) -> int:
        return codes.widened * self.settings.rescored + self.settings.per_result * k

    def _coded(
        self,
        rows: Rows,
        codes: Codes,
        queries: Float[np.ndarray, "queries dim"],
        k: int,
        allowed: Allowed | None,
    ) -> list[Ranking]:
        coded, need = CodedRows(rows, codes, allowed), self._needed(codes, k)
        return search_coded(queries, coded, k, need, self._space.similarity)

    def save(self, folder: Path, *, stamp: int) -> None:
        """Write what has changed since the last save to this folder; see `gnomon.index.saved`."""
        with self._lock:
            state, lineage = self._state, self._store.lineage
            content = Content(state.rows, lineage, self._space, self.settings.rows, state.codes)
            self._saved = save(folder, content, stamp, self._saved)

    @classmethod
    def load(cls, folder: Path, space: Space, settings: ScanSettings | None = None) -> tuple[ScanIndex, int]:
        """What was saved, with its stamp; rows and codes stay on disk and are read as they are needed.

        Raises IndexDamaged for files that are missing, damaged, or of another space or settings.
        """
        settings = settings or ScanSettings()
        content, saved, stamp = load(folder, space, settings.rows)
        index = cls(space, settings, store=RowStore(content.rows, half=settings.rows == "float16"))
        index._saved = saved.of(index._store.lineage)
        index._state = _State(content.rows, content.codes)
        return index, stamp


def _is_outgrown(codes: Codes, total: int, added: int) -> bool:
    """Whether the mean of the codes is to be taken anew: a pass over all rows, which a few do not set off."""
    return total > (2 if added * 64 >= total else 4) * codes.trained
