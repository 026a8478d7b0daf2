"""Names with signs, sequences and quoted phrases in a keyword index."""

from __future__ import annotations

import numpy as np
import pytest

from gnomon.index.lexical import LexicalIndex, LexicalSettings
from gnomon.index.names import is_names, phrases, sequences

TEXTS = {
    1: "Plain C and C macros",
    2: "C++ templates",
    3: "C# generics",
    4: "runs on .NET 8",
    5: "net profit, net of tax, all net figures",
    6: "release 2.11.3: 2.11.3 has 3 fixes of 11, 2 more and 2 open",
    7: "release 3.11.2 of the parser",
    8: "part AB-34-12, a bolt; AB 12 and AB 34",
    9: "part AB-12-34, a hinge of the K-9",
    10: "host 100.1.0.10 sends e-mail to AT&T",
    11: "set -Xmx512m when ORA-00942 or 0x80070005 shows up",
    12: "use getUserName() of os.path, R&D says",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LexicalIndex:
    made = LexicalIndex.create(tmp_path_factory.mktemp("words"))
    made.add(np.array(list(TEXTS)), [""] * len(TEXTS), list(TEXTS.values()))
    made.commit(1)
    return made


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("C", 1),
        ("C++", 2),
        ("c#", 3),
        (".NET", 4),
        ("net", 5),
        ("2.11.3", 6),
        ("3.11.2", 7),
        ("what is new in release 3.11.2?", 7),
        ("AB-34-12", 8),
        ("AB-12-34", 9),
        ("K9", 9),
        ("ab 12 34", 9),
        ("100.1.0.10", 10),
        ("email", 10),
        ("AT&T", 10),
        ("-Xmx512m", 11),
        ("ORA-00942", 11),
        ("0x80070005", 11),
        ("get_user_name", 12),
        ("R&D", 12),
    ],
)
def test_the_name_as_it_is_written_comes_first(index: LexicalIndex, query: str, first: int) -> None:
    if query == "ab 12 34":
        query = '"ab 12 34"'
    (ranking,) = index.search([query], k=2)
    assert ranking.ids[0] == first
    assert len(ranking) == 1 or ranking.scores[0] > ranking.scores[1]


def test_a_sequence_weighs_as_much_as_its_parts(index: LexicalIndex) -> None:
    assert index.terms("parser 3.11.2") == {"parser": 1, "3": 0.5, "11": 0.5, "2": 0.5, ("3", "11", "2"): 0.5}
    assert index.terms("3.11.2")["3", "11", "2"] == pytest.approx(0.9)
    assert ("9", "11", "2") not in index.terms("9.11.2")  # in no text: its parts count in full
    assert index.terms("9.11.2")["11"] == 1


def test_quoted_phrases_are_required_of_a_short_query(index: LexicalIndex) -> None:
    def found(query: str) -> list[int] | None:
        ids = index.with_phrases(query)
        return None if ids is None else ids.tolist()

    assert found('"ab 12"') == [8, 9]
    assert found("“AB-12-34” hinges") == [9]
    assert found('"part" "a hinge"') == [9]
    assert found('"hinge a"') == []
    assert found("part AB-12-34") is None
    assert found('a pipe of 5" and 6" hoses') is None
    assert found('"!"') is None
    prose = "I look for parts such as the one that we had before, called"
    assert found(f'{prose} "a hinge"') is None
    assert ("a", "hing") in index.terms(f'{prose} "a hinge"')


def test_sequences_phrases_and_names_of_a_query() -> None:
    assert sequences("well-known and/or 24/7, std::map v2.0 (10.0.0.1) a.b x-1 --no-ignore e.g. this.") == [
        "24/7",
        "std::map",
        "v2.0",
        "10.0.0.1",
        "x-1",
        "--no-ignore",
    ]
    assert phrases('say "one two" or «drei»') == (["one two", "drei"], True)
    assert [is_names(query) for query in ("C++ C#", "2024-03-12", "E0308!", "userName", "a cat", "dog", "")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip


def test_an_index_of_an_older_analysis_is_not_opened(tmp_path) -> None:
    from gnomon.core.errors import IndexDamaged

    LexicalIndex.create(tmp_path, LexicalSettings())
    manifest = tmp_path / "gnomon.json"
    manifest.write_text(manifest.read_text().replace('"version": 2', '"version": 1'))
    with pytest.raises(IndexDamaged):
        LexicalIndex.open(tmp_path, LexicalSettings())
