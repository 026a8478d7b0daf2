"""One pass over the vectors of another store: counts, lengths, what cannot be, and a sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from gnomon.core.contracts import Array
from gnomon.evolve.examining.stores.source import Batch


@dataclass
class Tally:
    """What a pass saw. Ids stand for rows; `lengths` are those of finite vectors that are not zero.

    `sample` are rows with text and a usable vector, each with the same chance, by the vector's dimensions.
    """

    rows: int = 0
    dims: Counter[int] = field(default_factory=Counter)
    no_vector: list[str] = field(default_factory=list)
    no_text: list[str] = field(default_factory=list)
    not_finite: list[str] = field(default_factory=list)
    zero: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    by_dim: dict[int, list[str]] = field(default_factory=dict)
    lengths: list[Array] = field(default_factory=list)
    sample: dict[int, list[tuple[str, str, Array]]] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """The dimensions that most vectors have; 0 without any."""
        return self.dims.most_common(1)[0][0] if self.dims else 0


_FEW = 20  # ids kept of rows of each number of dimensions


def tallied(batches: Iterable[Batch], size: int) -> Tally:
    """Go through all of it; memory grows by a few bytes a vector."""
    out, random = Tally(), np.random.default_rng(0)
    seen: set[bytes] = set()
    drawn: Counter[int] = Counter()
    for batch in batches:
        norms = []
        for key, vector, text in zip(batch.ids, batch.vectors, batch.texts, strict=True):
            out.rows += 1
            is_text = bool(text and text.strip())
            if not is_text:
                out.no_text.append(key)
            if vector is None or not len(vector):
                out.no_vector.append(key)
                continue
            dim = len(vector)
            out.dims[dim] += 1
            if len(out.by_dim.setdefault(dim, [])) < _FEW:
                out.by_dim[dim].append(key)
            length = float(np.linalg.norm(vector.astype(np.float64)))
            if not np.isfinite(length):
                out.not_finite.append(key)
                continue
            if length == 0:
                out.zero.append(key)
                continue
            norms.append(length)
            digest = blake2b(vector.tobytes(), digest_size=12).digest()
            if digest in seen:
                out.twice.append(key)
            seen.add(digest)
            if is_text and text is not None:
                _draw(out, drawn, (key, text, vector), size, random)
        out.lengths.append(np.array(norms, dtype=np.float64))
    return out


def _draw(
    out: Tally, drawn: Counter[int], row: tuple[str, str, Array], size: int, random: np.random.Generator
) -> None:
    """Each with the same chance (Vitter 1985, algorithm R)."""
    dim = len(row[2])
    drawn[dim] += 1
    held = out.sample.setdefault(dim, [])
    if len(held) < size:
        held.append(row)
    elif (at := int(random.integers(drawn[dim]))) < size:
        held[at] = row
