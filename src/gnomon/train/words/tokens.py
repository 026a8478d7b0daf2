"""What a word is: the same for training, for lookups and for the served model's tokenizer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

UNKNOWN = "[UNK]"
# Code points that part words: ASCII but letters, digits and underscore; Latin-1 signs; general, CJK and
# full-width punctuation; the byte order mark. Written out, because \w means other things to other engines.
_PARTING = (
    (0x00, 0x2F),
    (0x3A, 0x40),
    (0x5B, 0x5E),
    (0x60, 0x60),
    (0x7B, 0xA9),
    (0xAB, 0xB4),
    (0xB6, 0xB9),
    (0xBB, 0xBF),
    (0xD7, 0xD7),
    (0xF7, 0xF7),
    (0x2000, 0x206F),
    (0x3000, 0x303F),
    (0xFEFF, 0xFEFF),
    (0xFF00, 0xFF0F),
)


def _in_class(code: int) -> str:
    return ("\\" if chr(code) in r"[]^\-&" else "") + chr(code)


WORD_PATTERN = "[^" + "".join(f"{_in_class(first)}-{_in_class(last)}" for first, last in _PARTING) + "]+"
"""Runs of letters, digits, marks and underscores; Python's `re` and the tokenizers library agree on it."""
_WORD = re.compile(WORD_PATTERN)


def lower(text: str) -> str:
    """The text in lower case as the tokenizers library makes it, letter by letter.

    Python's own looks at a word's end to write a Greek sigma, which the served tokenizer does not.
    """
    if text.isascii():
        return text.lower()
    from tokenizers.normalizers import Lowercase

    return str(Lowercase().normalize_str(text))


def words_of(text: str, *, lowercase: bool) -> list[str]:
    """The words of a text, in order.

    >>> words_of("The king's 2 crowns", lowercase=True)
    ['the', 'king', 's', '2', 'crowns']
    """
    return _WORD.findall(lower(text) if lowercase else text)


def tokenizer_json(words: Sequence[str], *, lowercase: bool) -> str:
    """A tokenizer in the `tokenizers` library's JSON: the unknown token first, then the words in order.

    A word that is itself written as the unknown token gives way: the unknown token gets brackets until it is
    no word.
    """
    unknown = UNKNOWN
    taken = set(words)
    while unknown in taken:
        unknown = f"[{unknown}]"
    plain: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"} if lowercase else None,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": WORD_PATTERN},
            "behavior": "Removed",
            "invert": True,
        },
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: at for at, word in enumerate((unknown, *words))},
            "unk_token": unknown,
        },
    }
    return json.dumps(plain, ensure_ascii=False)
