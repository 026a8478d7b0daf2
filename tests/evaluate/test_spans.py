import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.answer.evaluation.metrics import exact_match, normalised, token_f1
from gnomon.core.errors import InvalidInput

TEXT = st.text(alphabet="ab the.,-!“”\nÄé中 ", max_size=30)


@pytest.mark.parametrize(
    ("answer", "gold", "match", "f1"),
    [
        # The values of the official script of SQuAD 1.1 (evaluate-v1.1.py), computed by hand from its rules.
        ("Denver Broncos", ["Denver Broncos", "The Denver Broncos"], 1.0, 1.0),
        ("the Broncos of Denver", ["Denver Broncos"], 0.0, 0.8),
        ("Santa Clara", ["Levi's Stadium", "Santa Clara, California."], 0.0, 0.8),
        ("more than 400,000 children", ["400000"], 0.0, 0.4),
        ("no no", ["no"], 0.0, 2 / 3),
        ("Carolina", ["Denver Broncos"], 0.0, 0.0),
        ("mother-to-child", ["mother to child"], 0.0, 0.0),  # a hyphen goes without leaving a space
        ("", ["Denver"], 0.0, 0.0),
        ("The", ["a"], 1.0, 1.0),
    ],
)
def test_values_are_those_of_squad(answer, gold, match, f1):
    assert exact_match(answer, gold) == match
    assert token_f1(answer, gold) == pytest.approx(f1, abs=1e-12)


def test_what_normalising_takes_away():
    assert normalised("  The  Answer,\nis:  an “Apple” — a. ") == "answer is apple"
    assert normalised("theme another An") == "theme another"
    assert normalised("„Äpfel“ und Birnen…") == "äpfel und birnen"
    assert normalised("$5 + 3%") == "5 3"


def test_the_best_of_several_gold_answers_counts():
    assert token_f1("river Nile", ["Amazon", "the Nile", "Nile river"]) == 1.0
    assert exact_match("river Nile", ["Amazon", "the Nile", "Nile river"]) == 0.0
    assert token_f1("river Nile", "Nile") == pytest.approx(2 / 3)  # a lone text is one gold answer


@given(TEXT, TEXT)
def test_f1_is_symmetric_and_between_0_and_1(one, other):
    f1 = token_f1(one, [other])
    assert 0 <= f1 <= 1
    assert f1 == token_f1(other, [one])
    assert token_f1(one, [one]) == exact_match(one, [one]) == 1
    assert f1 >= exact_match(one, [other])


@given(TEXT, st.lists(TEXT, min_size=1, max_size=4))
def test_more_gold_answers_never_harm(answer, gold):
    for measure in (exact_match, token_f1):
        assert measure(answer, gold) == max(measure(answer, [one]) for one in gold)


def test_no_gold_answer_is_refused():
    for measure in (exact_match, token_f1):
        with pytest.raises(InvalidInput, match="no gold answer"):
            measure("x", [])
