"""Short codes of rows, scanned instead of the rows to find candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.space import Similarity
from gnomon.index.rows import PIECE, Rows

_TRAINED_ON = 65_536


@dataclass(frozen=True, eq=False)
class Codes:
    """One bit a dimension for the first `coded` rows: RaBitQ (Gao and Long 2024, arXiv:2405.12497), by FAISS.

    What is coded is each row's difference from the mean of the rows, so that vectors which all point the same
    way (a narrow cone) keep their neighbours. `trained` is how many rows there were when the mean was taken.
    Never changed once made: searches of several threads share it.
    """

    index: Any
    coded: int
    trained: int

    @staticmethod
    def of(rows: Rows, similarity: Similarity) -> Codes:
        """The codes of all rows."""
        import faiss

        total, dim = len(rows.ids), (rows.tail if len(rows.tail) else rows.base).shape[1]
        metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
        index = faiss.IndexRaBitQFastScan(dim, metric)
        sample = np.linspace(0, total - 1, min(total, _TRAINED_ON)).astype(np.int64)
        index.train(rows.take(sample))
        _append(index, rows, 0)
        return Codes(index, total, total)

    def extended(self, rows: Rows) -> Codes:
        """These codes and those of the rows behind them, by the same mean; a copy, as searches go on."""
        index = Codes.from_bytes(self.to_bytes(), self.coded, self.trained).index
        _append(index, rows, self.coded)
        return Codes(index, len(rows.ids), self.trained)

    def nearest(
        self, queries: Float[np.ndarray, "queries dim"], count: int
    ) -> Int[np.ndarray, "queries count"]:
        """Positions of the `count` rows that look nearest to each query, nearest first."""
        _, positions = self.index.search(queries, count)
        return np.asarray(positions)

    def to_bytes(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """FAISS's own serialised form."""
        import faiss

        return np.asarray(faiss.serialize_index(self.index))

    @staticmethod
    def from_bytes(content: np.ndarray[Any, Any], coded: int, trained: int) -> Codes:
        """What `to_bytes` gave. Raises ValueError when it is not that."""
        import faiss

        try:
            index = faiss.deserialize_index(content)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from error
        if index.ntotal != coded:
            raise ValueError(f"codes of {index.ntotal} rows, not {coded}")
        return Codes(index, coded, trained)


def _append(index: Any, rows: Rows, first: int) -> None:
    for _, piece in rows.pieces(first):
        for at in range(0, len(piece), PIECE):
            index.add(np.ascontiguousarray(piece[at : at + PIECE]))
