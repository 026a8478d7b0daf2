"""Sentences and where they stand."""

from hypothesis import given
from hypothesis import strategies as st

from gnomon.text.sentences import sentences, spans

PIECES = st.sampled_from(["A word", " ", "\n\n", ". ", "!", "? ", "。", "Dr. X", "\t", "3.5", "é", "”", "e.g. "])


@given(st.lists(PIECES).map("".join))
def test_spans_are_the_sentences_and_leave_out_only_white_space(text: str) -> None:
    found = spans(text)
    assert [" ".join(text[start:end].split()) for start, end in found] == sentences(text)
    at = 0
    for start, end in found:
        assert not text[at:start].strip()
        assert text[start:end] == text[start:end].strip() != ""
        at = end
    assert not text[at:].strip()


def test_spans_of_a_text_with_headings_and_another_script() -> None:
    text = "# Setup\n\nRun it.  Then stop!\n 第一句。第二句"
    assert [text[a:b] for a, b in spans(text)] == ["# Setup", "Run it.", "Then stop!", "第一句。", "第二句"]
    assert spans(" \n\n ") == []
