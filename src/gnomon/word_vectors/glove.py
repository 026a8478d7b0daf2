"""GloVe: vectors whose products fit the logarithms of co-occurrence counts. numpy and scipy.sparse.

Pennington, Socher and Manning 2014, "GloVe: Global Vectors for Word Representation". What is made small is

    J = 1/2 sum_ij f(X_ij) (w_i . c_j + b_i + d_j - log X_ij)^2,   f(x) = min(1, (x / x_max) ** alpha)

(equations 8 and 9) over all pairs of words with a count X_ij, with AdaGrad (Duchi, Hazan and Singer 2011).
The result is w + c. The original takes one count after another. Here the words are dealt into parts at
random, and one step takes a tile, in random order: all counts of the words of one part with those of another
(as Gemulla et al. 2011 do for matrix factorisation). A tile's sums are sparse matrix products over rows that
fit the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.word_vectors.corpus import Corpus
from gnomon.word_vectors.settings import GloveSettings, WordSettings
from gnomon.word_vectors.vectors import WordVectors

_BLOCK_TOKENS = 1_000_000
Sparse = Any
"""scipy.sparse's csr_array; scipy comes with gensim."""


def sparse() -> Any:
    """scipy.sparse. Raises InvalidInput where scipy is not installed."""
    try:
        import scipy.sparse
    except ImportError as error:
        raise InvalidInput(
            f"GloVe needs scipy, which cannot be imported: {error}",
            expected="the extra for word vectors",
            hint='pip install "gnomon[words]"',
        ) from error
    return scipy.sparse


def co_occurrences(corpus: Corpus, window: int) -> Sparse:
    """A symmetric matrix [words, words], float32 CSR: 1 / distance for each two words at most `window` apart.

    No window reaches over a passage's end. Pennington, Socher and Manning 2014, "GloVe: Global Vectors for
    Word Representation", section 4.2: "word pairs that are d words apart contribute 1/d to the total count".
    """
    csr_array = sparse().csr_array
    shape = (len(corpus.words), len(corpus.words))
    passage = np.zeros(len(corpus.tokens), dtype=np.int32)
    passage[corpus.starts[1:]] = 1
    np.cumsum(passage, out=passage)
    total = csr_array(shape, dtype=np.float32)
    for start in range(0, len(corpus.tokens), _BLOCK_TOKENS):
        near = list(_near(corpus.tokens, passage, (start, start + _BLOCK_TOKENS), window=window))
        first, second, values = (np.concatenate(column) for column in zip(*near, strict=True))
        total = total + csr_array((values, (first, second)), shape=shape)
    total = (total + total.T).tocsr()
    total.sort_indices()
    return total


def _near(
    tokens: Int[np.ndarray, " tokens"],
    passage: Int[np.ndarray, " tokens"],
    block: tuple[int, int],
    *,
    window: int,
) -> Iterator[tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]]:
    """Pairs at each distance whose first word lies in the block, with what they contribute."""
    start, end = block
    for distance in range(1, window + 1):
        last = max(start, min(end, len(tokens) - distance))
        ours, theirs = slice(start, last), slice(start + distance, last + distance)
        same = passage[ours] == passage[theirs]
        yield tokens[ours][same], tokens[theirs][same], np.full(same.sum(), 1 / distance, dtype=np.float32)


PART_WORDS = 1024
"""Words in a part: 0.8 MB of each table at 200 dimensions."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Counts of words `first` with words `second`, in CSR order: `ends` closes each row.

    `across` brings the entries into the order of the columns, whose rows `column_ends` closes. `goal` is
    log X, `weight` f(X).
    """

    first: slice
    second: slice
    rows: Int[np.ndarray, " n"]
    columns: Int[np.ndarray, " n"]
    ends: Int[np.ndarray, " _"]
    across: Int[np.ndarray, " n"]
    column_ends: Int[np.ndarray, " _"]
    goal: Float[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two embedding tables with its biases and AdaGrad's sums; all updated in place."""

    rows: Float[np.ndarray, "words dim"]
    bias: Float[np.ndarray, " words"]
    rows_squared: Float[np.ndarray, "words dim"]
    bias_squared: Float[np.ndarray, " words"]

    @classmethod
    def random(cls, words: int, dim: int, rng: np.random.Generator) -> Side:
        """Small random values, and sums that start at 1, as in the original."""
        rows = ((rng.random((words, dim), dtype=np.float32) - 0.5) / dim).astype(np.float32)
        bias = ((rng.random(words, dtype=np.float32) - 0.5) / dim).astype(np.float32)
        return cls(rows, bias, np.ones_like(rows), np.ones_like(bias))

    def step(
        self,
        part: slice,
        rows: Float[np.ndarray, "part dim"],
        bias: Float[np.ndarray, " part"],
        *,
        rate: float,
    ) -> None:
        """AdaGrad as in the authors' code, which sums the squares of what is already scaled by the rate."""
        for values, squared, gradient in (
            (self.rows[part], self.rows_squared[part], rows),
            (self.bias[part], self.bias_squared[part], bias),
        ):
            move = rate * gradient
            squared += move * move
            values -= move / np.sqrt(squared)


def train_glove(
    corpus: Corpus, settings: WordSettings, progress: ProgressCallback, *, part_words: int = PART_WORDS
) -> WordVectors:
    """Word vectors by GloVe. The same corpus and settings give the same vectors, whatever `workers` is.

    Raises InvalidInput where scipy is not installed, and where no two words stand near each other.
    """
    rng = np.random.default_rng(settings.seed)
    size = len(corpus.words)
    dealt = rng.permutation(size).astype(np.int32)
    counts = co_occurrences(replace(corpus, tokens=dealt[corpus.tokens]), settings.window)
    if counts.nnz == 0:
        raise InvalidInput(
            f"{len(corpus.tokens)} words, none of them near another",
            expected="passages of at least two words that come often enough",
            hint="give longer texts, or a lower min_count",
        )
    tiles = tiles_of(counts, math.ceil(size / part_words), settings.glove)
    sides = (Side.random(size, settings.dim, rng), Side.random(size, settings.dim, rng))
    for epoch in range(1, settings.epochs + 1):
        done, loss = 0, 0.0
        for number, at in enumerate(rng.permutation(len(tiles)), 1):
            loss += step(sides, tiles[at], settings.learning_rate)
            done += len(tiles[at].goal)
            if number % 50 == 0 or number == len(tiles):
                before, total = (epoch - 1) * counts.nnz, settings.epochs * counts.nnz
                metrics = {"epoch": epoch, "loss": loss / done}
                progress(Progress("training", before + done, total, "co-occurrence", metrics=metrics))
    rows = (sides[0].rows + sides[1].rows)[dealt]
    lower = settings.lowercase
    return WordVectors.of(corpus.words, rows, name="glove", counts=corpus.counts, lowercase=lower)


def step(sides: Sequence[Side], tile: Tile, rate: float) -> float:
    """One AdaGrad step on a tile. Returns its loss before the step."""
    csr_array = sparse().csr_array
    words, contexts = sides
    left, right = words.rows[tile.first], contexts.rows[tile.second]
    products = np.einsum("nd,nd->n", left.take(tile.rows, axis=0), right.take(tile.columns, axis=0))
    products += words.bias[tile.first].take(tile.rows) + contexts.bias[tile.second].take(tile.columns)
    products -= tile.goal
    pull = tile.weight * products
    across = pull.take(tile.across)
    along = csr_array((pull, tile.columns, tile.ends), shape=(len(left), len(right)))
    back = csr_array((across, tile.rows.take(tile.across), tile.column_ends), shape=(len(right), len(left)))
    # Both gradients before either side moves.
    gradients = (along @ right, _sums(pull, tile.ends)), (back @ left, _sums(across, tile.column_ends))
    words.step(tile.first, *gradients[0], rate=rate)
    contexts.step(tile.second, *gradients[1], rate=rate)
    return float(0.5 * (pull @ products))


def tiles_of(counts: Sparse, parts: int, settings: GloveSettings) -> list[Tile]:
    """The matrix cut into parts x parts tiles; empty ones are left out."""
    edges = np.linspace(0, counts.shape[0], parts + 1).astype(np.int64)
    spans = [slice(int(start), int(end)) for start, end in pairwise(edges)]
    tiles = []
    for first in spans:
        band = counts[first].tocsc()
        for second in spans:
            tile = band[:, second].tocsr()
            if tile.nnz:
                tiles.append(_tile(tile, first, second, settings=settings))
    return tiles


def _tile(counts: Sparse, first: slice, second: slice, *, settings: GloveSettings) -> Tile:
    x = counts.data.astype(np.float32)
    columns = counts.indices.astype(np.int32)
    rows = np.repeat(np.arange(counts.shape[0], dtype=np.int32), np.diff(counts.indptr))
    held = np.bincount(columns, minlength=counts.shape[1])
    return Tile(
        first,
        second,
        rows,
        columns,
        counts.indptr.astype(np.int32),
        np.argsort(columns, kind="stable").astype(np.int32),
        np.concatenate([[0], np.cumsum(held)]).astype(np.int32),
        np.log(x),
        np.minimum(1, (x / settings.x_max) ** settings.alpha).astype(np.float32),
    )


def _sums(values: Float[np.ndarray, " n"], ends: Int[np.ndarray, " _"]) -> Float[np.ndarray, " rows"]:
    """The sum of each row's values; 0 for a row without any."""
    running = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray(np.diff(running[ends]), dtype=np.float32)
