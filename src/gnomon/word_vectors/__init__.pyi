from .corpus import Corpus, corpus_of, read_corpus
from .folder import is_words_folder, load_words, save_words
from .formats import Format, load_vectors, save_vectors
from .settings import GloveSettings, SubwordSettings, WordSettings, settings_for
from .training import train_words
from .vectors import WordVectors

__all__ = [
    "Corpus",
    "Format",
    "GloveSettings",
    "SubwordSettings",
    "WordSettings",
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
