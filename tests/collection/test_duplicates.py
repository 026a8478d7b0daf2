"""Equal passages are one hit that names the other documents; judgments are of all of them."""

from __future__ import annotations

import numpy as np
import pytest

import gnomon
from gnomon.answer.query_rewriting import retrieve
from gnomon.answer.settings import AskSettings, ContextSettings
from gnomon.collection import Collection
from gnomon.core.vectors import Vectors

ON_BOTH = True

ARCHIVE = "The archive opens at nine on weekdays."
OTHERS = {
    "closed": "The archive is closed on Sundays.",
    "cafe": "The café in the archive opens at ten.",
    "tour": "Tours of the archive start on the hour.",
}


@pytest.fixture
def kb(opened) -> Collection:
    made = opened()
    made.add([{"id": f"copy{n:02}", "text": ARCHIVE, "metadata": {"n": n}} for n in range(40)])
    made.add([{"id": name, "text": text} for name, text in OTHERS.items()])
    return made


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("by", ["chunk", "document"])
def test_equal_passages_are_one_hit_and_the_rest_fills_up(kb: Collection, mode, by) -> None:
    hits = kb.search("when does the archive open", k=4, mode=mode, by=by)
    assert len({hit.text for hit in hits}) == 4
    (first,) = [hit for hit in hits if hit.text == ARCHIVE]
    assert {first.document, *first.copies} == {f"copy{n:02}" for n in range(40)}
    assert len(first.copies) == 39
    assert not any(hit.copies for hit in hits if hit is not first)
    every = kb.search("when does the archive open", k=43, mode=mode, by=by, collapse=False)
    assert len({hit.document for hit in every}) == 43
    assert not any(hit.copies for hit in every)


def test_copies_meet_the_condition_too(kb: Collection) -> None:
    (hit,) = kb.search("archive", where="n < 3", k=5)
    assert sorted((hit.document, *hit.copies)) == ["copy00", "copy01", "copy02"]


def test_vectors_and_several_queries_collapse_as_well(kb: Collection) -> None:
    vectors = kb.encoder.encode(["archive opens", "tours"], role="query")
    for found in (kb.search_many(vectors, k=3), kb.search_many(["archive opens", "tours"], k=3)):
        assert [len({hit.text for hit in hits}) for hits in found] == [3, 3]
    one = Vectors(vectors.data[:1], vectors.space)
    assert len(kb.search(one, k=4)) == 4


def test_equal_texts_under_other_headings_are_not_equal(opened) -> None:
    kb = opened()
    kb.add([{"id": "a", "title": "Is smoking allowed?", "text": "No."}, {"id": "b", "title": "Dogs?", "text": "No."}])
    assert len(kb.search("No", mode="lexical")) == 2


def test_evaluation_counts_every_copy(kb: Collection) -> None:
    run = kb.run({"q": "archive opens at nine on weekdays"}, k=40)
    assert set(run.results["q"]) == {f"copy{n:02}" for n in range(40)}
    assert len(kb.run({"q": "archive"}, k=40, by="chunk").results["q"]) == 40
    (ranking,) = kb.retriever()([gnomon.Query("archive opens at nine")], k=40)
    assert len(ranking) == 40
    assert len(kb.hits("archive", ranking, k=40, by="document")) == 40


def test_answers_rest_on_distinct_passages(kb: Collection) -> None:
    settings = AskSettings(context=ContextSettings(candidates=4))
    ranking = retrieve(kb, "when does the archive open", settings)
    assert {hit.text for hit in kb.hits("", ranking)} == {ARCHIVE, *OTHERS.values()}
    assert np.all(np.diff(ranking.scores) <= 0)
