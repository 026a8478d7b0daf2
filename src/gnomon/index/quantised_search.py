"""Search by quantised codes with exact rescoring, and its recall, measured on the index's own rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.core.batching import in_blocks
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Ranking
from gnomon.core.space import Similarity
from gnomon.core.vector_types import VectorType, require_vector_type
from gnomon.index.arguments import AllowedItems
from gnomon.index.exact import exact_scores, search_rows
from gnomon.index.rows import PIECE, RowSnapshot
from gnomon.index.segments import Keys, Look, RowSource, Segment, keys_by_code, nearest_by_code, read_rows
from gnomon.kernels.ranking import top_k

Find = Literal["exact", "scan", "hnsw", "ivf"]
Chosen = Literal["auto", "exact", "hnsw", "ivf"]
"""What a user chooses by name; auto is the scan."""


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """When codes are made, of which kind, and how much is rescored.

    Up to `exact_below` rows are scanned exactly. A search rescores `rescored` candidates and `per_result`
    more for each result asked for, up to 8 times as many where it takes that to find `wanted_recall` of the
    ten nearest of `sample` queries. Codes that even so find less than `min_recall` are not used. Filters that
    allow up to `filtered_exactly` ids skip the codes (None: where that costs less). `rows` is how rows are
    kept (`core.vector_types`): float16 halves disk and memory, and rounds each number to 11 bits; int8 takes a
    quarter, binary a thirty-second. `find` is how candidates are
    found: by a scan of short codes, along a graph (hnsw), among the codes of the nearest lists (ivf), or not
    at all (exact: every row is compared at any size).
    """

    exact_below: int = 20_000
    rescored: int = 300
    per_result: int = 4
    filtered_exactly: int | None = None
    wanted_recall: float = 0.998
    min_recall: float = 0.99
    sample: int = 64
    rows: VectorType = "float32"
    find: Find = "scan"

    def __post_init__(self) -> None:
        require_vector_type(self.rows)
        if self.find not in get_args(Find):
            raise InvalidInput(f"find {self.find!r}", expected=f"one of {', '.join(get_args(Find))}")
        if not 0 <= self.min_recall <= self.wanted_recall <= 1:
            raise InvalidInput(
                f"min_recall {self.min_recall} and wanted_recall {self.wanted_recall}",
                expected="0 <= min_recall <= wanted_recall <= 1",
            )
        if min(self.rescored, self.per_result, self.sample) < 1 or self.exact_below < 0:
            raise InvalidInput("a scan setting below its least", expected="rescored, per_result, sample >= 1")


def require_chosen(name: str) -> None:
    """Raise InvalidInput, which names the choices, for anything else than one of them."""
    if name not in get_args(Chosen):
        raise InvalidInput(
            f"there is no index {name!r}",
            expected=f"one of {', '.join(get_args(Chosen))}",
            hint="take auto where you have measured nothing: it finds what exact finds",
        )


def chosen_settings(name: str, *, rows: VectorType = "float32") -> ScanSettings:
    """The settings for an index chosen by name. Raises InvalidInput for a name that is none.

    hnsw and ivf aim at 0.99 of the ten nearest rather than 0.998, as their gain is in what they leave out.
    """
    require_chosen(name)
    if name == "exact":
        return ScanSettings(find="exact", rows=rows)
    if name == "hnsw":
        return ScanSettings(find="hnsw", rescored=200, wanted_recall=0.99, rows=rows)
    if name == "ivf":
        return ScanSettings(find="ivf", wanted_recall=0.99, rows=rows)
    return ScanSettings(rows=rows)


_CELLS = 1 << 22
"""Candidates held at once: queries are taken in blocks of as many as fit."""
_FEW = 4
"""Candidates that may be found for each result, from a kind that orders them well."""
_DECODED = 32
"""The share of a segment's rows, one in so many, up to which the allowed ones are looked at singly."""

Positions = np.ndarray[Any, np.dtype[np.int64]]
Found = tuple[Keys, Positions]
"""Candidates of one segment: their keys, which fall as they get farther, and their positions."""


@dataclass(frozen=True, eq=False)
class CodedParts:
    """All items of an index: those in segments, and those in the `tail`, which have no codes and are scored exactly.

    `source` has the rows of the segments where these do not; `width` is how far codes are searched.
    """

    segments: tuple[Segment, ...]
    tail: RowSnapshot
    source: RowSource | None = None
    width: int = 1

    @property
    def coded(self) -> int:
        """Items in segments, those that are gone among them."""
        return sum(len(segment) for segment in self.segments)

    @property
    def count(self) -> int:
        """Items that are there."""
        return sum(segment.items.count for segment in self.segments) + self.tail.count

    def blocks(self) -> Iterator[tuple[Int[np.ndarray, " some"], Float[np.ndarray, "some dim"]]]:
        """Ids and rows of all items that are there, a piece at a time."""
        for segment in self.segments:
            for some in in_blocks(segment.live_positions(), PIECE):
                found, rows = read_rows(segment, some, self.source)
                yield segment.items.ids[found], rows
        live = self.tail.live
        places = np.arange(len(self.tail.ids)) if live is None else np.flatnonzero(live)
        for some in in_blocks(places, PIECE):
            yield self.tail.ids[some], self.tail.take(some)


@dataclass(frozen=True, eq=False)
class AllowedParts:
    """The items that a filter allows: of each segment, and of the tail."""

    segments: tuple[AllowedItems, ...]
    tail: AllowedItems

    @staticmethod
    def of(where: Int[np.ndarray, " ids"], parts: CodedParts) -> AllowedParts:
        """The items that are there whose ids are in `where`."""
        segments = tuple(AllowedItems.of(where, segment.items) for segment in parts.segments)
        return AllowedParts(segments, AllowedItems.of(where, parts.tail))

    @property
    def coded(self) -> int:
        """How many of them are in segments."""
        return sum(len(own) for own in self.segments)


def candidates_needed(settings: ScanSettings, parts: CodedParts, k: int) -> int:
    """How many candidates a search for `k` rescores."""
    several = bool(parts.segments) and parts.segments[0].codes.method.multiplies_candidates
    return settings.rescored * (parts.width if several else 1) + settings.per_result * k


def search_coded(
    queries: Float[np.ndarray, "queries dim"],
    parts: CodedParts,
    k: int,
    *,
    need: int,
    similarity: Similarity,
    allowed: AllowedParts | None = None,
) -> list[Ranking]:
    """The `k` best items for each query, of `need` candidates by code and of all that have none."""
    late = search_rows(queries, parts.tail, k, similarity=similarity, allowed=allowed.tail if allowed else None)
    hunt = _Hunt.of(parts, k, need=need, allowed=allowed)
    found = []
    for some in in_blocks(queries, max(1, _CELLS // max(1, sum(look.count for look in hunt.looks)))):
        near = nearest_by_code(parts.segments, some, hunt.looks)
        for at, query in enumerate(some):
            own = [hunt.enough(number, query, (keys[at], places[at])) for number, (keys, places) in enumerate(near)]
            found.append(_rescored(query, parts, _best(own, need), k=k, similarity=similarity))
    return [merged(pair, k) for pair in zip(found, late, strict=True)]


def search_exactly(
    queries: Float[np.ndarray, "queries dim"],
    parts: CodedParts,
    k: int,
    *,
    similarity: Similarity,
    allowed: AllowedParts | None = None,
) -> list[Ranking]:
    """The `k` best of all items, or of the allowed ones, by the exact scores of each."""
    if not parts.segments:
        return search_rows(queries, parts.tail, k, similarity=similarity, allowed=allowed.tail if allowed else None)
    found = [Ranking.empty() for _ in queries]
    for ids, rows in parts.blocks() if allowed is None else _allowed_blocks(parts, allowed):
        more = search_rows(queries, _snapshot(ids, rows), k, similarity=similarity, allowed=None)
        found = [merged(pair, k) for pair in zip(found, more, strict=True)]
    return found


def _allowed_blocks(parts: CodedParts, allowed: AllowedParts) -> Iterator[tuple[Any, Any]]:
    for segment, own in zip(parts.segments, allowed.segments, strict=True):
        for some in in_blocks(own.positions, PIECE):
            found, rows = read_rows(segment, some, parts.source)
            yield segment.items.ids[found], rows
    for some in in_blocks(allowed.tail.positions, PIECE):
        yield parts.tail.ids[some], parts.tail.take(some)


def _snapshot(ids: Int[np.ndarray, " some"], rows: Float[np.ndarray, "some dim"]) -> RowSnapshot:
    squares = np.vecdot(rows, rows)
    return RowSnapshot(ids, rows, rows[:0], None, None, squares, len(ids), float(np.sqrt(squares.max(initial=0))))


def merged(rankings: Sequence[Ranking], k: int) -> Ranking:
    """The `k` best of several rankings of different items."""
    ids, scores = (np.concatenate([getattr(one, name) for one in rankings]) for name in ("ids", "scores"))
    return Ranking(*top_k(scores, ids, k))


@dataclass(frozen=True, eq=False)
class _Hunt:
    """What each segment is asked for, and which of its items may be found (None: all)."""

    parts: CodedParts
    good: tuple[Bool[np.ndarray, " items"] | None, ...]
    looks: tuple[Look, ...]
    wanted: tuple[int, ...]

    @staticmethod
    def of(parts: CodedParts, k: int, *, need: int, allowed: AllowedParts | None) -> _Hunt:
        """For the `k` best of `need` candidates."""
        good: list[Any] = []
        looks, wanted = [], []
        for number, segment in enumerate(parts.segments):
            mask = segment.items.live if allowed is None else allowed.segments[number].mask
            total = segment.items.count if allowed is None else len(allowed.segments[number])
            if mask is None:
                count, few, reach = min(need, total), min(k, need, total), 1.0
            else:
                few = min(min(need, _FEW * k) if segment.codes.method.ranks_well else need, total)
                count = max(fetch_count(few, total, len(segment)), min(need, total))
                reach = max(1.0, count / max(1, few))
                if total <= max(few, len(segment) // _DECODED) or count >= len(segment) // 4:
                    count = 1  # the allowed ones are looked at singly
            good.append(mask)
            looks.append(Look(min(max(count, 1), len(segment)), parts.width * reach))
            wanted.append(few)
        return _Hunt(parts, tuple(good), tuple(looks), tuple(wanted))

    def enough(self, number: int, query: Float[np.ndarray, " dim"], found: Found) -> Found:
        """What was found in a segment without what may not be; more where that is not enough."""
        keys, places = found
        segment, mask, wanted = self.parts.segments[number], self.good[number], self.wanted[number]
        kept = places >= 0
        if mask is not None:
            kept[kept] = mask[places[kept]]
        if kept.sum() >= wanted:
            return keys[kept], places[kept]
        # The allowed are few, or lie far from this query; or a graph of many equal rows fell apart, lists were short.
        every = np.arange(len(segment)) if mask is None else np.flatnonzero(mask)
        known = None if self.parts.source is None else keys_by_code(segment, query, every)
        return (np.full(len(every), np.inf, dtype=np.float32), every) if known is None else (known, every)


def _best(found: Sequence[Found], need: int) -> list[Positions]:
    """The positions of the `need` best over all segments, and of all whose keys are not known."""
    keys = np.concatenate([own for own, _ in found]) if found else np.zeros(0, dtype=np.float32)
    if len(keys) <= need:
        return [places for _, places in found]
    least = np.partition(keys, len(keys) - need)[len(keys) - need]
    return [places[own >= least] for own, places in found]


def fetch_count(need: int, allowed: int, coded: int) -> int:
    """Candidates to fetch for `need` that are allowed: more in proportion, as the codes know no filter."""
    return int(1.5 * need * coded / max(allowed, 1)) + 16


def _rescored(
    query: Float[np.ndarray, " dim"],
    parts: CodedParts,
    chosen: Sequence[Positions],
    *,
    k: int,
    similarity: Similarity,
) -> Ranking:
    pairs = [(segment, own) for segment, own in zip(parts.segments, chosen, strict=True) if len(own)]
    if not pairs:
        return Ranking.empty()
    ids = np.concatenate([segment.items.ids[own] for segment, own in pairs])
    if parts.source is None:
        rows = np.concatenate([segment.items.take(own) for segment, own in pairs])
    else:
        found, rows = parts.source.read(ids, np.concatenate([segment.places[own] for segment, own in pairs]))
        ids = ids[found]
    return Ranking(*top_k(exact_scores(query, rows, similarity), ids, k))


_NEAREST = 10


def tune_width(
    parts: CodedParts, similarity: Similarity, *, settings: ScanSettings, most: int | None = None
) -> tuple[int, float]:
    """The least width that reaches the wanted recall, or the widest, and its recall.

    `most` bounds the widths that are tried. All rows are read once, a piece at a time.
    """
    queries = _sample_queries(parts, settings.sample)
    truth = search_exactly(queries, parts, _NEAREST, similarity=similarity)
    width, recall = 1, 0.0
    for step in parts.segments[0].codes.method.widths:
        if most is not None and step > most:
            break
        width, wider = step, replace(parts, width=step)
        need = candidates_needed(settings, wider, _NEAREST)
        recall = _measured_recall(search_coded(queries, wider, _NEAREST, need=need, similarity=similarity), truth)
        if recall >= settings.wanted_recall:
            break
    return width, recall


def _sample_queries(parts: CodedParts, count: int) -> Float[np.ndarray, "count dim"]:
    # The index's own rows, each moved about as far again as it lies from the mean: as near to it as a
    # question is to its answer.
    rng = np.random.default_rng(parts.count)
    own = _rows_at(parts, np.sort(rng.integers(0, parts.coded + len(parts.tail.ids), count)))
    away = np.linalg.norm(own - own.mean(axis=0), axis=1, keepdims=True)
    noise = rng.standard_normal(own.shape).astype(np.float32)
    # float32 throughout: queries in float64 would have all rows copied to it.
    return np.asarray(own + noise * (away / np.float32(np.sqrt(own.shape[1]))))


def _rows_at(parts: CodedParts, positions: Int[np.ndarray, " some"]) -> Float[np.ndarray, "some dim"]:
    """The rows at these rising positions over segments and tail; none for those that the source no longer has."""
    rows, first = [], 0
    for segment in parts.segments:
        own = positions[(positions >= first) & (positions < first + len(segment))] - first
        rows.append(read_rows(segment, own, parts.source)[1])
        first += len(segment)
    return np.concatenate([*rows, parts.tail.take(positions[positions >= first] - first)])


def _measured_recall(found: Iterable[Ranking], truth: Sequence[Ranking]) -> float:
    # Scores are comparable bit for bit, so a tie counts as found.
    hits = sum(int((f.scores >= t.scores[-1]).sum()) for f, t in zip(found, truth, strict=True) if len(t))
    return hits / max(1, sum(len(t) for t in truth))
