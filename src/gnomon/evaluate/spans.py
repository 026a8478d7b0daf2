"""Answers against the spans that are right: exact match and token F1, as SQuAD measures them."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from gnomon.core.errors import InvalidInput

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalised(text: str) -> str:
    """Lower case, without punctuation and English articles, white space single (Rajpurkar et al. 2016).

    Punctuation is ASCII's and Unicode's (Lewis et al. 2020, MLQA): quotes of any form go.

    >>> normalised("The  “U.S.” — a country!")
    'us country'
    """
    kept = "".join(c for c in text.lower() if c not in string.punctuation and not _is_mark(c))
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(answer: str, gold: str | Sequence[str]) -> float:
    """1.0 where the answer is one of the gold answers once both are normalised, else 0.0.

    Raises InvalidInput for no gold answer.

    >>> exact_match("The Nile.", ["Nile", "the river Nile"])
    1.0
    """
    own = normalised(answer)
    return float(any(own == normalised(one) for one in _several(gold)))


def token_f1(answer: str, gold: str | Sequence[str]) -> float:
    """The harmonic mean of precision and recall of the answer's tokens, against the best gold answer.

    Tokens are the words of both once they are normalised, each counted as often as it stands there. Where
    one side has none, it is 1 if neither has (Rajpurkar et al. 2018). Raises InvalidInput for no gold answer.

    >>> token_f1("in the river Nile", ["Nile", "the river Nile"])
    0.8
    """
    own = normalised(answer).split()
    return max(_f1(own, normalised(one).split()) for one in _several(gold))


def _f1(own: list[str], gold: list[str]) -> float:
    if not own or not gold:
        return float(own == gold)
    shared = sum((Counter(own) & Counter(gold)).values())
    return 2 * shared / (len(own) + len(gold))


def _is_mark(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character).startswith("P")


def _several(gold: str | Sequence[str]) -> Sequence[str]:
    several = [gold] if isinstance(gold, str) else gold
    if not several:
        raise InvalidInput("no gold answer", wanted="at least one right answer to compare with")
    return several
