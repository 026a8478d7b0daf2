import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.index.analysis import LANGUAGES, Analysis, spread

ENGLISH, PLAIN = Analysis.of("en"), Analysis.of("none")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("getElementById", "get element by id getelementbyid"),
        ("get_element_by_id", "get element by id getelementbyid"),
        ("HTTPServer2Config", "http server2 config httpserver2config"),
        ("__init__ self._privateName", "init self private name privatename"),
        ("MAX_RETRIES utf8 v1.5", "max retries utf8 v1 5 maxretries"),
        ("os.path.join(a, b)", "os path join a b"),
        ("C++ C++17 (C#) F#, g++ i+j #tag issue#7", "cplusplus cplusplus 17 csharp fsharp gplusplus i j tag issue 7"),
        (".NET .gitignore ASP.NET end. Then", "net gitignore asp net end then dotnet dotgitignore"),
        ("e-mail co\u2011operation -Xmx512m AB-12-34", "e mail co operation xmx512m ab 12 34 email cooperation"),
        ("Café naïve ÅNGSTRÖM", "cafe naive angstrom angstroem"),
        ("cafe\u0301", "cafe"),  # a combining accent
        ("日本語", "日本 本語 日 本 語"),
        ("日", "日 日"),
        ("𨋢口 𠮷野家", "𨋢口 𠮷野 野家 𨋢 口 𠮷 野 家"),  # beyond the basic plane
        ("Nguye\u0302\u0303n s\u01a1\u0309", "nguyen so"),
        ("Wörter日本 x", "worter 日本 x woerter日本 日 本"),
        ("ﬁne ｗｉｄｅ 𝐁𝐨𝐥𝐝 CO₂ A\u00a038 25 ℃", "fine wide bold co2 a 38 25 c"),
        ("Donau\u00addampf user\u200bName \ufeffx", "donaudampf user name x username"),
        ("שָׁלוֹם مُحَمَّدٌ کتاب\u200cها", "שלום محمد كتابها"),
        ("İSTANBUL ΟΔΌΣ οδός", "istanbul οδοσ οδοσ"),
        ("٣٤ विद्यालय", "34 विदयालय"),
        ("🦊 … — !", "u1f98a"),
        ("a" * 101 + " " + "aB" * 51, ""),  # data, not words
    ],
)
def test_words_of_a_text(text, words):
    assert PLAIN.index.analyze(spread(text)) == words.split()


def test_english_is_stemmed_and_function_words_are_left_out_of_queries_only():
    assert ENGLISH.terms("What does it mean that the dogs are running?") == ["mean", "dog", "run"]
    assert ENGLISH.index.analyze("the dogs are") == ["the", "dog", "are"]
    assert ENGLISH.terms("To be, or not to be") == ["to", "be", "or", "not"]
    assert ENGLISH.terms("dog dogs DOG") == ["dog"]
    assert ENGLISH.terms(" ?! ") == []


def test_every_language_stems_something_of_its_own():
    words = {"de": ("Häuser", "Haus"), "fr": ("chanteuses", "chanteuse"), "ru": ("книги", "книга")}
    for language, (one, other) in words.items():
        analysis = Analysis.of(language)
        assert analysis.terms(one) == analysis.terms(other)
    assert Analysis.of("de").terms("das Haus und der Hund") == ["haus", "hund"]
    for language in LANGUAGES:
        assert Analysis.of(language).terms("zzzq") == ["zzzq"]


def test_an_unknown_language_is_refused_by_name():
    with pytest.raises(InvalidInput, match="language 'klingon'") as caught:
        Analysis.of("klingon")
    assert "de" in caught.value.expected
    assert "none" in caught.value.hint


@given(st.text())
def test_any_text_has_words_and_keeps_them_when_spread_again(text):
    words = PLAIN.index.analyze(spread(text.encode("utf-8", "replace").decode()))
    assert all(word.strip() for word in words)


def test_spreading_takes_linear_time_on_hostile_text():
    for hostile in ("a" * 300_000, "_" * 300_000, "aA" * 150_000, "a_" * 150_000, "日" * 300_000):
        begin = time.perf_counter()
        spread(hostile)
        assert time.perf_counter() - begin < 3
