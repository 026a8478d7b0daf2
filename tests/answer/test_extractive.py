"""Answers without a language model: the sentences that answer best, quoted exactly."""

import warnings
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.answer.extractive import extract_sentences
from gnomon.answer.types import Passage, Sentence
from gnomon.answer.verification.verifier import Verifier
from gnomon.testing.toys import HashEncoder

ENCODER = HashEncoder(dim=256, max_tokens=10_000)
KEYS = (
    "# Keys\n\nA key is made with the command keygen. Keys expire after ninety days. Every key lives for "
    "ninety days until it expires. Colours can be set in the profile."
)
CATS = "Cats sleep for most of the day. How long do they live? They live for about fifteen years."


def passage(number: int, text: str, *, start: int = 0, score: float = 0.5) -> Passage:
    return Passage(number, f"d{number}", text, start, start + len(text), score)


PASSAGES = (passage(1, KEYS, start=50, score=0.9), passage(2, CATS))


def ask(question: str, *passages: Passage, sentences: int = 1) -> list[Sentence]:
    return extract_sentences(question, passages or PASSAGES, ENCODER, sentences=sentences)


def test_the_sentence_that_answers_is_quoted_with_its_place() -> None:
    (found,) = ask("When do keys expire?")
    assert found.text == "Keys expire after ninety days."
    assert (found.start, found.end, found.support, found.supported) == (0, len(found.text), 1.0, True)
    (cited,) = found.citations
    assert (cited.passage, cited.document, cited.quote, cited.support) == (1, "d1", found.text, 1.0)
    assert ("x" * 50 + KEYS)[cited.start : cited.end] == cited.quote


def test_a_later_passage_is_quoted_where_it_answers_and_the_first_does_not() -> None:
    (found,) = ask("For how much of the day do cats sleep?")
    assert (found.text, found.citations[0].passage) == ("Cats sleep for most of the day.", 2)


def test_questions_are_no_answers() -> None:
    (found,) = ask("How long do they live?", passage(1, CATS))
    assert found.text == "They live for about fifteen years."


def test_headings_are_no_answers() -> None:
    marked = passage(1, "## When keys expire\n\nKeys do so after ninety days, when nobody renewed them.")
    assert ask("When do keys expire?", marked)[0].text.startswith("Keys do so")
    bare = replace(passage(1, "When keys expire\n\nKeys do so after ninety days."), heading=("When keys expire",))
    assert ask("When do keys expire?", bare)[0].text.startswith("Keys do so")


def test_further_sentences_come_in_the_order_of_the_text_with_a_space_between() -> None:
    own = passage(1, "Keys expire after ninety days. Cats sleep. Locks are oiled every second winter.")
    found = ask("When are locks oiled, and when do keys expire?", own, sentences=3)
    assert [one.text for one in found] == [
        "Keys expire after ninety days.",
        "Locks are oiled every second winter.",
    ]
    text = " ".join(one.text for one in found)
    assert [text[one.start : one.end] for one in found] == [one.text for one in found]


def test_what_is_said_twice_is_quoted_once() -> None:
    found = ask("When do keys expire?", passage(1, KEYS), passage(2, KEYS), sentences=5)
    assert len({one.text for one in found}) == len(found)
    assert found[0].citations[0].passage == 1


def test_what_answers_much_worse_is_left_out() -> None:
    assert len(ask("When do keys expire?", sentences=9)) < 3


def test_no_text_gives_no_sentences() -> None:
    assert extract_sentences("When?", (), ENCODER, sentences=2) == []
    assert ask("When?", passage(1, " \n ")) == []


def test_another_script_is_quoted_too() -> None:
    (found,) = ask("東京の人口は", passage(1, "大阪は西にあります。東京の人口は千四百万人です。"))
    assert found.text == "東京の人口は千四百万人です。"


def test_a_question_without_any_known_word_still_gets_the_best_there_is() -> None:
    assert len(ask("Zyzzyva?")) == 1
    assert len(ask("?!")) == 1


def test_what_a_passage_cuts_off_is_not_quoted() -> None:
    whole = "Keys expire after ninety days, unless somebody renews them. Renew keys with:\n\n```\nkey renew\n```\n"
    cut = whole[: whole.index("key renew")]
    (found,) = extract_sentences(
        "How do I renew keys?", [passage(1, cut)], ENCODER, sentences=1, text_of=lambda document: whole
    )
    assert found.text == "Keys expire after ninety days, unless somebody renews them."
    (found,) = ask("How do I renew keys?", passage(1, whole))
    assert found.text == "Renew keys with:\n\n```\nkey renew\n```"


def test_a_very_long_document_is_not_read_again() -> None:
    text = "Keys expire after ninety days."
    (found,) = extract_sentences(
        "When do keys expire?", [passage(1, text)], ENCODER, sentences=1, text_of=lambda document: text + " x" * 600_000
    )
    assert found.text == text


def test_what_is_longer_than_the_encoder_reads_is_quoted_without_a_warning() -> None:
    text = "Renew keys with:\n\n```\n" + "key renew --all\n" * 30 + "```"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = extract_sentences(
            "How are keys renewed?", [passage(1, text)], HashEncoder(dim=64, max_tokens=40), sentences=1
        )
    assert found.text == text


def test_text_whose_line_breaks_were_lost_is_quoted_without_its_heading() -> None:
    text = (
        "## Renewing keys of the house Keys are renewed with a command that the porter knows, every year. 1. Ask the "
        "porter for the command. 2. Run it: ```sh key renew ``` and wait. * It takes an hour."
    )
    own = replace(passage(1, text), title="Renewing keys of the house")
    (found,) = ask("Who knows the command that renews keys?", own)
    assert found.text == "Keys are renewed with a command that the porter knows, every year."


def test_what_does_not_stand_by_itself_is_not_quoted() -> None:
    text = "## Keys\n\nWhen do keys expire?\n\nSee Section 9.7.3 on when keys expire. When keys expire:"
    assert ask("When do keys expire?", passage(1, text)) == []


def test_a_row_of_a_table_is_quoted_from_its_own_text() -> None:
    text = "city: Bern; people: 134,794; canton: Bern"
    (found,) = ask("How many people live in Bern?", Passage(1, "cities#4", text, 0, len(text), 1.0, row=True))
    assert found.citations[0].quote == text[found.citations[0].start : found.citations[0].end]


PIECES = st.sampled_from(["Keys expire.", "Cats sleep long!", "Is it?", "- one", "\n\n", "第一句。", "word " * 70])


@settings(max_examples=40)
@given(st.lists(st.lists(PIECES, max_size=5).map(" ".join), max_size=3), st.integers(1, 4))
def test_quotes_stand_where_they_are_cited(texts: list[str], most: int) -> None:
    passages = [passage(at + 1, text, start=7 * at) for at, text in enumerate(texts)]
    found = extract_sentences("When do keys expire?", passages, ENCODER, sentences=most)
    assert len(found) <= most
    assert not found or any(text.strip() for text in texts)
    for one in found:
        (cited,) = one.citations
        own = passages[cited.passage - 1]
        assert own.text[cited.start - own.start : cited.end - own.start] == cited.quote == one.text
    assert found == sorted(found, key=lambda one: (one.citations[0].passage, one.citations[0].start))


@pytest.mark.parametrize("question", ["When do keys expire?", "Do cats sleep?"])
def test_a_quote_is_supported_by_the_verifier_as_well(question: str) -> None:
    verifier = Verifier(PASSAGES, ENCODER)
    for one in extract_sentences(question, PASSAGES, ENCODER, sentences=3):
        checked = verifier.check(one.text, one.start)
        assert checked.support == 1.0
        assert checked.citations[0].quote in one.text
