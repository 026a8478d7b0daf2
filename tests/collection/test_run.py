"""Runs: what the retriever that serves finds, to be evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gnomon.collection import Collection
from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder

QUERIES = {"q1": "gnomon sundial shadow", "q2": "black tea", "q3": "settings of the kettle"}


class Counting(HashEncoder):
    """Counts the texts that it encodes."""

    encoded = 0

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        self.encoded += len(texts)
        return super().encode(texts, role=role)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_a_run_holds_what_a_search_finds(kb: Collection, mode: str) -> None:
    run = kb.run(QUERIES, k=3, mode=mode)  # type: ignore[arg-type]
    assert run.queries == set(QUERIES)
    for name, text in QUERIES.items():
        hits = kb.search(text, k=3, mode=mode, by="document")  # type: ignore[arg-type]
        assert run.ranking(name) == [hit.document for hit in hits]
    assert run.about["mode"] == mode


def test_documents_are_grouped_by_their_best_chunk(opened, tmp_path: Path) -> None:
    lines = "\n\n".join(f"Paragraph {n} tells of otters and rivers, of stones and weirs." for n in range(60))
    (tmp_path / "long.txt").write_text(lines)
    (tmp_path / "short.txt").write_text("An otter, once.")
    kb = opened()
    kb.index([tmp_path / "long.txt", tmp_path / "short.txt"])
    assert kb.run({"q": "otters rivers"}, mode="dense").ranking("q") == ["long.txt", "short.txt"]
    by_chunk = kb.run({"q": "otters rivers"}, k=5, mode="dense", by="chunk")
    assert by_chunk.ranking("q") == [str(h.chunk_id) for h in kb.search("otters rivers", k=5, mode="dense")]


def test_query_vectors_are_kept(opened, docs: Path) -> None:
    encoder = Counting(64, max_tokens=48)
    kb = opened(encoder=encoder)
    kb.index([docs])
    first = kb.run(QUERIES)
    before = encoder.encoded
    again = kb.run({**QUERIES, "q4": "blue whale", "q5": "blue whale"})
    assert encoder.encoded == before + 1
    assert {name: again.results[name] for name in QUERIES} == dict(first.results)
    assert again.results["q4"] == again.results["q5"]


def test_nothing_asked_and_bad_questions(kb: Collection) -> None:
    assert kb.run({}).queries == set()
    with pytest.raises(InvalidInput, match="an empty query"):
        kb.run({"q": " "})


def test_what_pseudo_queries_are_made_from(kb: Collection) -> None:
    texts = {item.document: item for item in kb.chunk_texts()}
    assert texts["docs/sundial.md"].title == "Sundials"
    assert "casts the shadow" in texts["docs/sundial.md"].text
    assert set(kb.ids()) == set(texts)
