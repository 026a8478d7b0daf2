"""What a search gives back, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.collection import Collection
from gnomon.collection.search import LENGTH, highlighter, snippet
from gnomon.core.errors import InvalidInput


def test_a_hit_says_where_it_stands(kb: Collection, docs: Path) -> None:
    hit = kb.search("which part of a sundial casts the shadow", k=1)[0]
    text = kb.text(hit.document)
    assert text is not None
    assert text[hit.start : hit.end] == hit.text
    assert hit.source == str(docs / "sundial.md")
    assert (hit.title, hit.heading) == ("Sundials", ("Sundials",))
    marked = {hit.snippet[a:b].lower() for a, b in hit.highlights}
    assert {"sundial", "casts", "shadow"} <= marked
    assert "the" not in marked


def test_every_stage_shows_its_score(kb: Collection) -> None:
    hit = kb.search("black tea", k=1)[0]
    assert set(hit.stages) == {"dense", "lexical"}
    assert hit.score == pytest.approx(1.0)
    assert set(kb.search("black tea", k=1, mode="dense")[0].stages) == {"dense"}
    assert set(kb.search("black tea", k=1, mode="lexical")[0].stages) == {"lexical"}


def test_scores_fall_and_k_is_kept(kb: Collection) -> None:
    scores = [hit.score for hit in kb.search("the animal", k=3)]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert len(kb.search("the animal", k=50)) <= 4


def test_identifiers_are_found_by_their_parts(kb: Collection) -> None:
    assert kb.search("parse config", k=1, mode="lexical")[0].document == "docs/deep/code.py"


def test_chunks_of_one_document_are_grouped(opened, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("\n\n".join(f"Paragraph {n} tells of otters and rivers, of stones and weirs." for n in range(60)))
    (tmp_path / "short.txt").write_text("An otter, once.")
    kb = opened()
    kb.index([path, tmp_path / "short.txt"])
    assert len(kb.search("otters rivers", k=5)) == 5
    grouped = kb.search("otters rivers", k=5, by="document", mode="dense")
    assert [hit.document for hit in grouped] == ["long.txt", "short.txt"]
    assert grouped[0].more == kb.status().chunks - 2
    assert grouped[1].more == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query": "  "}, "an empty query"),
        ({"query": "tea", "k": 0}, "k is 0"),
        ({"query": "tea", "by": "page"}, "by 'page'"),
        ({"query": "tea", "mode": "fuzzy"}, "mode 'fuzzy'"),
        ({"query": 7}, "a query of type int"),
    ],
)
def test_bad_questions_are_refused(kb: Collection, options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        kb.search(**options)  # type: ignore[arg-type]


def test_syntax_in_a_query_is_only_words(kb: Collection) -> None:
    for query in ('title:(tea OR "', "tea AND NOT", "🫖 tea ^2 ~", "a" * 5000, "te\u0301a \ud7ff"):
        kb.search(query, mode="lexical")


def test_many_queries_give_what_each_gives(kb: Collection) -> None:
    queries = ["black tea", "blue whale", "sundial"]
    together = kb.search_many(queries, k=2)
    assert [[h.chunk_id for h in hits] for hits in together] == [
        [h.chunk_id for h in kb.search(query, k=2)] for query in queries
    ]


def test_status_is_plain_json(kb: Collection) -> None:
    plain = json.loads(json.dumps(kb.status().to_json()))
    assert plain["chunks"] == 4
    assert plain["space"]["dim"] == 64
    assert plain["vectors"] == 4


@given(st.text(max_size=900), st.text(min_size=1, max_size=40))
def test_highlights_lie_within_the_snippet(text: str, query: str) -> None:
    stems = highlighter(query)
    shown, spans = snippet(text, stems)
    assert len(shown) <= LENGTH
    assert "\n" not in shown
    for start, end in spans:
        assert 0 <= start < end <= len(shown)
        assert shown[start:end].lower().startswith(stems)


def test_a_snippet_shows_the_richest_stretch() -> None:
    text = "tea " + "filler " * 100 + "boiling water makes black tea best " + "filler " * 100
    shown, spans = snippet(text, highlighter("black tea with boiling water"))
    assert "boiling water makes black tea" in shown
    assert [shown[a:b] for a, b in spans] == ["boiling", "water", "black", "tea"]


def test_a_closed_collection_says_so(kb: Collection) -> None:
    kb.close()
    for call in (lambda: kb.search("tea"), lambda: kb.add(["more"]), kb.status, lambda: kb.remove("x")):
        with pytest.raises(InvalidInput, match="was closed"):
            call()
    kb.close()
