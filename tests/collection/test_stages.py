"""Stages that need no model, as settings of a collection: kept, served, measured, and off where not named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gnomon.collection.search import build_retriever
from gnomon.collection.settings import CollectionSettings, RetrievalSettings
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Query
from gnomon.retrieve import FuseSettings, NeighbourSettings, RM3Settings, RocchioSettings

STAGES = RetrievalSettings(
    rocchio=RocchioSettings(beta=0.5, documents=2),
    rm3=RM3Settings(documents=2, terms=5),
    neighbours=NeighbourSettings(weight=0.2, depth=10),
)
# As a catalog holds it that was written before there were stages.
FORMER = '{"fuse": {"depth": 1000, "fusion": "min-max", "weights": [0.3, 0.7]}, "language": "de", "mode": "dense"}'


def test_settings_survive_json() -> None:
    for settings in (STAGES, RetrievalSettings(), RetrievalSettings(rm3=RM3Settings(share=0.1))):
        assert RetrievalSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize(
    ("change", "named"),
    [({"mode": 3}, "mode = 3"), ({"colour": "red"}, "colour"), ({"rerank": {"model": "m", "depth": "9"}}, "depth")],
)
def test_stored_settings_that_are_wrong_are_refused_by_their_key(change: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        RetrievalSettings.from_json({**RetrievalSettings().to_json(), **change})


def test_catalogs_from_before_stages_are_read_and_still_written_alike() -> None:
    former = RetrievalSettings.from_json(json.loads(FORMER))
    assert former == RetrievalSettings("dense", FuseSettings(weights=(0.3, 0.7), depth=1000), "de")
    assert json.dumps(former.to_json(), sort_keys=True) == FORMER


def test_a_collection_keeps_and_serves_its_stages(opened, docs: Path) -> None:
    kb = opened(settings=CollectionSettings(retrieval=STAGES))
    kb.index([docs])
    assert opened().version.retrieval == STAGES
    for mode, stages in {
        "hybrid": {"dense", "rocchio", "lexical", "rm3", "unsmoothed"},
        "dense": {"dense", "rocchio", "unsmoothed"},
        "lexical": {"lexical", "rm3", "unsmoothed"},
    }.items():
        hit = kb.search("boiling water for black tea", k=1, mode=mode)[0]
        assert hit.document == "docs/deep/tea.txt"
        assert set(hit.stages) == stages
        run = kb.run({"q": "boiling water for black tea"}, mode=mode)
        assert run.ranking("q")[0] == "docs/deep/tea.txt"


def test_what_was_removed_is_no_feedback(opened, docs: Path) -> None:
    kb = opened(settings=CollectionSettings(retrieval=STAGES))
    kb.index([docs])
    retriever = kb.retriever()  # over the indexes as they stand now
    before = kb.search("black tea", k=4)
    (docs / "deep" / "tea.txt").unlink()
    kb.index([docs])
    retriever([Query("black tea")], k=4)
    after = kb.search("black tea", k=4)
    assert len(before) == 4
    assert "docs/deep/tea.txt" not in {hit.document for hit in after}


def test_stages_without_lookups_are_refused(kb) -> None:
    view = kb.internals.indexes
    parts = {"encoder": kb.encoder, "dense": view.dense, "lexical": view.lexical}
    build_retriever("hybrid", RetrievalSettings(), **parts)
    for mode, settings in (
        ("dense", RetrievalSettings(rocchio=RocchioSettings())),
        ("lexical", RetrievalSettings(rm3=RM3Settings())),
        ("hybrid", RetrievalSettings(neighbours=NeighbourSettings())),
    ):
        with pytest.raises(InvalidInput, match="stages without lookups"):
            build_retriever(mode, settings, **parts)
