"""A collection keeps the kind of index that was chosen, and searches by it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gnomon.collection import Collection
from gnomon.collection.indexes import vector_index
from gnomon.collection.settings import CollectionSettings, RetrievalSettings
from gnomon.core.errors import InvalidInput
from gnomon.index.quantised_search import ScanSettings, chosen_settings
from gnomon.retrieve import FuseSettings, RM3Settings

NOTES = 300
QUERIES = tuple(f"note {n} colour {n % 17} animal {n % 13}" for n in range(0, NOTES, 29))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for n in range(NOTES):
        (folder / f"{n}.txt").write_text(f"note {n} about colour {n % 17} and animal {n % 13}\n")
    return folder


@pytest.fixture
def from_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes, graphs and lists from 100 passages on, so that a small collection has them."""

    def chosen(name: str, **more: Any) -> ScanSettings:
        return replace(chosen_settings(name, **more), exact_below=100)

    monkeypatch.setattr(vector_index, "chosen_settings", chosen)


def answers(kb: Collection) -> list[list[str]]:
    return [[hit.document for hit in hits] for hits in kb.search_many(QUERIES, k=3, mode="dense")]


@pytest.mark.usefixtures("from_few")
@pytest.mark.parametrize(("chosen", "find"), [("auto", "scan"), ("hnsw", "hnsw"), ("ivf", "ivf")])
def test_a_collection_searches_by_what_was_chosen(
    opened: Callable[..., Collection], notes: Path, tmp_path: Path, chosen: str, find: str
) -> None:
    settings = CollectionSettings(retrieval=RetrievalSettings(index=chosen))  # type: ignore[arg-type]
    kb = opened(settings=settings)
    kb.index([notes])
    found = answers(kb)
    assert [hits[0] for hits in found] == [f"notes/{n}.txt" for n in range(0, NOTES, 29)]
    (manifest,) = (tmp_path / "kb").glob("derived/*/dense-*/manifest.json")
    assert f'"find": "{find}"' in manifest.read_text()
    assert kb.status().derived[0].kind == find
    kb.close()
    again = opened()  # names no kind: the collection's own
    assert answers(again) == found
    (notes / "29.txt").unlink()
    again.index([notes])
    assert "notes/29.txt" not in [name for hits in answers(again) for name in hits]
    again.close()
    shutil.rmtree(tmp_path / "kb" / "derived")
    assert len(answers(opened())) == len(QUERIES)


def test_few_passages_are_compared_exactly_whatever_was_chosen(
    opened: Callable[..., Collection], docs: Path, tmp_path: Path
) -> None:
    kb = opened(settings=CollectionSettings(retrieval=RetrievalSettings(index="hnsw")))
    kb.index([docs])
    assert kb.status().derived[0].kind == "exact"
    assert not list((tmp_path / "kb").glob("derived/*/dense-*")), "their vectors are in the catalog only"


@pytest.mark.usefixtures("from_few")
def test_exact_makes_no_codes_at_any_size(opened: Callable[..., Collection], notes: Path, tmp_path: Path) -> None:
    kb = opened(settings=CollectionSettings(retrieval=RetrievalSettings(index="exact")))
    kb.index([notes])
    (manifest,) = (tmp_path / "kb").glob("derived/*/dense-*/manifest.json")
    assert '"codes": null' in manifest.read_text()
    assert kb.status().derived[0].kind == "exact"


def test_settings_named_by_a_mapping_alone_must_agree(opened: Callable[..., Collection], notes: Path) -> None:
    made = RetrievalSettings(index="hnsw", rm3=RM3Settings(share=0.3), fuse=FuseSettings(depth=1000))
    opened(settings=CollectionSettings(retrieval=made)).index([notes])
    for agrees in ({"index": "hnsw"}, {"language": "auto"}, {"rm3": made.rm3}):
        assert opened(settings=CollectionSettings(retrieval=agrees)).version.retrieval == made
    with pytest.raises(InvalidInput, match="not index ivf"):
        opened(settings=CollectionSettings(retrieval={"index": "ivf"}))


@pytest.mark.parametrize("named", [{"indx": "hnsw"}, {"index": "fast"}, {"mode": "fuzzy"}])
def test_settings_that_do_not_exist_are_refused(named: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        CollectionSettings(retrieval=named)
