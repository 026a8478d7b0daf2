"""Names with signs in texts and queries: C++, .NET, identifiers, versions, part numbers, and quoted phrases.

Lucene's WordDelimiterGraphFilter with `catenateAll` and `preserveOriginal` does the like in a token graph, and its
query parser makes a phrase of what one word becomes (`autoGeneratePhraseQueries`). Here the parts stay in the text in
their order, so that phrases find them, and the wholes are put behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST = 100
"""Bytes of the longest word that is indexed: what is longer is data (base64, hashes), not a word."""

# Begins with the rarer letter, which is quick: a capital after a small letter or digit, an underscore within a word.
_HUMP = re.compile(r"[A-Z_](?:(?<=[a-z0-9][A-Z])|(?<=[^\W_]_)(?=[^\W_]))")
_REST = re.compile(r"\w*")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+|[^\W_A-Za-z0-9]+")
# C++ and C# have a letter of their own before the signs; of g++ or Notepad++ the word counts too.
_SIGNED = re.compile(r"(?<![\w+#])([A-Za-z]\w{0,15})(\+\+(?![+A-Za-z_])|#(?![#\w]))")
_SIGNS = {"++": "plusplus", "#": "sharp"}
_DOTTED_NAME = re.compile(r"\.(?<![\w.)\]]\.)([A-Za-z]\w*)")  # .NET, .gitignore; begins with a literal, which is quick
_HYPHENATED = re.compile(r"\w+(?:-\w+)+")
_PREFIX = 3
# What a text shows as one sign: emoji, weather, games. Arrows and bullets are layout.
_EMOJI = re.compile("[\u231a\u231b\u23e9-\u23fa\u2600-\u2712\u2728-\u2757\U0001f000-\U0001f3fa\U0001f400-\U0001faff]")

_SEQUENCE = re.compile(r"(?<![\w-])(?:--?\w+(?:-\w+)*|\w+(?:(?:::|[-./:,&+@_])\w+)+)")
_LETTERS_AND_DIGITS = re.compile(r"(?<![\w.-])([A-Za-z]+)(\d+)(?![\w-]|\.\w)")
_CODE = re.compile(r"\d|&|^--?\w|::|\w{2}\.\w|\w\.\w{2}|_")
_QUOTED = re.compile(r'(?<!\w)"([^"]+)"(?!\w)|[“„]([^“”„]+)[“”]|«([^»]+)»')
_WORDS_BESIDE_A_PHRASE = 10
_NAMES_AT_MOST = 5
_EDGE = ".,;:!?()[]{}\"'`“”„«»"


def split_names(text: str, *, is_query: bool = False) -> tuple[str, list[str]]:
    """The text with names cut into parts, and the wholes of those names, without underscores or hyphens.

    Of a query hyphenated words have no wholes, whose parts would count twice: nDCG@10 falls by up to 0.004.

    >>> split_names("call getElementById of parse_url")
    ('call get Element By Id of parse url', ['getElementById', 'parseurl'])
    >>> split_names("C++ and C# on .NET, by e-mail")
    ('cplusplus and csharp on NET, by e-mail', ['dotNET', 'email'])
    """
    wholes: list[str] = []

    def parts(name: str) -> str:
        if len(name) > LONGEST:
            return name
        wholes.append(name.replace("_", ""))
        return " ".join(_PART.findall(name))

    def signed(found: re.Match[str]) -> str:
        name, signs = found.groups()
        if len(name) == 1:
            is_numbered = found.string[found.end() : found.end() + 1].isdigit()  # C++17
            return f"{name.lower()}{_SIGNS[signs]}{' ' * is_numbered}"
        wholes.append(f"{name}{_SIGNS[signs]}")
        return name

    def dotted(found: re.Match[str]) -> str:
        wholes.append(f"dot{found.group(1)}")
        return found.group(1)

    if "++" in text or "#" in text:
        text = _SIGNED.sub(signed, text)
    if "." in text:
        text = _DOTTED_NAME.sub(dotted, text)
    if not text.isascii():
        text = _EMOJI.sub(lambda found: f" u{ord(found.group()):x} ", text)
    if "-" in text and not is_query:
        for word in text.split():  # far quicker than a search for words with hyphens
            if "-" in word and len(word) <= LONGEST:
                names = filter(_is_joined, _HYPHENATED.findall(word))
                wholes += [name.replace("-", "").replace("_", "") for name in names]
    return _replace_identifiers(text, parts), wholes


def _replace_identifiers(text: str, replace: Callable[[str], str]) -> str:
    """The text with each word replaced that has a capital after a small letter or digit, or an underscore within.

    A word is found by its hump, and extended to both sides: a pattern for whole words tries every letter of a text.
    """
    pieces, end = [], 0
    for hump in _HUMP.finditer(text):
        if hump.start() < end:
            continue
        start = hump.start()
        while start > end and (text[start - 1].isalnum() or text[start - 1] == "_"):
            start -= 1
        rest = _REST.match(text, hump.end())
        stop = hump.end() if rest is None else rest.end()
        pieces += [text[end:start], replace(text[start:stop])]
        end = stop
    return "".join([*pieces, text[end:]])


def _is_joined(name: str) -> bool:
    """Whether a hyphenated word is also written in one: e-mail, co-operation; hardly boundary-layer.

    With digits (B-52) the query looks for the parts instead: see `sequences`.
    """
    parts = name.split("-")
    return len(parts) == 2 and min(map(len, parts)) <= _PREFIX and not any(map(str.isdigit, name))


def sequences(query: str) -> list[str]:
    """The query's names whose parts count in their order only: versions, codes, part numbers, flags, dotted names.

    Hyphenated words without a digit are none: they are written apart as well. B52 may be written B-52.

    >>> sequences("since 3.11.2 os.path.join of AB-12-34 is well-known, B52")
    ['3.11.2', 'os.path.join', 'AB-12-34', 'B-52']
    """
    found = [name for name in _SEQUENCE.findall(query) if _CODE.search(name)]
    return found + ["-".join(parts) for parts in _LETTERS_AND_DIGITS.findall(query)]


def phrases(query: str) -> tuple[list[str], bool]:
    """The quoted phrases of a query, and whether they are required.

    They are not in prose that quotes something: where more than ten words stand beside them.
    """
    found = ["".join(groups) for groups in _QUOTED.findall(query)]
    beside = len(_QUOTED.sub(" ", query).split()) if found else 0
    return found, bool(found) and beside <= _WORDS_BESIDE_A_PHRASE


def is_names(query: str) -> bool:
    """Whether a query is nothing but names: codes, identifiers, words with signs or digits, single letters.

    >>> [is_names(query) for query in ("C++", "ORA-00942", "parse_url", "E0308 error", "R")]
    [True, True, True, False, True]
    """
    words = [word.strip(_EDGE) if word[0] != "." else word.rstrip(_EDGE) for word in query.split()]
    return 0 < len(words) <= _NAMES_AT_MOST and all(map(_is_name, words))


def _is_name(word: str) -> bool:
    if len(word) == 1:
        return word.isascii() and word.isalnum()
    if any(map(str.isdigit, word)) or _HUMP.search(word):
        return True
    return any(p.match(word) for p in (_SIGNED, _DOTTED_NAME)) or bool(sequences(word))
