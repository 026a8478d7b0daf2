"""Short codes of rows, scanned instead of the rows to find candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    way (a narrow cone) keep their neighbours. `trained` is how many rows there were when the mean was taken;
    `widened`, how many times the usual candidates these vectors need. Never changed once made: searches of
    several threads share it.
    """

    index: Any
    coded: int
    trained: int
    widened: int = 1

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
        index = _deserialised(self.to_bytes())
        _append(index, rows, self.coded)
        return replace(self, index=index, coded=len(rows.ids))

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

    def counts(self) -> dict[str, int]:
        """What `from_bytes` needs beside the bytes."""
        return {"coded": self.coded, "trained": self.trained, "widened": self.widened}

    @staticmethod
    def from_bytes(content: np.ndarray[Any, Any], counts: Mapping[str, int]) -> Codes:
        """What `to_bytes` and `counts` gave. Raises ValueError when it is not that."""
        try:
            index = _deserialised(content)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from error
        if index.ntotal != counts["coded"]:
            raise ValueError(f"codes of {index.ntotal} rows, not {counts['coded']}")
        return Codes(index, counts["coded"], counts["trained"], counts["widened"])


def codes_bytes(rows: int, dim: int) -> int:
    """About how much memory making the codes of so many rows takes: twice the codes, as they are copied."""
    return 2 * rows * (dim // 8 + 8) + min(rows, _TRAINED_ON) * dim * 4


def _deserialised(content: np.ndarray[Any, Any]) -> Any:
    import faiss

    return faiss.deserialize_index(content)


def _append(index: Any, rows: Rows, first: int) -> None:
    for _, piece in rows.pieces(first):
        for at in range(0, len(piece), PIECE):
            index.add(np.ascontiguousarray(piece[at : at + PIECE]))
