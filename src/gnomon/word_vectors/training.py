"""Training word vectors: GloVe by `glove`; skip-gram, CBOW and FastText by gensim.

Mikolov, Chen, Corrado and Dean 2013 (arXiv:1301.3781); negative sampling: Mikolov et al. 2013
(arXiv:1310.4546); FastText: Bojanowski et al. 2017 (arXiv:1607.04606).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.word_vectors.corpus import Corpus, corpus_of, read_corpus
from gnomon.word_vectors.settings import SubwordSettings, WordSettings, settings_for
from gnomon.word_vectors.vectors import Subwords, WordVectors


def train_words(
    texts: Corpus | Sequence[Path] | Iterable[str],
    settings: WordSettings | None = None,
    *,
    progress: ProgressCallback = no_progress,
) -> WordVectors:
    """Train on a corpus, on files and folders (paths), or on texts. None: skip-gram as published.

    Raises InvalidInput for too little text and where gensim is wanted and not installed; UnreadableFile.
    """
    settings = settings or settings_for("word2vec")
    corpus = texts if isinstance(texts, Corpus) else _corpus(texts, settings)
    if settings.method == "glove":
        from gnomon.word_vectors.glove import train_glove

        return with_common_removed(train_glove(corpus, settings, progress), settings.remove_common)
    return with_common_removed(train_predicted(corpus, settings, progress), settings.remove_common)


def with_common_removed(vectors: WordVectors, components: int) -> WordVectors:
    """The vectors without their mean and first `components` principal directions, in a new space; 0: unchanged."""
    if not components:
        return vectors
    from gnomon.kernels.similarity import without_common

    return WordVectors.of(
        vectors.words,
        without_common(vectors.vectors.data, components),
        name=f"{vectors.space.name}-less-{components}",
        counts=vectors.counts,
        lowercase=vectors.lowercase,
    )


def _corpus(texts: Sequence[Path] | Iterable[str], settings: WordSettings) -> Corpus:
    given = texts if isinstance(texts, str) else list(texts)
    paths = [path for path in given if isinstance(path, Path)]
    if paths and len(paths) == len(given):
        return read_corpus(paths, min_count=settings.min_count, lowercase=settings.lowercase)
    strings = given if isinstance(given, str) else [text for text in given if isinstance(text, str)]
    if len(strings) < len(given):
        raise InvalidInput(
            f"{len(given)} texts, {len(given) - len(strings)} of which are not strings",
            expected="all of them paths (pathlib.Path), or all of them strings",
            hint="hand in a Path for a file, and its text for a text",
        )
    return corpus_of(strings, min_count=settings.min_count, lowercase=settings.lowercase)


def train_predicted(corpus: Corpus, settings: WordSettings, progress: ProgressCallback) -> WordVectors:
    """Word vectors by word2vec, cbow or fasttext. The same corpus, settings and one worker: the same vectors.

    Raises InvalidInput where gensim is not installed.
    """
    model = _model(settings)
    vocabulary = dict(zip(corpus.words, corpus.counts.tolist(), strict=True))
    passages = _Passages(corpus, settings.epochs, progress)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gensim's own remarks on its environment
        model.build_vocab_from_freq(vocabulary, corpus_count=passages.count)
        model.train(passages, total_examples=passages.count, total_words=len(corpus.tokens), epochs=settings.epochs)
    order = np.array([model.wv.key_to_index[word] for word in corpus.words])
    subwords = _subwords(model.wv, settings.subwords) if settings.method == "fasttext" else None
    return WordVectors.of(
        corpus.words,
        np.asarray(model.wv.vectors[order], dtype=np.float32),
        name=settings.method,
        counts=corpus.counts,
        subwords=subwords,
        lowercase=settings.lowercase,
    )


def gensim_models() -> Any:
    """gensim's models. Raises InvalidInput where it is not installed."""
    try:
        import gensim.models
    except ImportError as error:
        raise InvalidInput(
            f"word2vec, CBOW and FastText need gensim, which cannot be imported: {error}",
            expected="the extra for word vectors",
            hint='pip install "gnomon[words]"',
        ) from error
    return gensim.models


def _model(settings: WordSettings) -> Any:
    models = gensim_models()
    shared = {
        "vector_size": settings.dim,
        "window": settings.window,
        "min_count": 1,  # the corpus has left out rare words
        "negative": settings.negative,
        "sample": settings.sample,
        "alpha": settings.learning_rate,
        "sg": int(settings.method != "cbow"),
        "seed": settings.seed,
        "workers": settings.workers,
        "epochs": settings.epochs,
    }
    if settings.method != "fasttext":
        return models.Word2Vec(**shared)
    grams = settings.subwords
    return models.FastText(**shared, min_n=grams.shortest, max_n=grams.longest, bucket=grams.buckets)


class _Passages:
    """The passages as lists of words, once for each epoch; reports progress."""

    def __init__(self, corpus: Corpus, epochs: int, progress: ProgressCallback) -> None:
        self._corpus, self._epochs, self._progress = corpus, epochs, progress
        self._epoch = 0
        self.count = sum(1 for _ in corpus.passages())

    def __iter__(self) -> Iterator[list[str]]:
        self._epoch += 1
        done, whole = 0, len(self._corpus.tokens)
        words = np.array(self._corpus.words, dtype=object)
        for passage in self._corpus.passages():
            yield words[passage].tolist()
            done += len(passage)
            before, total = (self._epoch - 1) * whole, self._epochs * whole
            self._progress(Progress("training", before + done, total, "word", metrics={"epoch": self._epoch}))


def _subwords(wv: Any, settings: SubwordSettings) -> Subwords:
    touched = np.unique(np.concatenate([np.asarray(own, dtype=np.int64) for own in wv.buckets_word]))
    rows = np.asarray(wv.vectors_ngrams[touched], dtype=np.float32)
    return Subwords(settings, touched, rows)
