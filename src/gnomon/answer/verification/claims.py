"""The checkable parts of a sentence: content words, numbers, units, names, and what it negates."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

WordSplitter = Callable[[str], list[str]]
"""A text to its content words as they are compared: stemmed, without function words."""

_MARKER = re.compile(r"\s*\[\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*\]")
_BULLET = re.compile(r"^\s*(?:[-*+•>#]+|\d{1,3}[.)])\s+")
_CJK = re.compile("[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?![\w])|\d+(?:[.,]\d+)*")
_UNIT = re.compile(
    r"(?:\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand))[ \u00a0-]?"
    r"(%|percent|per cent|°[CF]|°|[€$£]|[kMGT]i?B\b|[mkµcnd]?[gmLlsWVAJK]\b|[kM]?Hz\b|mmol\b|dB\b|k?Pa\b|"
    r"million|billion|trillion|thousand|hundred|seconds?|minutes?|hours?|days?|weeks?|months?|years?|"
    r"met(?:er|re)s?|kilomet(?:er|re)s?|miles?|feet|inches|kg|mg|km|cm|mm|ms|ml|mL|tons?|tonnes?|dollars?|euros?)"
)
_NUMERALS = {
    word: str(value)
    for value, word in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split(),
        start=2,
    )
}
_NEGATION = re.compile(
    r"\b(?:not|no|never|cannot|neither|nor|none|without|lacks?|fails? to|failed to|nicht|kein\w*|nie)\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
_CONTRACTED_NOT = re.compile(r"n['’]t\b")
_NEGATION_SCOPE = 4  # words after a "not" that it is about
_CLAUSE_END = re.compile(r"[.,;:!?()]|\b(?:but|because|although|which|only)\b")
_MIN_CLAIM_WORDS = 2  # content words of a claim: "Yes." and "See below." claim nothing that can be looked up
_OPPOSITES = tuple(
    tuple(pair.split("/"))
    for pair in (
        "increas/decreas increas/reduc rais/lower enabl/disabl allow/prevent allow/forbid higher/lower "
        "high/low greater/smaller larger/smaller posit/negat best/worst better/wors maximum/minimum "
        "first/last alway/never requir/option includ/exclud activ/inact open/close start/stop add/remov "
        "earlier/later insid/outsid success/failur valid/invalid true/fals public/privat import/export "
        "gain/loss win/lose rise/fall rose/fell promot/inhibit activ/inhibit left/right"
    ).split()
)
"""Stems that are seldom true of the same thing. Telling more apart takes a language model."""
_OPPOSITE: dict[str, frozenset[str]] = {
    word: frozenset(b for a, b in (*_OPPOSITES, *((y, x) for x, y in _OPPOSITES)) if a == word)
    for pair in _OPPOSITES
    for word in pair
}


@dataclass(frozen=True, slots=True)
class Claim:
    """The checkable parts of a text. Words are as a `WordSplitter` gives them, numbers in canonical form."""

    words: tuple[str, ...]
    numbers: frozenset[str]
    units: frozenset[str]
    names: frozenset[str]
    negated: frozenset[str]

    def contradicts(self, other: Claim) -> bool:
        """Whether one negates what the other states, or they use opposite words of each other."""
        own, others = frozenset(self.words), frozenset(other.words)
        if (self.negated & (others - other.negated)) or (other.negated & (own - self.negated)):
            return True
        return any(_OPPOSITE.get(word, frozenset()) & (others - own) for word in own - others)

    def renames(self, other: Claim) -> bool:
        """Whether a name of this one stands where the other has a different one, by the words beside it."""
        missing, unmatched = self.names - set(other.words), other.names - set(self.words)
        if not missing or not unmatched:
            return False
        beside = {(a, b) for a, b in pairwise(other.words) if a in unmatched or b in unmatched}
        after = {a for a, b in beside if b in unmatched}
        before = {b for a, b in beside if a in unmatched}
        return any(
            (b in missing and a in after and a not in missing) or (a in missing and b in before and b not in missing)
            for a, b in pairwise(self.words)
        )


def merge_claims(claims: Sequence[Claim]) -> Claim:
    """The claim of several texts in a row."""
    parts = [(one.numbers, one.units, one.names, one.negated) for one in claims]
    joined = (frozenset().union(*sets) for sets in zip(*parts, strict=True))
    return Claim(tuple(word for one in claims for word in one.words), *joined)


def content_words(language: str) -> WordSplitter:
    """A function from texts to content words, by the stemmer and the stop words that the keyword index uses.

    Raises InvalidInput for a language that is not known.
    """
    from gnomon.index.analysis import Analysis

    analysis = Analysis.of(language)
    return lambda text: analysis.words(_CONTRACTED_NOT.sub(" not", text).replace("%", " percent "))


def extract_claim(text: str, words: WordSplitter) -> Claim:
    """The claim of a text."""
    return Claim(tuple(words(text)), _numbers(text), _units(text), _names(text, words), _negated_words(text, words))


def strip_markers(text: str) -> str:
    """A sentence without markers such as [2], and without the bullet before it.

    >>> strip_markers("- It takes two days [1, 3].")
    'It takes two days.'
    """
    return _BULLET.sub("", " ".join(_MARKER.sub("", text).split())).strip()


def is_claim(text: str, words: WordSplitter) -> bool:
    """Whether a bare sentence says anything that could be supported: no question, heading or greeting."""
    if not text or text.endswith(("?", "？", ":", "：")):
        return False
    return len(set(words(text))) >= _MIN_CLAIM_WORDS or len(_CJK.findall(text)) >= 2 * _MIN_CLAIM_WORDS


def _numbers(text: str) -> frozenset[str]:
    found = {_canonical_number(number) for number in _NUMBER.findall(text)}
    return frozenset(found | {_NUMERALS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _NUMERALS})


def _canonical_number(number: str) -> str:
    """A number as it is compared: 1,000 is 1000, 2.50 is 2.5; a sign may be the dash of a range."""
    number = number.lstrip("+-").rstrip(".,")
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", number):
        number = number.replace(",", "")
    if re.fullmatch(r"\d+\.\d*0", number):
        number = number.rstrip("0").rstrip(".")
    return number.lstrip("0") or "0"


def _units(text: str) -> frozenset[str]:
    return frozenset("%" if unit.startswith("per") else _singular(unit) for unit in _UNIT.findall(text))


def _singular(unit: str) -> str:
    return unit[:-1] if len(unit) > 3 and unit.endswith("s") else unit


def _names(text: str, words: WordSplitter) -> frozenset[str]:
    """The words of names: capitalised inside a sentence, or with capitals or digits inside."""
    tokens = list(_TOKEN.finditer(text))
    named: list[str] = []
    for at, token in enumerate(tokens):
        own = token.group()
        inner = any(letter.isupper() for letter in own[1:]) or (own[0].isalpha() and any(map(str.isdigit, own)))
        opens = at == 0 or text[: token.start()].rstrip(" \"'“‘(").endswith((".", "!", "?", ":", "。"))
        if inner or (own[0].isupper() and (not opens or _name_continues(tokens, at))):
            named.append(own)
    content = set(words(text))
    return frozenset(word for own in named for word in words(own) if word in content and word not in _NUMERALS)


def _name_continues(tokens: list[re.Match[str]], at: int) -> bool:
    """Whether the next word is capitalised and so close that both are one name."""
    if at + 1 >= len(tokens):
        return False
    return tokens[at + 1].group()[0].isupper() and tokens[at + 1].start() - tokens[at].end() <= 2


def _negated_words(text: str, words: WordSplitter) -> frozenset[str]:
    """The content words that a "not" is about: those after it, up to the end of the clause."""
    negated: set[str] = set()
    for found in _NEGATION.finditer(text):
        rest = text[found.end() : found.end() + 80]
        stop = _CLAUSE_END.search(rest)
        rest = rest[: stop.start()] if stop else rest
        negated.update(words(" ".join(_TOKEN.findall(rest)[:_NEGATION_SCOPE])) if rest.strip() else ())
    return frozenset(negated)
