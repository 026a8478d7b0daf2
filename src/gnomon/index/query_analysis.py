"""A query as it is searched for: words and phrases with weights, in each language that the texts are in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gnomon.index.analysis import Analysis, term_counts

Term = str | tuple[str, ...]
"""A word as it is indexed, or a phrase: words that follow each other."""
Terms = Mapping[Term, float] | Mapping[str, float]
"""What is searched for: words and phrases with weights above 0."""

_STOPPING, _RARE = 0.1, 0.02
"""The share of the texts from which a language's stop words count, and up to which its stems count little."""
_RARE_WEIGHT = 0.1


@dataclass(frozen=True)
class QueryAnalysis:
    """Analyses queries for texts of several languages; `languages` says how many texts are in which."""

    languages: Mapping[str, int]

    @property
    def main_language(self) -> str:
        """The language of most texts; English where there are none."""
        return max(self.languages, key=lambda name: self.languages[name], default="en")

    def _analyses(self) -> Iterable[tuple[Analysis, float]]:
        total = sum(self.languages.values())
        stopping = [name for name, texts in self.languages.items() if texts >= _STOPPING * total]
        for name, texts in self.languages.items():
            yield Analysis.of(name, stopping), 1.0 if texts > _RARE * total else _RARE_WEIGHT
        if not self.languages:
            yield Analysis.of("en"), 1.0

    def weights(self, query: str) -> dict[Term, float]:
        """The words with how often the query has them; what only a rare language makes of them counts a tenth.

        A text has words of its own language only, so that a word of the query counts once for each.
        """
        found: dict[Term, float] = {}
        for analysis, weight in self._analyses():
            for word, count in term_counts(analysis.words(query)).items():
                found[word] = max(found.get(word, 0.0), weight * count)
        return found

    def phrases(self, text: str) -> list[tuple[str, ...]]:
        """What the words of a phrase are in each language, in their order; none for a text without words."""
        return list(dict.fromkeys(words for one, _ in self._analyses() if (words := one.sequence(text))))
