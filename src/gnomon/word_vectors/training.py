"""Texts to word vectors, by any of the methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gnomon.core.errors import InvalidInput
from gnomon.word_vectors.corpus import Corpus, corpus_of, read_corpus
from gnomon.word_vectors.progress import Progress, silent
from gnomon.word_vectors.settings import WordSettings, settings_for
from gnomon.word_vectors.vectors import WordVectors


def train_words(
    texts: Corpus | Sequence[Path] | Iterable[str],
    settings: WordSettings | None = None,
    *,
    progress: Progress = silent,
) -> WordVectors:
    """Train on a corpus, on files and folders (paths), or on texts. None: skip-gram as published.

    Raises InvalidInput for too little text and where gensim is wanted and not installed; UnreadableFile.
    """
    settings = settings or settings_for("word2vec")
    corpus = texts if isinstance(texts, Corpus) else _corpus(texts, settings)
    if settings.method == "glove":
        from gnomon.word_vectors.glove import train_glove

        return with_common_removed(train_glove(corpus, settings, progress), settings.remove_common)
    from gnomon.word_vectors.gensim_models import train_predicted

    return with_common_removed(train_predicted(corpus, settings, progress), settings.remove_common)


def with_common_removed(vectors: WordVectors, components: int) -> WordVectors:
    """The vectors without what all of them share, in a space of their own; the same for 0 components."""
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
