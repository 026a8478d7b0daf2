"""Analysis of texts and queries: tokens, stop words and stems.

Stop words are indexed, and left out of queries only. That costs nothing to undo (a query of nothing else keeps
them), and it ranks better: see docs/decisions.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.core.stop_words import ENGLISH

LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "none": "",
        "ar": "arabic",
        "da": "danish",
        "de": "german",
        "el": "greek",
        "en": "english",
        "es": "spanish",
        "fi": "finnish",
        "fr": "french",
        "hu": "hungarian",
        "it": "italian",
        "nl": "dutch",
        "no": "norwegian",
        "pt": "portuguese",
        "ro": "romanian",
        "ru": "russian",
        "sv": "swedish",
        "ta": "tamil",
        "tr": "turkish",
    }
)
"""Language settings and tantivy's names for their stemmers; "none" neither stems nor leaves words out."""

_NO_STOP_WORDS = {"", "arabic", "greek", "romanian", "tamil", "turkish"}

_IDENTIFIER = re.compile(r"\b\w*(?:[a-z0-9][A-Z]|[^\W_]_[^\W_])\w*")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+|[^\W_A-Za-z0-9]+")
# Scripts that write no spaces between words: Thai to Lao, Burmese, Khmer, kana, Han, Hangul.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
_LONGEST = 100
"""Bytes of the longest word that is indexed: what is longer is data (base64, hashes), not a word."""


def _with_parts(match: re.Match[str]) -> str:
    name = match.group()
    if len(name) > _LONGEST:
        return name
    return f"{name.replace('_', '')} {' '.join(_PART.findall(name))}"


def _pairs(match: re.Match[str]) -> str:
    run = match.group()
    return f" {' '.join(run[i : i + 2] for i in range(max(1, len(run) - 1)))} "


def spread(text: str) -> str:
    """The text with identifiers followed by their parts, and unspaced scripts cut into overlapping pairs.

    An identifier's whole is written without underscores, so that both spellings of a name are one word.

    >>> spread("call getElementById or parse_url")
    'call getElementById get Element By Id or parseurl parse url'
    """
    if not text.isascii():
        text = _UNSPACED.sub(_pairs, unicodedata.normalize("NFKC", text))
    return _IDENTIFIER.sub(_with_parts, text)


def term_counts(words: Iterable[str]) -> dict[str, float]:
    """Each word's weight in a query, which is how often the query has it, in the order of their first mention."""
    return {word: float(count) for word, count in Counter(words).items()}


def require_language(language: str) -> None:
    """Raises InvalidInput for a language setting that is not known."""
    if language not in LANGUAGES:
        raise InvalidInput(
            f"language {language!r}",
            expected=f"one of {', '.join(LANGUAGES)}",
            hint='"none" indexes words as they are, in any language',
        )


@dataclass(frozen=True)
class Analysis:
    """One language's two analysers: `index` for texts, `query` without stop words."""

    index: Any
    query: Any

    @staticmethod
    def of(language: str) -> Analysis:
        """The analysers for a language setting. Raises InvalidInput for one that is not known."""
        require_language(language)
        name = LANGUAGES[language]
        return Analysis(_analyser(name, stop=False), _analyser(name, stop=True))

    def terms(self, query: str) -> list[str]:
        """A query's distinct words as they are indexed; its stop words only if it has no others."""
        return list(dict.fromkeys(self.words(query)))

    def words(self, text: str) -> list[str]:
        """A text's words in its own order, each as often as it is there; else as `terms`."""
        spaced = spread(text)
        return list(self.query.analyze(spaced) or self.index.analyze(spaced))


def _analyser(language: str, *, stop: bool) -> Any:
    import tantivy

    chain = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    chain = chain.filter(tantivy.Filter.remove_long(_LONGEST)).filter(tantivy.Filter.lowercase())
    if stop and language == "english":
        chain = chain.filter(tantivy.Filter.custom_stopword(sorted(ENGLISH)))
    elif stop and language not in _NO_STOP_WORDS:
        chain = chain.filter(tantivy.Filter.stopword(language))
    if language:
        chain = chain.filter(tantivy.Filter.stemmer(language))
    # After the stemmer, whose rules may need the accents.
    return chain.filter(tantivy.Filter.ascii_fold()).build()
