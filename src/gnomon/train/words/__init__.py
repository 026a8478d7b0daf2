"""Word embeddings: Word2Vec, CBOW, FastText and GloVe; served as static models. No torch.

Word2Vec, CBOW and FastText want the extra `gnomon[words]`. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.train.words.corpus import Corpus, corpus_of, read_corpus
    from gnomon.train.words.folder import is_words_folder, load_words, save_words
    from gnomon.train.words.formats import Format, load_vectors, save_vectors
    from gnomon.train.words.progress import WordStep
    from gnomon.train.words.settings import GloveSettings, SubwordSettings, WordSettings, settings_for
    from gnomon.train.words.training import train_words
    from gnomon.train.words.vectors import WordVectors

_HOME = {
    "Corpus": "corpus",
    "Format": "formats",
    "GloveSettings": "settings",
    "SubwordSettings": "settings",
    "WordSettings": "settings",
    "WordStep": "progress",
    "WordVectors": "vectors",
    "corpus_of": "corpus",
    "is_words_folder": "folder",
    "load_vectors": "formats",
    "load_words": "folder",
    "read_corpus": "corpus",
    "save_vectors": "formats",
    "save_words": "folder",
    "settings_for": "settings",
    "train_words": "training",
}

__all__ = [
    "Corpus",
    "Format",
    "GloveSettings",
    "SubwordSettings",
    "WordSettings",
    "WordStep",
    "WordVectors",
    "corpus_of",
    "is_words_folder",
    "load_vectors",
    "load_words",
    "read_corpus",
    "save_vectors",
    "save_words",
    "settings_for",
    "train_words",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gnomon.train.words.{_HOME[name]}"), name)
