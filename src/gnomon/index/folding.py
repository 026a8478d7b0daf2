"""Unicode folding: spellings that people mean as one word become one, before anything is split or stemmed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

# Format characters that stand inside words: soft hyphen, zero-width ones, direction marks, variation selectors.
_INVISIBLE = "\u00ad\u034f\u061c\u180b-\u180d\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
_TATWEEL = "\u0640"
_ARABIC = {"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ی": "ي", "ک": "ك"}
"""Letters that Arabic and Persian keyboards write alike: as Lucene's ArabicNormalizer and PersianNormalizer."""
_BLOCKS = ((0x300, 0x370), (0x483, 0x488), (0x591, 0x1AFF), (0x1DC0, 0x1E00), (0x20D0, 0x2100), (0xA66F, 0xABF0))
"""Where combining marks and the digits of other scripts are."""


def fold(text: str) -> str:
    """The text as it is indexed: compatibility forms, invisible characters, points and marks made one.

    NFKC first (ligatures, full width, mathematical letters). Then left out are characters that nobody sees, and
    marks that no word needs: Hebrew points, Arabic vowels, tone marks and viramas; those of Latin and Cyrillic are
    part of a letter by then. Digits of all scripts become 0 to 9, hyphens one. Greek loses its accents and the
    final sigma.

    >>> fold("ﬁnal Donau\\u00addampf ΟΔΌΣ")
    'final Donaudampf ΟΔΟΣ'
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text)
    pattern, table = _folds()
    return pattern.sub(lambda found: table.get(found.group(), ""), text)


@lru_cache(maxsize=1)
def _folds() -> tuple[re.Pattern[str], Mapping[str, str]]:
    """What is replaced, and by what; what the table lacks is left out."""
    table = {"İ": "I", "ς": "σ", "\u2010": "-", "\u2011": "-", **_ARABIC}
    for low, high in ((0x370, 0x400), (0x1F00, 0x2000)):
        for letter in map(chr, range(low, high)):
            base = unicodedata.normalize("NFD", letter)[0]
            if base != letter and base.isalpha():
                table[letter] = "σ" if base == "ς" else base
    marks = ""
    for letter in (chr(at) for low, high in _BLOCKS for at in range(low, high)):
        if unicodedata.combining(letter):
            marks += letter
        elif unicodedata.category(letter) == "Nd":
            table[letter] = str(unicodedata.digit(letter))
    return re.compile(f"[{_INVISIBLE}{_TATWEEL}{marks}{''.join(table)}]"), table
