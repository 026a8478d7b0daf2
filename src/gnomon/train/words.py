"""The old name of `gnomon.word_vectors`, kept until 0.3."""

from __future__ import annotations

from typing import Any

from gnomon.core.renamed import renamed

_NAMES = (
    "Corpus", "Format", "GloveSettings", "SubwordSettings", "WordSettings", "WordStep", "WordVectors", "corpus_of",
    "is_words_folder", "load_vectors", "load_words", "read_corpus", "save_vectors", "save_words", "settings_for",
    "train_words",
)  # fmt: skip


def _unknown(name: str) -> Any:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__getattr__ = renamed(__name__, _unknown, {name: f"gnomon.word_vectors:{name}" for name in _NAMES})
