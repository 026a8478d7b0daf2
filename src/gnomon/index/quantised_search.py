"""Search by quantised codes with exact rescoring, and its recall, measured on the index's own rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.core.batching import in_blocks
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Ranking
from gnomon.core.space import Similarity
from gnomon.core.vector_types import VectorType, require_vector_type
from gnomon.index.ann import Codes
from gnomon.index.arguments import AllowedItems
from gnomon.index.exact import candidates, rank, rounding_slack, search_rows, sort_keys
from gnomon.index.rows import RowSnapshot

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


@dataclass(frozen=True, eq=False)
class CodedRows:
    """Rows, the codes of the first of them, and the items that may be found (None: all that are live)."""

    rows: RowSnapshot
    codes: Codes
    allowed: AllowedItems | None

    def admitted(self) -> Bool[np.ndarray, " items"] | None:
        """Which positions may be found; None: every one."""
        return self.rows.live if self.allowed is None else self.allowed.mask


def candidates_needed(settings: ScanSettings, codes: Codes, k: int) -> int:
    """How many candidates a search for `k` rescores."""
    return codes.candidates(settings.rescored) + settings.per_result * k


def search_coded(
    queries: Float[np.ndarray, "queries dim"], coded: CodedRows, k: int, *, need: int, similarity: Similarity
) -> list[Ranking]:
    """The `k` best items for each query, of `need` candidates by code and of all rows that have none."""
    rows, good = coded.rows, coded.admitted()
    late = len(rows.ids) - coded.codes.coded
    block = max(1, _CELLS // max(need, late))
    found = []
    for some in in_blocks(queries, block):
        near = _by_code(coded.codes, some, k, need=need, good=good)
        last = _uncoded(some, coded, k, similarity=similarity, good=good) if late else [near[0][:0]] * len(some)
        for query, early, others in zip(some, near, last, strict=True):
            found.append(rank(query, rows, np.concatenate([early, others]), k=k, similarity=similarity))
    return found


def _by_code(
    codes: Codes,
    queries: Float[np.ndarray, "queries dim"],
    k: int,
    *,
    need: int,
    good: np.ndarray[Any, Any] | None,
) -> list[Int[np.ndarray, " some"]]:
    good = None if good is None else good[: codes.coded]
    if need >= codes.coded:
        return [np.arange(codes.coded) if good is None else np.flatnonzero(good)] * len(queries)
    if good is None:
        found = [own[own >= 0] for own in codes.nearest(queries, need)]
        # A graph of many equal rows can fall apart, and lists can be short.
        return [own if len(own) >= min(k, need) else np.arange(codes.coded) for own in found]
    total = int(np.count_nonzero(good))
    few = min(need, _FEW * k) if codes.method.ranks_well else need
    few = min(few, total)
    fetch = max(fetch_count(few, total, codes.coded), min(need, total))
    return [_admitted(codes, query[None], few, fetch=fetch, good=good) for query in queries]


def fetch_count(need: int, allowed: int, coded: int) -> int:
    """Candidates to fetch for `need` that are allowed: more in proportion, as the codes know no filter."""
    return int(1.5 * need * coded / max(allowed, 1)) + 16


def _admitted(
    codes: Codes, query: Float[np.ndarray, "1 dim"], need: int, *, fetch: int, good: np.ndarray[Any, Any]
) -> Int[np.ndarray, " some"]:
    while fetch < codes.coded // 4:
        near = codes.nearest(query, fetch, reach=max(1.0, fetch / need))[0]
        near = near[near >= 0]
        kept = near[good[near]]
        if len(kept) >= need:
            return np.asarray(kept[:need])
        # Those that may be found lie far from this query.
        fetch *= 4
    return np.flatnonzero(good)


def _uncoded(
    queries: Float[np.ndarray, "queries dim"],
    coded: CodedRows,
    k: int,
    *,
    similarity: Similarity,
    good: np.ndarray[Any, Any] | None,
) -> list[Int[np.ndarray, " some"]]:
    rows, first = coded.rows, coded.codes.coded
    keys = sort_keys(queries, rows, similarity, first=first)
    if good is not None:
        keys[:, ~good[first:]] = -np.inf
    lengths = np.sqrt(np.vecdot(queries, queries)).tolist()
    pairs = zip(keys, lengths, strict=True)
    return [first + candidates(own, k, rounding_slack(rows, length, similarity)) for own, length in pairs]


_NEAREST = 10


def tune_width(
    rows: RowSnapshot, codes: Codes, similarity: Similarity, *, settings: ScanSettings, most: int | None = None
) -> tuple[Codes, float]:
    """The codes at the least width that reaches the wanted recall, or at the widest, and their recall.

    `most` bounds the widths that are tried.
    """
    queries = _sample_queries(rows, settings.sample)
    truth = search_rows(queries, rows, _NEAREST, similarity=similarity, allowed=None)
    recall = 0.0
    for step in codes.method.widths:
        if most is not None and step > most:
            break
        codes = replace(codes, width=step, checked=len(rows.ids))
        need = candidates_needed(settings, codes, _NEAREST)
        found = search_coded(queries, CodedRows(rows, codes, None), _NEAREST, need=need, similarity=similarity)
        recall = _measured_recall(found, truth)
        if recall >= settings.wanted_recall:
            break
    return codes, recall


def _sample_queries(rows: RowSnapshot, count: int) -> Float[np.ndarray, "count dim"]:
    # The index's own rows, each moved about as far again as it lies from the mean: as near to it as a
    # question is to its answer.
    rng = np.random.default_rng(len(rows.ids))
    own = rows.take(rng.integers(0, len(rows.ids), count))
    away = np.linalg.norm(own - own.mean(axis=0), axis=1, keepdims=True)
    noise = rng.standard_normal(own.shape).astype(np.float32)
    # float32 throughout: queries in float64 would have all rows copied to it.
    return np.asarray(own + noise * (away / np.float32(np.sqrt(own.shape[1]))))


def _measured_recall(found: list[Ranking], truth: list[Ranking]) -> float:
    # Scores are comparable bit for bit, so a tie counts as found.
    hits = sum(int((f.scores >= t.scores[-1]).sum()) for f, t in zip(found, truth, strict=True) if len(t))
    return hits / max(1, sum(len(t) for t in truth))
