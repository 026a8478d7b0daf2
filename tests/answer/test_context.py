"""Passages are the documents' own text, under the limits, the best of what differs first."""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gnomon
from gnomon.answer.context import prompt_order, select_passages, token_counter
from gnomon.answer.settings import ContextSettings
from gnomon.answer.types import Passage
from gnomon.collection import Collection, CollectionSettings
from gnomon.core.contracts import Role
from gnomon.core.documents import Document
from gnomon.core.ranking import Query, Ranking
from gnomon.testing.toys import HashEncoder

CHUNK = 14
"""Tokens a chunk: twelve words and the two marks that the encoder adds."""


class Marking(HashEncoder):
    """Counts as most models do: each word, and a mark at either end."""

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        return [len(re.findall(r"\w+", text)) + 2 for text in texts]


@contextmanager
def collection(texts: Mapping[str, str], *, overlap: int = 0, media: str = "text/plain") -> Iterator[Collection]:
    with tempfile.TemporaryDirectory() as folder:
        kb = gnomon.open(
            Path(folder) / "kb",
            encoder=Marking(64, max_tokens=48),
            settings=CollectionSettings(chunk_tokens=CHUNK, chunk_overlap=overlap, prepend_title=False),
        )
        with kb:
            kb.add([Document(key, text, title=key, media_type=media) for key, text in texts.items()])
            yield kb


def ids_of(kb: Collection) -> dict[str, list[int]]:
    """Chunk ids by document, in the order in which they stand."""
    found: dict[str, list[int]] = {}
    for chunk in kb.chunk_texts():
        found.setdefault(chunk.document, []).append(int(chunk.chunk_id))
    return found


def ranked(ids: list[int]) -> Ranking:
    return Ranking(np.array(ids, dtype=np.int64), np.linspace(1.0, 0.5, len(ids)))


def sentence(word: str, words: int = 10) -> str:
    return " ".join(f"{word}{i}" for i in range(words)) + "."


def paragraph(*names: str) -> str:
    return "\n\n".join(sentence(name) for name in names)


WORDS = "shadow gnomon sun tea kettle e.g. 3.5 whale 影 😀 naïve".split()
MARKS = (" ", " ", " ", ". ", "! ", "\n\n", "  \n", "。", " " * 130)


def made_up(seed: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(WORDS) + draw.choice(MARKS) for _ in range(80))


MADE_UP = {f"d{seed}": made_up(seed) for seed in range(4)}


@pytest.fixture(scope="module", params=[0, 4], ids=["no overlap", "overlap"])
def varied(request: pytest.FixtureRequest) -> Iterator[Collection]:
    with collection(MADE_UP, overlap=request.param) as kb:
        yield kb


@st.composite
def limits(draw: st.DrawFn) -> ContextSettings:
    return ContextSettings(
        candidates=draw(st.integers(1, 12)),
        passages=draw(st.integers(1, 4)),
        budget_tokens=draw(st.integers(1, 60)),
        gap=draw(st.sampled_from([0, 1, 30])),
        diversity=draw(st.sampled_from([0.0, 0.3, 1.0])),
        duplicate=draw(st.sampled_from([0.5, 0.98, 1.0])),
    )


@given(limited=limits(), seed=st.integers(0, 10_000), most=st.integers(0, 40))
def test_passages_are_the_documents_own_text_under_the_limits(
    varied: Collection, limited: ContextSettings, seed: int, most: int
) -> None:
    ids = [chunk for chunks in ids_of(varied).values() for chunk in chunks]
    random.Random(seed).shuffle(ids)
    passages = select_passages(varied, ranked(ids[:most]), limited)
    count = token_counter(varied.encoder)

    assert bool(passages) == bool(ids[:most])
    assert [p.number for p in passages] == list(range(1, len(passages) + 1))
    assert [p.score for p in passages] == sorted((p.score for p in passages), reverse=True)
    assert len(passages) <= limited.passages
    assert sum(count(p.text) for p in passages) <= limited.budget_tokens
    used = [chunk for p in passages for chunk in p.chunk_ids]
    assert len(used) == len(set(used))
    assert set(used) <= set(ids[: min(most, limited.candidates)])
    for p in passages:
        assert p.text
        assert varied.text(p.document)[p.start : p.end] == p.text
    for one, other in combinations(passages, 2):
        if one.document == other.document:
            assert one.end <= other.start or other.end <= one.start  # nothing is shown twice


def test_an_empty_ranking_and_an_empty_collection_give_none() -> None:
    with collection({}) as kb:
        assert select_passages(kb, Ranking.empty(), ContextSettings()) == ()
        assert select_passages(kb, kb.retriever("lexical")([Query("tea")], k=5)[0], ContextSettings()) == ()


def test_neighbours_become_one_passage_and_what_lies_apart_does_not() -> None:
    with collection({"a": paragraph("one", "two", "three", "four", "five"), "b": paragraph("six")}) as kb:
        a, b = ids_of(kb)["a"], ids_of(kb)["b"]
        assert len(a) == 5
        passages = select_passages(kb, ranked([a[1], b[0], a[0], a[4]]), ContextSettings(diversity=0.0))
    assert [(p.document, p.chunk_ids) for p in passages] == [
        ("a", (a[1], a[0])),
        ("b", (b[0],)),
        ("a", (a[4],)),
    ]
    assert passages[0].text == paragraph("one", "two")
    assert passages[0].score == 1.0


def test_a_chunk_between_two_passages_makes_them_one() -> None:
    with collection({"a": paragraph("one", "two", "three")}) as kb:
        first, middle, last = ids_of(kb)["a"]
        passages = select_passages(kb, ranked([last, first, middle]), ContextSettings())
    assert [p.chunk_ids for p in passages] == [(last, first, middle)]
    assert passages[0].text == paragraph("one", "two", "three")


def test_the_gap_counts_characters_that_are_not_white_space() -> None:
    text = paragraph("one", "x", "three")
    with collection({"a": text}) as kb:
        first, middle, last = ids_of(kb)["a"]
        between = len("".join(sentence("x").split()))
        near = select_passages(kb, ranked([first, last]), ContextSettings(gap=between))
        far = select_passages(kb, ranked([first, last]), ContextSettings(gap=between - 1))
    assert [p.text for p in near] == [text]
    assert middle not in near[0].chunk_ids
    assert [p.chunk_ids for p in far] == [(first,), (last,)]


def test_a_merged_passage_stands_under_the_headings_that_its_chunks_share() -> None:
    text = f"# Clocks\n\n## Sun\n\n{sentence('sun')}\n\n## Water\n\n{sentence('water')}\n"
    with collection({"a": text}, media="text/markdown") as kb:
        ids = ids_of(kb)["a"]
        (passage,) = select_passages(kb, ranked(ids), ContextSettings())
        (alone,) = select_passages(kb, ranked(ids[-1:]), ContextSettings())
    assert passage.heading == ("Clocks",)
    assert alone.heading == ("Clocks", "Water")


def test_copies_are_left_out_white_space_aside() -> None:
    text = sentence("shadow")
    texts = {"a": text, "b": text.replace(" ", "  \n"), "c": sentence("tea")}
    with collection(texts) as kb:
        ids = ids_of(kb)
        passages = select_passages(kb, ranked([ids["b"][0], ids["a"][0], ids["c"][0]]), ContextSettings(duplicate=1.0))
    assert [p.document for p in passages] == ["b", "c"]


def test_near_copies_are_left_out_by_their_vectors() -> None:
    text = sentence("shadow")
    texts = {
        "a": text,
        "b": text.replace(".", "!").upper(),
        "c": sentence("tea"),
    }  # to the toy the same words
    with collection(texts) as kb:
        ids = [ids_of(kb)[key][0] for key in texts]
        assert [p.document for p in select_passages(kb, ranked(ids), ContextSettings())] == ["a", "c"]
        kept = select_passages(kb, ranked(ids), ContextSettings(duplicate=1.0, diversity=0.0))
    assert [p.document for p in kept] == ["a", "b", "c"]


def test_diversity_prefers_what_says_something_new() -> None:
    alike = sentence("shadow")
    texts = {"a": alike, "b": alike.replace("shadow0", "other"), "c": sentence("tea"), "d": sentence("far")}
    with collection(texts) as kb:
        ids = [ids_of(kb)[key][0] for key in texts]
        two = {"passages": 2, "duplicate": 1.0}
        plain = select_passages(kb, ranked(ids), ContextSettings(diversity=0.0, **two))
        diverse = select_passages(kb, ranked(ids), ContextSettings(diversity=0.5, **two))
    assert [p.document for p in plain] == ["a", "b"]
    assert [p.document for p in diverse] == ["a", "c"]


def test_the_passage_that_no_longer_fits_is_cut_at_the_end_of_a_sentence() -> None:
    short = "One two three. Four five six. Seven eight nine."
    with collection({"a": sentence("first"), "b": short, "c": sentence("third", 2)}) as kb:
        ids = [ids_of(kb)[key][0] for key in "abc"]
        first, second = select_passages(kb, ranked(ids), ContextSettings(budget_tokens=17))
        (alone,) = select_passages(kb, ranked(ids), ContextSettings(budget_tokens=12))
    assert first.text == sentence("first")
    assert second.text == "One two three. Four five six."
    assert (second.start, second.end) == (0, 29)
    assert alone.document == "a"  # two words more would cut the next in the middle of a sentence


@pytest.mark.parametrize(
    ("text", "budget", "shown"),
    [
        ("One two three. Four five six.", 4, "One two three."),
        ("One two three. Four five six.", 2, "One two"),
        ("x" * 100, 2, "x" * 32),  # a word alone: 16 letters count as a token at least
    ],
)
def test_the_only_passage_is_cut_smaller_rather_than_dropped(text: str, budget: int, shown: str) -> None:
    with collection({"a": text}) as kb:
        (passage,) = select_passages(kb, ranked(ids_of(kb)["a"]), ContextSettings(budget_tokens=budget))
    assert passage.text == shown


def test_documents_that_changed_or_went_since_the_search_are_passed_over() -> None:
    with collection({"a": sentence("one"), "b": sentence("two"), "c": sentence("three")}) as kb:
        ids = [ids_of(kb)[key][0] for key in "abc"]
        kb.remove(["a"])
        kb.add([Document("b", "Something else altogether.")])
        assert [p.document for p in select_passages(kb, ranked(ids), ContextSettings())] == ["c"]


def test_a_document_that_changes_while_passages_are_made_is_passed_over(monkeypatch) -> None:
    with collection({"a": sentence("one"), "c": sentence("three")}) as kb:
        ids = [ids_of(kb)[key][0] for key in "ac"]
        hits = kb.hits("", ranked(ids))
        kb.add([Document("a", "Put before. " + sentence("one"))])  # after the hits were read
        monkeypatch.setattr(kb, "hits", lambda *_, **__: hits)
        assert [p.document for p in select_passages(kb, ranked(ids), ContextSettings())] == ["c"]


def test_tokens_are_counted_without_what_the_model_adds(minilm_folder: Path) -> None:
    encoder = gnomon.load_encoder(minilm_folder)
    with_marks = encoder.count_tokens(["A sundial tells the time."], role="document")[0]
    assert token_counter(encoder)("A sundial tells the time.") == with_marks - 2  # [CLS] and [SEP]
    assert token_counter(encoder)("x" * 1600) == 100  # to the model one unknown word


def test_the_best_stand_at_both_ends() -> None:
    passages = [Passage(n, "d", str(n), 0, 1, 1 / n) for n in range(1, 7)]
    ordered = prompt_order(passages)
    assert [p.number for p in ordered] == [1, 3, 5, 6, 4, 2]
    assert prompt_order(ordered) == ordered
    assert prompt_order(()) == ()
