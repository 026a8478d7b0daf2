"""A collection whose model gives a vector a token: indexed, searched, changed, rebuilt, examined, migrated."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.collection.catalog.spaces import CANARIES
from gnomon.collection.settings import CollectionSettings, RetrievalSettings
from gnomon.core.contracts import DelegatingEncoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.core.similarity import maxsim
from gnomon.core.vectors import Vectors
from gnomon.doctor import examine
from gnomon.index.multi_vector import MultiVectorIndex
from gnomon.retrieve import NeighbourSettings, RocchioSettings
from gnomon.testing.toys import HashEncoder, LateHashEncoder

ON_BOTH = True

TEXT = "the gnomon is what casts a shadow"


class Counted(DelegatingEncoder):
    """Knows the documents that were encoded."""

    def __init__(self, encoder: LateHashEncoder) -> None:
        super().__init__(encoder)
        self.documents: set[str] = set()

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        self.documents.update(texts if role == "document" else ())
        return super().encode(texts, role=role)


def late() -> Counted:
    return Counted(LateHashEncoder(64, max_tokens=48))


@pytest.fixture
def late_kb(opened: Callable[..., Collection], docs: Path) -> Collection:
    kb = opened(encoder=late())
    kb.index([docs])
    return kb


def test_it_is_found_by_maxsim_and_by_words(late_kb: Collection) -> None:
    for mode in ("hybrid", "dense"):
        hits = late_kb.search("boiling water for black tea", mode=mode, k=2)
        assert hits[0].document == "docs/deep/tea.txt"
        assert "dense" in hits[0].stages
    (hit,) = late_kb.search("shadow", mode="dense", k=1)
    encoder = late()
    (chunk,) = [row for row in late_kb.to_arrow("chunks").to_pylist() if row["document"] == hit.document]
    document = encoder.encode([f"Sundials\n{chunk['text']}"], role="document")
    expected = maxsim(encoder.encode(["shadow"], role="query").data, document.data, document.starts)
    assert hit.score == pytest.approx(expected[0], abs=0.03)
    assert isinstance(late_kb.internals.indexes.dense, MultiVectorIndex)


def test_changes_reach_the_index(late_kb: Collection, docs: Path) -> None:
    late_kb.add([{"id": "new", "text": TEXT, "metadata": {"year": 2026}}])
    assert late_kb.search("what casts a shadow", mode="dense", k=1)[0].document == "new"
    (hit,) = late_kb.search("shadow", mode="dense", where="year >= 2026")
    assert hit.document == "new"
    late_kb.remove("new")
    (docs / "whales.txt").write_text("Kettles boil water for tea.")
    late_kb.index([docs])
    assert late_kb.search("what casts a shadow", mode="dense", k=1)[0].document == "docs/sundial.md"
    assert late_kb.search("kettles boil", mode="dense", k=1)[0].document == "docs/whales.txt"


@pytest.mark.sqlite
def test_indexes_are_rebuilt_from_the_catalog_without_the_model(
    late_kb: Collection, place: str, tmp_path: Path
) -> None:
    before = [(hit.chunk_id, hit.score) for hit in late_kb.search("boiling water", mode="dense")]
    late_kb.close()
    shutil.rmtree(tmp_path / "kb" / "derived")
    encoder = late()
    with gnomon.open(place, encoder=encoder) as again:
        found = [(hit.chunk_id, hit.score) for hit in again.search("boiling water", mode="dense")]
        assert again.status().derived[0].kind == "exact"
        assert again.index([tmp_path / "docs"], options=None).embedded == 0
    assert [chunk for chunk, _ in found] == [chunk for chunk, _ in before]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in before], atol=1e-5)
    assert encoder.documents == {text for role, text in CANARIES if role == "document"}


def test_it_is_examined_as_any_other(late_kb: Collection, place: str) -> None:
    late_kb.search("tea")
    late_kb.close()
    with gnomon.open(place, encoder=late()) as kb:
        assert [finding.check for finding in examine(kb).findings if finding.severity != "info"] == []
        with kb.internals.catalog.write() as connection:
            connection.exec_driver_sql("UPDATE vectors SET data = substr(data, 1, length(data) - 1) WHERE id = 1")
        assert "wrong-length" in [finding.check for finding in examine(kb).findings]


def test_a_model_that_changed_is_noticed(late_kb: Collection, place: str) -> None:
    late_kb.close()
    other = LateHashEncoder(64, salt="other", max_tokens=48)
    other.space = replace(other.space, fingerprint=late().space.fingerprint)
    with gnomon.open(place, encoder=other) as kb, pytest.raises(gnomon.SpaceMismatch, match="canary"):
        kb.search("tea", mode="dense")


def test_token_vectors_are_exported(late_kb: Collection) -> None:
    for row in late_kb.to_arrow("chunks", vectors=True).to_pylist():
        vectors = np.array(row["vector"])
        words = late().encode([row["text"]], role="document").data
        # The last words of what was embedded, behind the title; as the catalog keeps them: int8.
        np.testing.assert_allclose(vectors[-len(words) :], words, atol=0.004)


@pytest.mark.parametrize(("first", "second"), [(late, HashEncoder), (HashEncoder, late)])
def test_versions_of_one_and_of_several_vectors(
    opened: Callable[..., Collection], docs: Path, first: Callable[[], Any], second: Callable[[], Any]
) -> None:
    kb = opened(encoder=first())
    kb.index([docs])
    kb.versions.add(second())
    kb.versions.backfill("v2")
    kb.versions.mark_ready("v2")
    kb.switch("v2")
    assert kb.search("boiling water for black tea", mode="dense", k=1)[0].document == "docs/deep/tea.txt"
    kb.add([{"id": "new", "text": TEXT}])
    assert kb.search("what casts a shadow", k=1)[0].document == "new"
    kb.rollback()
    assert kb.search("boiling water for black tea", mode="dense", k=1)[0].document == "docs/deep/tea.txt"


def test_neighbours_work_and_what_cannot_is_refused(opened: Callable[..., Collection], docs: Path) -> None:
    for wrong, words in (
        (RetrievalSettings(index="hnsw"), "the index hnsw"),
        (RetrievalSettings(rocchio=RocchioSettings()), "rocchio with"),
    ):
        with pytest.raises(InvalidInput, match=words):
            opened(encoder=late(), settings=CollectionSettings(retrieval=wrong))
    smoothed = RetrievalSettings(neighbours=NeighbourSettings())
    kb = opened(encoder=late(), settings=CollectionSettings(retrieval=smoothed))
    kb.index([docs])
    hit = kb.search("boiling water for black tea", k=1)[0]
    assert hit.document == "docs/deep/tea.txt"
    assert "unsmoothed" in hit.stages
