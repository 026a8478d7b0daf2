"""A reply, in pieces of any size and of any form, to sentences that are verified one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.answer.generative import MAX_CHARACTERS_PER_TOKEN, verify_reply
from gnomon.answer.response_parser import ParsedSentence, ResponseParser
from gnomon.answer.types import Passage, SentenceVerified, TextDelta
from gnomon.answer.verification.verifier import Verifier
from gnomon.core.errors import GenerationFailed
from gnomon.testing.toys import HashEncoder

TEXT = (
    "Keys live for 90 days. A key that is older is refused. To rotate a key, make a new one first. "
    "Then revoke the one before. The gnomon casts the shadow that tells the hour."
)
OTHER = "Mix flour, water and salt. Bake the bread for 40 minutes in a hot oven."
START = 100  # the passages do not begin where their documents do


@pytest.fixture(scope="module")
def verifier():
    passages = [
        Passage(1, "keys.md", TEXT, START, START + len(TEXT), 1.0),
        Passage(2, "bread.md", OTHER, 0, len(OTHER), 0.5),
    ]
    return Verifier(passages, HashEncoder(256))


class Pieces:
    """A reply in pieces, that knows how it ended."""

    def __init__(self, text, size=3, error=None):
        self.parts = [text[at : at + size] for at in range(0, len(text), size)]
        self.error, self.closed, self.taken = error, False, 0

    def __call__(self):
        try:
            for part in self.parts:
                self.taken += 1
                yield part
            if self.error:
                raise self.error
        finally:
            self.closed = True


def drafted(verifier, pieces, unsupported="mark", max_tokens=500):
    """The events and the draft that they end with."""
    events, running = [], verify_reply(pieces(), verifier, unsupported, max_tokens=max_tokens)
    while True:
        try:
            events.append(next(running))
        except StopIteration as stop:
            assert pieces.closed
            return events, stop.value


def cut(text, size=1, *, cut_off=False):
    reply = ResponseParser()
    found = [said for at in range(0, len(text), size) for said in reply.add(text[at : at + size])]
    return found + list(reply.rest(cut_off=cut_off))


def test_markers_belong_to_the_sentence_they_follow_and_are_taken_out():
    assert cut("Keys live. [1] They end.[2] Dr. No [1, 3] said so [2][4]. Ask 【2】. 1999 [2020] was [^3] it.") == [
        ParsedSentence("", "Keys live.", (1,)),
        ParsedSentence(" ", "They end.", (2,)),
        ParsedSentence(" ", "Dr. No said so.", (1, 3, 2, 4)),
        ParsedSentence(" ", "Ask.", (2,)),
        ParsedSentence(" ", "1999 [2020] was it.", (3,)),
    ]
    assert cut("See [passage 2] and (see [1]). 第一句。[1]第二句[2-4]。") == [
        ParsedSentence("", "See and.", (2, 1)),
        ParsedSentence(" ", "第一句。", (1,)),
        ParsedSentence("", "第二句。", (2, 3, 4)),
    ]
    assert cut("It ends. [1") == [ParsedSentence("", "It ends.")]


def test_items_of_lists_and_blocks_of_code_are_sentences():
    text = "Do this:\n\n1. Make a key [1]\n2. Revoke it. Then wait [2].\n- x\n\n```sh\nrun a[1]. now\n```\nDone"
    assert [(one.before, one.text, one.cited) for one in cut(text)] == [
        ("", "Do this:", ()),
        ("\n\n1. ", "Make a key", (1,)),
        ("\n2. ", "Revoke it.", ()),
        (" ", "Then wait.", (2,)),
        ("\n- ", "x", ()),
        ("\n\n", "```sh\nrun a[1]. now\n```", ()),
        ("\n", "Done", ()),
    ]


def test_only_a_last_sentence_without_an_end_is_not_whole():
    assert [one.whole for one in cut("One two. Three fo", cut_off=True)] == [True, False]
    assert [one.whole for one in cut("One two. Three four.", cut_off=True)] == [True, True]
    assert [one.whole for one in cut("One two. Three four")] == [True, True]


ALPHABET = st.sampled_from([*"ab. \n[]1,2-*。!?", "[1]", "[2, 1]", "\n```\n", "Word ", "Dr. ", "- ", "1. ", "one two."])


@given(st.lists(ALPHABET, max_size=40).map("".join), st.integers(1, 12))
def test_pieces_of_any_size_give_the_same_text(text, size):
    # Where one sentence ends may depend on what comes next; its words never get lost or said twice.
    def words(found):
        return [letter for one in found for letter in one.text if letter.isalnum()]

    assert words(cut(text, size)) == words(cut(text, max(1, len(text))))


def test_a_reply_is_verified_sentence_by_sentence(verifier):
    pieces = Pieces("Keys live for 90 days [1]. The king of Spain is bald [2]. Then revoke the one before.")
    events, draft = drafted(verifier, pieces)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == draft.raw
    checked = [event.sentence for event in events if isinstance(event, SentenceVerified)]
    assert tuple(checked) == draft.sentences
    assert [one.supported for one in checked] == [True, False, True]
    assert draft.text == "Keys live for 90 days. The king of Spain is bald. Then revoke the one before."
    assert [draft.text[one.start : one.end] for one in checked] == [one.text for one in checked]
    (citation,) = checked[0].citations
    assert citation.document == "keys.md"
    assert TEXT[citation.start - START : citation.end - START] == citation.quote
    assert citation.quote.rstrip(".") == "Keys live for 90 days"
    # The first sentence was shown before the last had come.
    assert events.index(SentenceVerified(checked[0])) < max(i for i, e in enumerate(events) if isinstance(e, TextDelta))


def test_dropped_sentences_are_never_seen(verifier):
    pieces = Pieces("- The king of Spain is bald.\n- Keys live for 90 days.\nBread is blue! Revoke the one before.")
    events, draft = drafted(verifier, pieces, "drop")
    assert all(isinstance(event, SentenceVerified) and event.sentence.supported for event in events)
    assert draft.text == "- Keys live for 90 days.\nRevoke the one before."
    assert [one.text for one in draft.dropped] == ["The king of Spain is bald.", "Bread is blue!"]
    assert [(one.start, one.end) for one in draft.dropped] == [(0, 0), (24, 24)]


@pytest.mark.parametrize("unsupported", ["mark", "drop"])
def test_what_was_whole_before_a_reply_broke_off_is_kept(verifier, unsupported):
    error = GenerationFailed("broke off")
    pieces = Pieces("Keys live for 90 days [1]. Then revoke the one", error=error)
    _, draft = drafted(verifier, pieces, unsupported)
    assert draft.error is error
    assert [(one.text, one.supported) for one in draft.sentences][:1] == [("Keys live for 90 days.", True)]
    last = (draft.sentences if unsupported == "mark" else draft.dropped)[-1]
    assert (last.text, last.supported, last.citations) == ("Then revoke the one", False, ())
    assert draft.text.startswith("Keys live for 90 days.")


def test_a_reply_that_repeats_itself_is_ended_and_said_once(verifier):
    pieces = Pieces("Keys live for 90 days. Then revoke the one before. " * 200)
    _, draft = drafted(verifier, pieces)
    assert draft.text == "Keys live for 90 days. Then revoke the one before."
    assert pieces.taken < 100


def test_a_server_that_knows_no_limit_is_stopped(verifier):
    pieces = Pieces("blah " * 100_000)
    _, draft = drafted(verifier, pieces, max_tokens=10)
    assert len(draft.raw) <= 10 * MAX_CHARACTERS_PER_TOKEN + 3
    assert not any(one.supported for one in draft.sentences)


@pytest.mark.parametrize("text", ["", "   \n\n", "[1]", "...", "```", "[1][2], [3]."])
def test_a_reply_without_a_word_has_no_sentence(verifier, text):
    _, draft = drafted(verifier, Pieces(text))
    assert (draft.text, draft.sentences) == ("", ())


def test_a_closed_reply_ends_the_request(verifier):
    pieces = Pieces("Keys live for 90 days. Then revoke the one before. " * 5)
    running = verify_reply(pieces(), verifier, "mark", max_tokens=500)
    next(running)
    running.close()
    assert pieces.closed
