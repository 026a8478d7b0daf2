"""fastText's .bin files, through gensim: words, counts and the buckets of n-grams."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.train.words.predicted import gensim_models
from gnomon.train.words.rows import unreadable
from gnomon.train.words.settings import SubwordSettings
from gnomon.train.words.subwords import Subwords
from gnomon.train.words.vectors import WordVectors


def load_fasttext(path: Path) -> WordVectors:
    """The word vectors of a .bin file. Buckets of zeros are left out, which changes no vector.

    Raises UnreadableFile for a file that is cut off, or of a classifier or a quantised model, which are other
    formats.
    """
    models = gensim_models()
    try:
        wv = models.fasttext.load_facebook_vectors(str(path))
    except (OSError, EOFError, ValueError, AssertionError, struct.error, NotImplementedError) as error:
        raise unreadable(path, "as a fastText model", error) from error
    subwords = None
    if wv.bucket:
        settings = SubwordSettings(int(wv.min_n), int(wv.max_n), int(wv.bucket))
        touched = np.flatnonzero(np.any(wv.vectors_ngrams, axis=1))
        subwords = Subwords(settings, touched, np.asarray(wv.vectors_ngrams[touched], dtype=np.float32))
    counts = np.array([wv.get_vecattr(word, "count") for word in wv.index_to_key], dtype=np.int64)
    return WordVectors.of(
        wv.index_to_key,
        np.asarray(wv.vectors, dtype=np.float32),
        name=path.name.partition(".")[0],
        counts=counts,
        subwords=subwords,
        lowercase=all(word == word.lower() for word in wv.index_to_key),
    )


def write_fasttext(vectors: WordVectors, path: Path) -> None:
    """A .bin file that fastText and gensim read. Its output layer is zero: it is to look up, not to train on.

    Raises InvalidInput for vectors without n-grams or counts, which the format wants.
    """
    grams = vectors.subwords
    if grams is None or vectors.counts is None:
        raise InvalidInput(
            f"{vectors.space.name} has no {'n-grams' if grams is None else 'counts'}",
            wanted="vectors that FastText trained",
            next_step='write them as "word2vec" or "word2vec-binary"',
        )
    models, dim = gensim_models(), vectors.space.dim
    settings = grams.settings
    model = models.FastText(
        vector_size=dim,
        min_n=settings.shortest,
        max_n=settings.longest,
        bucket=settings.buckets,
        min_count=1,
        sorted_vocab=0,
    )
    model.build_vocab_from_freq(dict(zip(vectors.words, vectors.counts.tolist(), strict=True)))
    model.corpus_total_words = int(vectors.counts.sum())
    order = [model.wv.key_to_index[word] for word in vectors.words]
    model.wv.vectors_ngrams[:] = 0
    model.wv.vectors_ngrams[grams.buckets] = grams.rows
    # A word's vector is the mean of its own row and those of its n-grams: its own is what is left.
    for word, at, row in zip(vectors.words, order, vectors.vectors.data, strict=True):
        total, count, _ = grams.sum_of(word)
        model.wv.vectors_vocab[at] = row * (count + 1) - total
    model.syn1neg[:] = 0
    models.fasttext.save_facebook_model(model, str(path))
