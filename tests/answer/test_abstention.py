"""Whether the passages hold an answer: signals, confidence, threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gnomon
from gnomon.answer.abstention import (
    MAX_SENTENCES,
    SIGNAL_NAMES,
    THRESHOLD,
    Signals,
    compute_signals,
    confidence,
)
from gnomon.answer.context import select_passages
from gnomon.answer.settings import ContextSettings
from gnomon.answer.types import Passage
from gnomon.collection import Collection
from gnomon.core.contracts import Role
from gnomon.core.ranking import Query, Ranking
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder

TEXTS = {
    "sundial": "A gnomon is the part of a sundial that casts the shadow. Its edge is parallel to the axis.",
    "whale": "The blue whale is the largest animal known to have lived. It eats krill.",
    "tea": "Green tea is brewed at seventy degrees. Black tea takes boiling water.",
    "iron": "Iron rusts in wet air. Zinc protects it for years.",
    "bees": "A queen bee lays two thousand eggs a day in early summer.",
}
QUESTION = "Which part of a sundial casts the shadow?"
FOREIGN = "Who won the election in Portugal?"
Open = Callable[..., Collection]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    made: list[Collection] = []

    def make(texts: dict[str, str], encoder: object = None) -> Collection:
        encoder = encoder or HashEncoder(64, max_tokens=48)
        kb = gnomon.open(tmp_path / f"kb{len(made)}", encoder=encoder)  # type: ignore[arg-type]
        made.append(kb)
        if texts:
            kb.add({"id": name, "text": text} for name, text in texts.items())
        return kb

    yield make
    for kb in made:
        kb.close()


def found(kb: Collection, question: str, mode: str = "hybrid", where: str | None = None) -> Signals:
    ranking = kb.retriever(mode, where=where)([Query(question)], k=30)[0]  # type: ignore[arg-type]
    return compute_signals(kb, question, ranking, passages=select_passages(kb, ranking, ContextSettings()))


def test_a_question_with_an_answer_is_surer_than_one_whose_document_is_taken_away(opened: Open) -> None:
    kb = opened(TEXTS)
    there, gone = found(kb, QUESTION), found(kb, QUESTION, where="id != 'sundial'")
    assert confidence(there) > THRESHOLD > confidence(gone)
    assert there.mass > gone.mass
    assert there.chunk > gone.chunk
    assert there.sentence > gone.sentence


@pytest.mark.parametrize("count", range(1, 6))
def test_collections_of_a_few_texts_answer_and_abstain(opened: Open, count: int) -> None:
    kb = opened(dict(list(TEXTS.items())[:count]))
    assert confidence(found(kb, QUESTION)) > THRESHOLD > confidence(found(kb, FOREIGN))


def test_nothing_found_is_no_confidence(opened: Open) -> None:
    empty = opened({})
    nothing = found(empty, QUESTION)
    assert (nothing, confidence(nothing)) == (Signals(), 0.0)
    kb = opened(TEXTS)
    ranking = kb.retriever("dense")([Query(QUESTION)], k=1)[0]
    assert confidence(compute_signals(kb, QUESTION, ranking, passages=())) == 0.0
    assert (
        confidence(
            compute_signals(kb, QUESTION, Ranking.empty(), passages=select_passages(kb, ranking, ContextSettings()))
        )
        == 0.0
    )
    row = Passage(1, "table#1", QUESTION, 0, len(QUESTION), 1.0, row=True)
    assert (
        confidence(compute_signals(kb, QUESTION, ranking, passages=(row,))) == 0.0
    )  # what a table says is not judged here


def test_the_mode_that_found_the_candidates_does_not_matter(opened: Open) -> None:
    kb = opened(TEXTS)
    one, *others = (found(kb, "casts shadow sundial gnomon edge", mode) for mode in ("hybrid", "dense", "lexical"))
    for other in others:
        same = replace(other, agreement=one.agreement)  # what else was found does
        np.testing.assert_allclose(same.row(), one.row(), atol=1e-5)


@pytest.mark.parametrize("question", ["???", "of the", "鯨", "a" * 5000, "\ud800 sundial"])
def test_odd_questions_give_numbers(opened: Open, question: str) -> None:
    kb = opened(TEXTS)
    ranking = kb.retriever("dense")([Query(QUESTION)], k=3)[0]
    measured = compute_signals(kb, question, ranking, passages=select_passages(kb, ranking, ContextSettings()))
    assert np.isfinite(measured.row()).all()
    assert 0 <= confidence(measured) < THRESHOLD or "sundial" in question


class Counting(HashEncoder):
    """Counts the texts that are encoded, and lifts all cosines by a shared direction where asked."""

    def __init__(self, lift: float = 0.0) -> None:
        super().__init__(64, max_tokens=48)
        self.seen, self.lift = 0, np.float32(lift)
        self.shared = np.random.default_rng(5).standard_normal(64).astype("f4")
        self.shared /= np.linalg.norm(self.shared)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        self.seen += len(texts)
        rows = super().encode(texts, role=role).data + self.lift * self.shared
        return Vectors(rows / np.linalg.norm(rows, axis=1, keepdims=True), self.space)


def test_a_question_costs_itself_and_a_few_sentences(opened: Open) -> None:
    encoder = Counting()
    kb = opened({f"{name}{at}": f"{text} Number {at}." for at in range(5) for name, text in TEXTS.items()}, encoder)
    ranking = kb.retriever()([Query(QUESTION)], k=30)[0]
    passages = select_passages(kb, ranking, ContextSettings())
    encoder.seen = 0
    compute_signals(kb, QUESTION, ranking, passages=passages)
    assert encoder.seen == 1 + MAX_SENTENCES


def test_a_model_whose_cosines_are_all_high_is_judged_on_the_same_scale(opened: Open) -> None:
    texts = {f"{name}{at}": f"{text} Number {at}." for at in range(5) for name, text in TEXTS.items()}
    plain, lifted = (found(opened(texts, Counting(lift)), QUESTION) for lift in (0.0, 2.0))
    assert abs(plain.chunk - lifted.chunk) < 0.1  # without the scale: 0.3 and more
    assert abs(plain.sentence - lifted.sentence) < 0.1


def test_passages_drawn_are_drawn_anew_when_the_collection_changes(opened: Open) -> None:
    kb = opened({f"{at}": f"sundial shadow {at}" for at in range(20)})
    before = found(kb, QUESTION).chunk
    kb.add({"id": f"other{at}", "text": f"zinc iron krill {at}"} for at in range(60))
    assert found(kb, QUESTION).chunk > before + 0.05


@given(
    row=st.tuples(*(st.floats(-1, 1.5) for _ in SIGNAL_NAMES)),
    more=st.floats(0, 1),
    name=st.sampled_from(SIGNAL_NAMES),
)
def test_confidence_is_a_probability_that_no_signal_lowers(row: tuple[float, ...], more: float, name: str) -> None:
    less = Signals(**dict(zip(SIGNAL_NAMES, row, strict=True)), found=True)
    raised = replace(less, **{name: getattr(less, name) + more})
    assert 0 <= confidence(less) <= confidence(raised) <= 1


def test_the_fitted_weights_are_of_the_signals_that_there_are() -> None:
    from gnomon.answer.fitted import load_fitted, read_fitted

    weights = load_fitted("abstention").weights
    assert set(weights) == set(SIGNAL_NAMES) == {one.name for one in fields(Signals)} - {"found"}
    assert all(weight >= 0 for weight in weights.values())
    assert 0 < THRESHOLD < 1
    assert "covidqa" not in read_fitted("abstention")["provenance"]["examples"]
