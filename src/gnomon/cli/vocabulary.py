"""The words of a collection's documents, with their vectors under its model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from gnomon.core.contracts import Encoder
    from gnomon.core.vectors import Vectors
    from gnomon.train.words import WordVectors

MOST_WORDS = 30_000
"""The most frequent words are taken: at a thousand a second the first time takes half a minute."""


def is_collection(path: Path) -> bool:
    """Whether a collection lies there."""
    return (path / "collection.db").is_file()


def texts_of_collection(folder: Path) -> Iterator[str]:
    """Each document's text, in order of their ids. Loads no model. Raises CollectionNotFound."""
    import gnomon

    with gnomon.open(folder, create=False) as kb:
        for document in sorted(kb.documents()):
            yield from (kb.text(document) or "").split("\n\n")


def vectors_of_collection(folder: Path, say: Callable[[str], None]) -> WordVectors:
    """A vector a word for the words of the documents, each encoded alone; kept in gnomon's cache.

    Raises CollectionNotFound, and InvalidInput for a collection without words that its model knows.
    """
    import gnomon
    from gnomon.train.words import WordVectors, corpus_of

    corpus = corpus_of(texts_of_collection(folder), min_count=1)
    with gnomon.open(folder, create=False, say=say) as kb:
        encoder = kb.encoder
    words = corpus.words[:MOST_WORDS]
    known = [count > 0 for count in encoder.count_tokens(words, role="document")]
    if not any(known):
        raise InvalidInput(
            f"{folder} has no word that {encoder.space.short} knows",
            wanted="documents in the model's language",
            next_step="index them with another model",
        )
    kept = tuple(word for word, is_known in zip(words, known, strict=True) if is_known)
    counts = corpus.counts[: len(words)][known]
    return WordVectors(kept, _encoded(encoder, kept, say), counts, lowercase=True)


def _encoded(encoder: Encoder, words: Sequence[str], say: Callable[[str], None]) -> Vectors:
    import numpy as np

    from gnomon.core.vectors import Vectors
    from gnomon.encode.digest import cache_home, digest_json

    kept = cache_home() / "words" / f"{digest_json([encoder.space.fingerprint, list(words)])[:32]}.npy"
    try:
        rows = np.load(kept, allow_pickle=False)
        if rows.shape == (len(words), encoder.space.dim):
            return Vectors(rows, encoder.space)
    except (OSError, ValueError):
        say(f"encoding {len(words):,} words with {encoder.space.name}, once")
    vectors = encoder.encode(words, role="document")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f".{os.getpid()}.npy")
        np.save(beside, vectors.data)
        beside.replace(kept)
    except OSError as error:
        say(f"the words' vectors are not kept: {error.strerror or error}")
    return vectors
