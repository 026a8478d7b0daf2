"""One list of words without content a language, and what of it a table's question keeps."""

from gnomon.answer.tables.question_words import ASCENDING, COMPARISON_PHRASES, DESCENDING, NEGATIONS
from gnomon.collection.search import highlighter
from gnomon.core.stop_words import ENGLISH, ENGLISH_TABLE_QUESTIONS
from gnomon.index.analysis import Analysis


def test_the_words_that_keyword_search_leaves_out_are_the_list() -> None:
    words = Analysis.of("en").words(" ".join([*sorted(ENGLISH), "tea"]))
    assert words == ["tea"]


def test_what_keyword_search_leaves_out_is_not_marked_in_snippets() -> None:
    assert highlighter(" ".join(sorted(ENGLISH))) == ()
    assert highlighter("tea before noon") == ("noon", "tea")


def test_words_that_compare_order_and_negate_keep_their_meaning_for_tables() -> None:
    for word in ("above", "below", "over", "under", "before", "after", "more", "most", "not", "nor", "may", "same"):
        assert word in ENGLISH
        assert word not in ENGLISH_TABLE_QUESTIONS
    assert not (DESCENDING | ASCENDING) & ENGLISH_TABLE_QUESTIONS
    assert {"no"} == (NEGATIONS & ENGLISH_TABLE_QUESTIONS)
    single = {phrase[0] for phrase, _ in COMPARISON_PHRASES if len(phrase) == 1}
    assert single & ENGLISH_TABLE_QUESTIONS == {"until"}


def test_commands_mean_no_column() -> None:
    assert {"show", "list", "how", "many", "rows"} <= ENGLISH_TABLE_QUESTIONS
