from dataclasses import replace

import pytest

import gnomon
from gnomon.answer.evaluation.evaluate import exclusion_condition, scores_of, threshold_curve
from gnomon.answer.evaluation.metrics import (
    MEASURES,
    EvaluatedQuestion,
    SupportJudge,
    answer_text,
    question_metrics,
)
from gnomon.answer.evaluation.questions import Question
from gnomon.answer.types import Answer, Citation, Passage, Sentence
from gnomon.testing.toys import HashEncoder

TEXTS = {
    "nile": "The Nile is 6,650 km long. It flows into the Mediterranean Sea.",
    "bees": "Honey bees live in hives. A queen lays all the eggs.",
    "it's": "A glacier is a river of ice. It moves slowly.",
}


@pytest.fixture
def kb(tmp_path):
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as collection:
        collection.add([{"id": name, "text": text} for name, text in TEXTS.items()])
        yield collection


def passage(number, document, start=0):
    text = TEXTS[document]
    return Passage(number, document, text[start:], start, len(text), 1.0 / number)


def cited(text, *where):
    """A sentence that cites passages (number, document) by where its text stands, or by their first ten."""
    found = []
    for number, document in where:
        start = max(0, TEXTS[document].find(text))
        end = start + (len(text) if text in TEXTS[document] else 10)
        quote = TEXTS[document][start:end]
        found.append(Citation(number, document, start, end, quote, 0.9))
    return Sentence(text, 0, len(text), tuple(found), 0.9, bool(found))


def answer(*sentences, outcome="answered", confidence=0.9, passages=None):
    text = " ".join(f"{one.text} [{number}]" for number, one in enumerate(sentences, 1))
    shown = (passage(1, "nile"), passage(2, "bees")) if passages is None else passages
    return Answer("Q?", "Q?", outcome, "extractive", text, tuple(sentences), shown, confidence, 0.5, queries=("Q?",))


LONG = "The Nile is 6,650 km long."
QUESTION = Question("q", "How long is the Nile?", ("6,650 km", "about 6,650 km"), ("nile",))
NOTHING = answer(outcome="not in these documents", confidence=0.2)


def figures(kb, asked, *names):
    found = question_metrics(asked, SupportJudge(kb))
    assert set(found) <= set(MEASURES)
    return tuple(found.get(name) for name in names) if names else found


def test_a_good_answer(kb):
    asked = EvaluatedQuestion(QUESTION, answer(cited(LONG, (1, "nile"))), ("bees", "nile"), NOTHING)
    assert figures(kb, asked) == {
        "evidence@10": 1.0,
        "evidence shown": 1.0,
        "exact match": 0.0,
        "token F1": pytest.approx(2 * 2 / (5 + 2)),  # nile is 6650 km long, against 6650 km
        "F1 of first sentence": pytest.approx(2 * 2 / (5 + 2)),
        "citation precision": 1.0,
        "citation recall": 1.0,
        "citations of evidence": 1.0,
        "answered with evidence": 1.0,
        "offered with evidence": 1.0,
        "abstention recall": 1.0,
        "refused without evidence": 1.0,
    }


def test_marks_of_citations_are_no_words_of_the_answer(kb):
    one = replace(answer(), text="About 6,650 km [1, 2].")
    assert answer_text(one) == "About 6,650 km."
    assert figures(kb, EvaluatedQuestion(QUESTION, one), "exact match", "token F1") == (1.0, 1.0)


def test_no_answer_counts_0_and_has_no_citations(kb):
    for outcome, kept in (("not in these documents", 0.0), ("failed", None)):
        asked = EvaluatedQuestion(QUESTION, replace(answer(cited(LONG)), outcome=outcome), ("nile",), NOTHING)
        names = "exact match", "token F1", "citation recall", "answered with evidence"
        assert figures(kb, asked, *names) == (0.0, 0.0, None, kept)
        assert figures(kb, asked, "evidence@10") == (1.0,)


def test_a_possible_answer_is_offered_and_not_given_plainly(kb):
    possible = replace(answer(cited(LONG)), outcome="possible")
    names = "answered with evidence", "offered with evidence", "abstention recall", "refused without evidence"
    assert figures(kb, EvaluatedQuestion(QUESTION, possible, ("nile",), possible), *names) == (0, 1, 1, 0)
    assert figures(kb, EvaluatedQuestion(QUESTION, possible, ("nile",), NOTHING), *names) == (0, 1, 1, 1)
    assert answer_text(possible) == LONG


def test_evidence_must_be_among_the_first_ten_and_among_the_passages(kb):
    others = tuple(f"d{n}" for n in range(10))
    names = "evidence@10", "evidence shown"
    assert figures(kb, EvaluatedQuestion(QUESTION, answer(), (*others, "nile")), *names) == (0.0, 1.0)
    hidden = answer(passages=(passage(1, "bees"),))
    assert figures(kb, EvaluatedQuestion(QUESTION, hidden, (*others[:9], "nile")), *names) == (1.0, 0.0)
    alone = replace(QUESTION, documents=())
    assert figures(kb, EvaluatedQuestion(alone, answer(cited(LONG, (1, "nile"))), others), *names) == (None, None)
    assert "abstention recall" not in figures(kb, EvaluatedQuestion(alone, answer(), others))


def test_a_citation_counts_only_where_its_passage_says_so(kb):
    names = "citation precision", "citation recall", "citations of evidence"
    wrong = cited(LONG, (2, "bees"))  # the right sentence, another passage
    assert figures(kb, EvaluatedQuestion(QUESTION, answer(wrong)), *names) == (0.0, 0.0, 0.0)
    half = cited(LONG, (1, "nile"), (2, "bees"))
    assert figures(kb, EvaluatedQuestion(QUESTION, answer(half)), *names) == (0.5, 1.0, 0.5)
    without = answer(cited(LONG, (1, "nile")), cited("Whales are large animals."))
    assert figures(kb, EvaluatedQuestion(QUESTION, without), *names) == (1.0, 0.5, 1.0)
    none = answer(cited("Whales are large animals."))
    assert figures(kb, EvaluatedQuestion(QUESTION, none), *names) == (None, 0.0, None)


def test_a_sentence_in_other_words_is_verified_and_a_changed_number_is_not(kb):
    names = "citation precision", "citation recall"
    said_so = cited("The Nile is about 6,650 km long.", (1, "nile"))
    assert figures(kb, EvaluatedQuestion(QUESTION, answer(said_so)), *names) == (1.0, 1.0)
    not_so = cited("The Nile is 7,000 km long.", (1, "nile"))
    assert figures(kb, EvaluatedQuestion(QUESTION, answer(not_so)), *names) == (0.0, 0.0)


def test_a_quote_must_be_what_stands_at_its_offsets(kb):
    sentence = cited(LONG, (1, "nile"))
    (citation,) = sentence.citations
    for bad in (
        replace(citation, quote="The Nile is 7,000 km long."),
        replace(citation, start=1, end=27),
        replace(citation, document="lost"),
        replace(citation, document="bees", start=0, end=10, quote=TEXTS["bees"][:10]),
        replace(citation, passage=7),
    ):
        moved = answer(replace(sentence, citations=(bad,)))
        assert figures(kb, EvaluatedQuestion(QUESTION, moved), "citation precision") == (0.0,), bad
    row = replace(passage(1, "nile"), document="rivers#3", row=True)
    of_row = answer(replace(sentence, citations=(replace(citation, document="rivers#3"),)), passages=(row,))
    assert figures(kb, EvaluatedQuestion(QUESTION, of_row), "citation precision") == (1.0,)


def test_abstaining_is_measured_over_both_askings():
    answered, not_answered = {"answered with evidence": 1.0}, {"answered with evidence": 0.0}
    values = {
        "a": {"abstention recall": 1.0, **answered},
        "b": {"abstention recall": 1.0, **not_answered},
        "c": {"abstention recall": 0.0, **answered},
        "d": {"token F1": 0.5},
    }
    scores = {score.metric: score for score in scores_of(values)}
    assert list(scores) == ["token F1", "answered with evidence", "abstention recall", "abstention precision"]
    assert (scores["abstention recall"].mean, scores["abstention recall"].n) == (pytest.approx(2 / 3), 3)
    assert (scores["abstention precision"].mean, scores["abstention precision"].n) == (
        pytest.approx(2 / 3),
        3,
    )
    assert (scores["token F1"].low, scores["token F1"].high) != (0.5, 0.5)  # one question says little
    for score in scores.values():
        assert 0 <= score.low <= score.mean <= score.high <= 1


def test_never_abstaining_has_no_precision():
    scores = scores_of({"a": {"abstention recall": 0.0, "answered with evidence": 1.0}})
    assert [score.metric for score in scores] == ["answered with evidence", "abstention recall"]


def test_the_trade_off_by_threshold():
    def pair(there, gone):
        return EvaluatedQuestion(QUESTION, answer(confidence=there), (), replace(NOTHING, confidence=gone))

    curve = threshold_curve([pair(0.9, 0.2), pair(0.5, 0.6), EvaluatedQuestion(QUESTION, answer())])
    at = {point.threshold: (point.answered, point.abstained) for point in curve}
    assert at[0.0] == (1.0, 0.0)
    assert at[0.5] == (1.0, 0.5)
    assert at[0.55] == (0.5, 0.5)
    assert at[0.6] == (0.5, 0.5)  # a confidence at the threshold answers
    assert at[1.0] == (0.0, 1.0)
    assert threshold_curve([EvaluatedQuestion(QUESTION, answer())]) == ()


def test_documents_are_left_out_of_the_search_and_stay(kb):
    for documents, where, left in (
        (["nile"], None, {"bees", "it's"}),
        (["it's", "nile"], None, {"bees"}),
        (["bees"], "id = 'bees' or id = 'nile'", {"nile"}),
        (["bees"], {"id": {"in": ["bees", "nile"]}}, {"nile"}),
    ):
        assert set(kb.ids(exclusion_condition(documents, where))) == left
    assert set(kb.ids()) == set(TEXTS)
