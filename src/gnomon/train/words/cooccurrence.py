"""How often words stand near each other, nearer ones counting more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput
from gnomon.train.words.corpus import Corpus

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
            wanted="the extra for word vectors",
            next_step='pip install "gnomon[words]"',
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
        near = list(_near(corpus.tokens, passage, (start, start + _BLOCK_TOKENS), window))
        first, second, values = (np.concatenate(column) for column in zip(*near, strict=True))
        total = total + csr_array((values, (first, second)), shape=shape)
    total = (total + total.T).tocsr()
    total.sort_indices()
    return total


def _near(
    tokens: Int[np.ndarray, " tokens"],
    passage: Int[np.ndarray, " tokens"],
    block: tuple[int, int],
    window: int,
) -> Iterator[tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]]:
    """Pairs at each distance whose first word lies in the block, with what they contribute."""
    start, end = block
    for distance in range(1, window + 1):
        last = max(start, min(end, len(tokens) - distance))
        ours, theirs = slice(start, last), slice(start + distance, last + distance)
        same = passage[ours] == passage[theirs]
        yield tokens[ours][same], tokens[theirs][same], np.full(same.sum(), 1 / distance, dtype=np.float32)
