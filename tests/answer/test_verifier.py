"""Citations are verified: what a passage says is cited where it stands, and what it does not say never is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.answer.types import Passage
from gnomon.answer.verification.claims import content_words, extract_claim, is_claim, strip_markers
from gnomon.answer.verification.spans import MAX_SEGMENT_WORDS, split_segments
from gnomon.answer.verification.verifier import MAX_UNMATCHED_SUPPORT, MIN_SUPPORT, Verifier
from gnomon.core.errors import InvalidInput
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder

ENCODER = HashEncoder(dim=256, max_tokens=10_000)
WORDS = content_words("en")
SERVER = (
    "# Setup\n\nThe server was started in 2019 with 5 GB of memory. It does not keep files.\n"
    "Backups are made by the agent every 3 days. Nobody in Paris was told."
)
MARKET = "Wheat prices fell by 5% in May. The Paris office closed."
DOCUMENT = "x" * 100 + SERVER


def verifier(*texts: str, **more: float) -> Verifier:
    passages = [Passage(at + 1, f"d{at}", text, 0, len(text), 1.0) for at, text in enumerate(texts)]
    return Verifier(passages, ENCODER, **more)


@pytest.fixture(scope="module")
def held() -> Verifier:
    server = Passage(1, "guide", SERVER, 100, 100 + len(SERVER), 0.9, title="The Gnomon guide")
    return Verifier([server, Passage(2, "news", MARKET, 0, len(MARKET), 0.5)], ENCODER)


def test_a_quote_is_cited_where_it_stands(held: Verifier) -> None:
    found = held.check("Backups are made\nby the  agent every 3 days", 40)
    (cited,) = found.citations
    assert found.supported
    assert found.support == cited.support == 1.0
    assert (found.start, found.end) == (40, 40 + len(found.text))
    assert (cited.passage, cited.document) == (1, "guide")
    assert DOCUMENT[cited.start : cited.end] == cited.quote == "Backups are made by the agent every 3 days"


def test_a_quote_over_the_end_of_a_line_and_in_quotation_marks_is_found(held: Verifier) -> None:
    (cited,) = held.check("“It does not keep files. Backups are made”", 0).citations
    assert DOCUMENT[cited.start : cited.end] == cited.quote == "It does not keep files.\nBackups are made"


def test_a_part_of_a_word_is_no_quote() -> None:
    assert verifier("The unstartled cat sleeps at home.").check("startled cat sleeps", 0).support != 1.0


def test_other_words_for_the_same_are_supported_and_quoted_exactly(held: Verifier) -> None:
    found = held.check("Every 3 days, backups are made by the agent.", 0)
    assert found.supported
    assert MIN_SUPPORT <= found.support < 1.0
    assert found.citations[0].quote == "Backups are made by the agent every 3 days."
    assert held.check("Wheat prices fell by 5 percent in May.", 0).supported


@pytest.mark.parametrize(
    "text",
    [
        "The server was started in 2020 with 5 GB of memory.",
        "The server was started in 2019 with 5 MB of memory.",
        "The server was started in 2019 with six GB of memory.",
        "The Berlin office closed.",
        "Wheat prices fell by 5% in June.",
        "Wheat prices fell by 5 dollars in May.",
    ],
)
def test_a_number_a_unit_or_a_name_that_is_nowhere_refuses_whatever_else_agrees(held: Verifier, text: str) -> None:
    found = held.check(text, 0, named=[1, 2])
    assert (found.supported, found.citations) == (False, ())
    assert found.support <= MAX_UNMATCHED_SUPPORT < MIN_SUPPORT


@pytest.mark.parametrize(
    "text",
    [
        "The server was not started in 2019 with 5 GB of memory.",
        "It keeps files.",
        "The Paris office opened.",
    ],
)
def test_what_denies_the_passage_is_not_supported(held: Verifier, text: str) -> None:
    assert not held.check(text, 0, named=[1, 2]).supported


def test_what_no_passage_says_is_not_supported(held: Verifier) -> None:
    found = held.check("Violins and cellos are tuned in fifths [1].", 0, named=[1])
    assert (found.supported, found.citations) == (False, ())
    assert found.support < MIN_SUPPORT


@pytest.mark.parametrize("text", ["Hello!", "Is it kept?", "Here is the answer:", "", " ", "[1]", "...", "Yes [2]."])
def test_what_claims_nothing_has_no_support(held: Verifier, text: str) -> None:
    found = held.check(text, 7)
    assert (found.text, found.start, found.end) == (text, 7, 7 + len(text))
    assert (found.citations, found.support, found.supported) == ((), 0.0, False)


def test_the_passage_named_is_cited_where_it_holds_and_another_where_it_does_not(held: Verifier) -> None:
    text = "Backups are made by the agent every 3 days"
    assert [cited.passage for cited in held.check(f"{text} [2].", 0, named=[2]).citations] == [1]
    twice = verifier(SERVER, MARKET, SERVER)
    assert [cited.passage for cited in twice.check(text, 0).citations] == [1]
    assert [cited.passage for cited in twice.check(text, 0, named=[3]).citations] == [3]
    assert [cited.passage for cited in twice.check(text, 0, named=[3, 1, 2, 9]).citations] == [1, 3]


def test_names_may_stand_in_the_title_or_another_sentence_of_the_passage(held: Verifier) -> None:
    text = "The Gnomon server was started in 2019 with 5 GB of memory."
    assert held.check(text, 0).support > 0.5
    assert verifier(SERVER).check(text, 0).support <= MAX_UNMATCHED_SUPPORT  # no title there


def test_a_stricter_threshold_accepts_less_and_quotes_stay() -> None:
    strict = verifier(SERVER, min_support=1.0)
    assert not strict.check("Every 3 days, backups are made by the agent.", 0).supported
    assert strict.check("Backups are made by the agent every 3 days.", 0).supported
    with pytest.raises(InvalidInput, match=r"(?s)min_support = 2.*0 to 1.*measured default"):
        verifier(SERVER, min_support=2)


def test_scripts_without_spaces_and_no_passages_are_no_fault() -> None:
    japanese = verifier("東京は日本の首都です。人口は1400万人です。")
    assert japanese.check("東京は日本の首都です。", 0).support == 1.0
    assert not japanese.check("大阪は日本の首都ではありません。", 0).supported
    assert not verifier().check("Backups are made by the agent.", 0).supported
    assert not verifier("", " \n ").check("Backups are made by the agent.", 0).supported


def test_passages_are_encoded_once_and_only_when_needed() -> None:
    class Counting(HashEncoder):
        calls = 0

        def encode(self, texts, *, role):  # type: ignore[no-untyped-def]
            self.calls += 1
            return super().encode(texts, role=role)

    counting = Counting(dim=64, max_tokens=1000)
    one = Verifier([Passage(1, "d", SERVER, 0, len(SERVER), 1.0)], counting)
    one.check("It does not keep files.", 0)
    assert counting.calls == 0  # a quote needs no vectors
    one.check("Files are never kept by it.", 0)
    one.check("The agent makes backups.", 0)
    assert counting.calls == 3  # the passages, and each sentence


def test_models_whose_unlike_texts_score_high_are_judged_alike() -> None:
    class Narrow(HashEncoder):
        """All its vectors lie in a narrow cone: the cosine of unlike texts is about 0.8."""

        def encode(self, texts, *, role):  # type: ignore[no-untyped-def]
            rows = super().encode(texts, role=role).data + np.eye(256, dtype=np.float32)[0] * 2
            return Vectors(rows / np.linalg.norm(rows, axis=1, keepdims=True), self.space)

    narrow = Narrow(dim=256, max_tokens=1000)
    one = Verifier([Passage(1, "d", SERVER, 0, len(SERVER), 1.0)], narrow)
    for text in ("Every 3 days, backups are made by the agent.", "Violins and cellos are tuned in fifths."):
        assert one.check(text, 0).support == pytest.approx(verifier(SERVER).check(text, 0).support, abs=0.1)


SENTENCES = st.sampled_from(
    [
        "The server runs.",
        "Prices fell 5% in May!",
        "Is it?",
        "- item one",
        "第一句。",
        "\n\n",
        "| a | b |\n",
        "e.g. x",
        "\u00a0",
    ]
)


@settings(max_examples=50)
@given(st.lists(SENTENCES, max_size=8).map(" ".join), st.lists(SENTENCES, max_size=3).map(" ".join))
def test_every_citation_is_the_text_where_it_points_and_unsupported_means_none(passage: str, text: str) -> None:
    document = f"before {passage} after"
    one = Verifier([Passage(1, "d", passage, 7, 7 + len(passage), 1.0)], ENCODER)
    found = one.check(text, 3, named=[1, 2])
    assert found.supported == bool(found.citations)
    assert 0.0 <= found.support <= 1.0
    for cited in found.citations:
        assert document[cited.start : cited.end] == cited.quote
        assert cited.support >= MIN_SUPPORT


@given(
    st.lists(st.sampled_from(["word", ", ", "; ", " ", "\n", "- x ", "。", "字", ". A ", "|"]), max_size=300).map(
        "".join
    )
)
def test_pieces_leave_out_only_white_space_and_are_short(text: str) -> None:
    at = 0
    for start, end in split_segments(text):
        assert not text[at:start].strip()
        assert text[start:end].strip() == text[start:end] != ""
        assert len(text[start:end].split()) <= MAX_SEGMENT_WORDS
        assert end - start <= 600
        at = end
    assert not text[at:].strip()


def test_long_sentences_are_cut_where_clauses_end() -> None:
    clause = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    text = ", ".join([clause] * 6)
    cut = [text[a:b] for a, b in split_segments(text)]
    assert len(cut) == 2
    assert cut[0].endswith("fourteen,")
    assert " ".join(cut) == text
    rows = "| a | b |\n|---|---|\n| 1 | 2 |\nAfter it."
    assert [rows[a:b] for a, b in split_segments(rows)] == ["| a | b |", "|---|---|", "| 1 | 2 |", "After it."]


def test_what_a_sentence_claims() -> None:
    found = extract_claim("Barack Obama didn't pay 1,000.50 dollars in Kenya, but twelve mg of RHDH-2 [3].", WORDS)
    assert found.numbers == {"1000.5", "12", "2", "3"}
    assert found.units == {"dollar", "mg"}
    assert found.names == {"barack", "obama", "kenya", "rhdh"}
    assert found.negated == {"pay", "1"}
    assert strip_markers("* It is so [1][2, 3], he said [4–5].") == "It is so, he said."
    assert is_claim("The cat sleeps.", WORDS)
    assert not is_claim("The cat.", WORDS)


def test_opposites_and_denials_contradict() -> None:
    said = extract_claim("The drug increases the risk of failure.", WORDS)
    assert extract_claim("The drug decreases the risk of failure.", WORDS).contradicts(said)
    assert extract_claim("The drug does not increase the risk.", WORDS).contradicts(said)
    assert not extract_claim("The risk increases with the drug.", WORDS).contradicts(said)
    assert not replace(said).contradicts(said)
