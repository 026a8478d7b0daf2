"""Analysis of texts and queries: tokens, stop words and stems.

Stop words are indexed, and left out of queries only. That costs nothing to undo (a query of nothing else keeps
them), and it ranks better: see docs/decisions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.core.stop_words import ENGLISH
from gnomon.index.folding import fold
from gnomon.index.language import LANGUAGES
from gnomon.index.names import LONGEST, split_names

AUTO = "auto"
"""The language setting of texts in several languages, or one that nobody said: each is detected."""

_NO_STOP_WORDS = {"none", "ar", "el", "ro", "ta", "tr"}
# Scripts that write no spaces between words: Thai to Lao, Burmese, Khmer, kana, Han, Hangul.
_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_UNSPACED = re.compile(f"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\uac00-\ud7af{_HAN}]+")
_IDEOGRAPH = re.compile(f"[{_HAN}]")
_UMLAUT = re.compile(r"\b\w{0,50}[äöüÄÖÜ]\w{0,50}")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_DIGRAPH = re.compile(r"(?<![aeiouqyäöüAEIOUQYÄÖÜ])([aouAOU])e")
_UMLAUT_OF = dict(zip("aouAOU", "äöüÄÖÜ", strict=True))
_TURKISH_CAPITALS = re.compile(r"\b(?:[A-ZÇĞİÖŞÜ]{2,50}|[Iİ][a-zçğıöşü]{0,50})\b")
_TURKISH = str.maketrans({"I": "ı", "İ": "i"})


def _pairs(match: re.Match[str]) -> str:
    run = match.group()
    return f" {' '.join(run[i : i + 2] for i in range(max(1, len(run) - 1)))} "


def spread(text: str, language: str = "none", *, is_query: bool = False) -> str:
    """The text as it is cut into words, and behind it further words that it is found by.

    These are the wholes of names, of an indexed text its single ideographs, and umlauts written as two letters.

    >>> spread("call getElementById or parse_url")
    'call get Element By Id or parse url getElementById parseurl'
    """
    plain, wholes = split_names(fold(_turkish(text) if language == "tr" else text), is_query=is_query)
    if not plain.isascii():
        if language in ("none", "en"):
            wholes += [word.translate(_UMLAUTS) for word in _UMLAUT.findall(plain)]
        if not is_query:
            wholes += _IDEOGRAPH.findall(plain)
    return " ".join([_in_order(plain, language), *wholes])


def _in_order(plain: str, language: str) -> str:
    """A text's words in their order: unspaced scripts in overlapping pairs, German digraphs as umlauts."""
    if language == "de":
        # As Lucene's GermanNormalizationFilter, before the stemmer rather than after it.
        plain = _DIGRAPH.sub(lambda found: _UMLAUT_OF[found.group(1)], plain)
    return plain if plain.isascii() else _UNSPACED.sub(_pairs, plain)


def _turkish(text: str) -> str:
    """Words in capitals as Turkish writes them small: I is the capital of ı, İ that of i."""
    return _TURKISH_CAPITALS.sub(lambda found: found.group().translate(_TURKISH).lower(), text)


def term_counts(words: Iterable[str]) -> dict[str, float]:
    """Each word's weight in a query, which is how often the query has it, in the order of their first mention."""
    return {word: float(count) for word, count in Counter(words).items()}


def require_language(language: str) -> None:
    """Raises InvalidInput for a language setting that is not known."""
    if language != AUTO and language not in LANGUAGES:
        raise InvalidInput(
            f"language {language!r}",
            expected=f"one of {AUTO}, {', '.join(LANGUAGES)}",
            hint='"none" indexes words as they are, in any language',
        )


@dataclass(frozen=True)
class Analysis:
    """One language's two analysers: `index` for texts, `query` without stop words."""

    index: Any
    query: Any
    language: str = "none"

    @staticmethod
    def of(language: str, stop_words_of: Collection[str] | None = None) -> Analysis:
        """The analysers for a language setting; "auto" is taken for English.

        `stop_words_of` are the languages whose stop words are left out of queries; None: its own. Raises
        InvalidInput for a language that is not known.
        """
        require_language(language)
        language = "en" if language == AUTO else language
        return _analysis(language, frozenset([language] if stop_words_of is None else stop_words_of))

    def terms(self, query: str) -> list[str]:
        """A query's distinct words as they are indexed; its stop words only if it has no others."""
        return list(dict.fromkeys(self.words(query)))

    def words(self, text: str) -> list[str]:
        """A query's words, each as often as it is there, the wholes of names last; else as `terms`."""
        spaced = spread(text, self.language, is_query=True)
        return list(self.query.analyze(spaced) or self.index.analyze(spaced))

    def indexed(self, text: str) -> list[str]:
        """All words that a text is found by, stop words too."""
        return list(self.index.analyze(spread(text, self.language)))

    def sequence(self, text: str) -> tuple[str, ...]:
        """A phrase's words in their order, as they stand in a text that has it."""
        plain, _ = split_names(fold(_turkish(text) if self.language == "tr" else text), is_query=True)
        return tuple(self.index.analyze(_in_order(plain, self.language)))


@lru_cache(maxsize=64)
def _analysis(language: str, stop_words_of: frozenset[str]) -> Analysis:
    return Analysis(_analyser(language, frozenset()), _analyser(language, stop_words_of), language)


def _analyser(language: str, stop_words_of: frozenset[str]) -> Any:
    import tantivy

    chain = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    chain = chain.filter(tantivy.Filter.remove_long(LONGEST)).filter(tantivy.Filter.lowercase())
    for one in sorted(stop_words_of - _NO_STOP_WORDS):
        own = sorted(ENGLISH) if one == "en" else None
        chain = chain.filter(tantivy.Filter.custom_stopword(own) if own else tantivy.Filter.stopword(LANGUAGES[one]))
    if language != "none":
        chain = chain.filter(tantivy.Filter.stemmer(LANGUAGES[language]))
    # After the stemmer, whose rules may need the accents.
    return chain.filter(tantivy.Filter.ascii_fold()).build()
