"""An inverted index over sparse rows: for each dimension the rows that have a value in it, and the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

_RADIX = np.iinfo(np.uint16).max


@dataclass(frozen=True, eq=False)
class Postings:
    """Rows by dimension. `ids` rise, one a row. Dimension `terms[i]` (rising) has the rows and the weights from
    `starts[i]` to `starts[i + 1]` of `rows` and `values`: 8 bytes a value.
    """

    ids: Int[np.ndarray, " rows"]
    terms: Int[np.ndarray, " terms"]
    starts: Int[np.ndarray, " terms+1"]
    rows: Int[np.ndarray, " values"]
    values: Float[np.ndarray, " values"]

    @staticmethod
    def of(
        ids: Int[np.ndarray, " rows"],
        *,
        owners: Int[np.ndarray, " values"],
        dimensions: Int[np.ndarray, " values"],
        values: Float[np.ndarray, " values"],
    ) -> Postings:
        """From the row, the dimension and the weight of each value; `ids` in any order."""
        order = np.argsort(ids, kind="stable")
        rank = np.empty(len(ids), dtype=np.int32)
        rank[order] = np.arange(len(ids), dtype=np.int32)
        # numpy sorts 16 bits by radix, and joins sorted runs of 32 bits in one pass.
        small = len(dimensions) == 0 or dimensions.max() <= _RADIX
        by_term = np.argsort(dimensions.astype(np.uint16) if small else dimensions, kind="stable")
        sorted_terms = dimensions[by_term]
        firsts = np.flatnonzero(np.diff(sorted_terms, prepend=-1))
        return Postings(
            ids=ids[order].astype(np.int64),
            terms=sorted_terms[firsts].astype(np.int32),
            starts=np.append(firsts, len(dimensions)).astype(np.int64),
            rows=rank[owners[by_term]],
            values=values[by_term].astype(np.float32),
        )

    @staticmethod
    def merged(parts: Sequence[tuple[Postings, Bool[np.ndarray, " rows"] | None]]) -> Postings:
        """All rows of several, without those that a mask says are gone. No id may be in two of them."""
        ids, owners, dimensions, values, first = [], [], [], [], 0
        for own, live in parts:
            rows, terms, weights = own.rows, np.repeat(own.terms, np.diff(own.starts)), own.values
            if live is not None:
                kept, number = live[rows], np.cumsum(live, dtype=np.int64) - 1
                rows, terms, weights = number[rows[kept]], terms[kept], weights[kept]
            ids.append(own.ids if live is None else own.ids[live])
            owners.append(rows.astype(np.int64) + first)
            dimensions.append(terms)
            values.append(weights)
            first += len(ids[-1])
        return Postings.of(
            np.concatenate(ids),
            owners=np.concatenate(owners),
            dimensions=np.concatenate(dimensions),
            values=np.concatenate(values),
        )

    def scores(self, dimensions: Int[np.ndarray, " _"], weights: Float[np.ndarray, " _"]) -> Float[np.ndarray, " rows"]:
        """The dot product of every row with a sparse query, summed in double precision: float32."""
        at = np.minimum(np.searchsorted(self.terms, dimensions), max(0, len(self.terms) - 1))
        known = np.flatnonzero(self.terms[at] == dimensions) if len(self.terms) else at[:0]
        spans = [slice(int(self.starts[i]), int(self.starts[i + 1])) for i in at[known]]
        if not spans:
            return np.zeros(len(self.ids), dtype=np.float32)
        products = [self.values[span] * weight for span, weight in zip(spans, weights[known], strict=True)]
        rows = np.concatenate([self.rows[span] for span in spans])
        summed = np.bincount(rows, weights=np.concatenate(products), minlength=len(self.ids))
        return np.asarray(summed, dtype=np.float32)

    def arrays(self) -> tuple[np.ndarray[Any, Any], ...]:
        """The five arrays, in the order in which they are saved."""
        return self.ids, self.terms, self.starts, self.rows, self.values
