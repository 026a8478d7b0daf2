"""Versions of a collection: how they are built, what they must hold, and what is refused."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gnomon.collection import Collection, CollectionSettings, RetrievalSettings
from gnomon.collection.catalog.versions import NotReady
from gnomon.collection.ingest.backfill import Backfill, BackfillOptions
from gnomon.collection.settings import DEFAULT_MODEL
from gnomon.collection.systems import resolve
from gnomon.core.errors import CollectionNotFound, InvalidInput, SpaceMismatch
from gnomon.text.chunk import ChunkSettings
from support.version_collections import (
    built,
    check_sound,
    documents,
    one,
    opened,
    rows,
    served,
    text,
    three,
    two,
    until,
)
from support.version_kills import abandoned

ON_BOTH = True

SMALL = CollectionSettings(chunk_tokens=20, chunk_overlap=0)
TEXTS = {str(number): text(number) for number in range(30)}


@pytest.fixture
def kb(place: str) -> Iterator[Collection]:
    """Thirty documents in v1. At the end the catalog is sound."""
    collection = opened(place, settings=SMALL)
    collection.add(documents(TEXTS))
    yield collection
    collection.close()
    check_sound(place)


def states(kb: Collection) -> dict[str, tuple[str, int]]:
    return {info.name: (info.state, info.behind) for info in kb.versions.list()}


def test_a_model_is_changed_and_the_chunks_stay(kb: Collection) -> None:
    before = rows(kb, "SELECT id, chunking_id FROM chunks"), rows(kb, "SELECT count(*) FROM journal")
    info = kb.versions.add(two())
    assert (info.name, info.state, info.behind, info.chunking) == ("v2", "building", 30, kb.version.chunking)
    caught = kb.versions.backfill("v2")
    assert (caught.documents, caught.chunks, caught.behind, caught.stopped) == (30, 0, 0, False)
    distinct = rows(kb, "SELECT count(DISTINCT text_hash) FROM chunks")[0][0]
    assert caught.embedding.embedded == distinct
    assert kb.versions.mark_ready("v2").state == "ready"
    assert kb.version.name == "v1"
    switched = kb.switch("v2")
    assert (switched.came_from, switched.to, switched.why) == ("v1", "v2", "switch")
    assert (kb.version.name, kb.version.space.name) == ("v2", "hash-64-two")
    assert (
        rows(kb, "SELECT id, chunking_id FROM chunks"),
        rows(kb, "SELECT count(*) FROM journal"),
    ) == before
    assert served(kb).keys() == TEXTS.keys()
    assert kb.search("n7t0", mode="lexical", k=1)[0].document == "7"
    live = {info.name: info.live_since for info in kb.versions.list()}
    assert live["v1"] is None
    assert live["v2"] is not None


def test_other_chunks_are_a_version_too(kb: Collection) -> None:
    name = built(kb, three(), chunking=ChunkSettings(max_tokens=10, overlap=0))
    before = kb.status().chunks
    kb.switch(name)
    assert kb.status().chunks > before
    assert kb.status().chunking["max_tokens"] == 10
    assert served(kb).keys() == TEXTS.keys()
    own = rows(kb, f"SELECT count(*) FROM chunks WHERE document_id = 4 AND chunking_id = {kb.version.chunking_id}")
    assert kb.remove(["3"]) == own[0][0]  # those of v1 go too, and are not counted
    again = kb.add({"id": "5", "text": text(5, turn=1)})
    assert again.chunks_removed == own[0][0]
    kb.switch("v1")
    assert kb.status().chunks == before - 4
    assert kb.status().documents == 29


def test_other_retrieval_settings_are_a_version_and_embed_nothing(kb: Collection) -> None:
    encoder = one()
    name = kb.versions.add(encoder, retrieval=RetrievalSettings(mode="lexical")).name
    assert kb.versions.backfill(name).embedding.embedded == encoder.encoded == 0
    kb.versions.mark_ready(name)
    kb.switch(name)
    assert kb.version.retrieval.mode == "lexical"
    assert {hit.document for hit in kb.search("n3t0")} == {"3"}


def test_what_is_there_already_is_refused_or_gone_on_with(kb: Collection) -> None:
    with pytest.raises(InvalidInput, match="v1, which is live, has the same model") as caught:
        kb.versions.add(one())
    assert "name another model" in caught.value.hint
    with pytest.raises(InvalidInput, match="v1, which is live, has the same"):
        kb.versions.add(one(), chunking=ChunkSettings.from_json(kb.version.chunking))
    first = kb.versions.add(two())
    assert kb.versions.add(two()) == first
    kb.versions.backfill("v2")
    kb.versions.mark_ready("v2")
    with pytest.raises(InvalidInput, match="v2, which is ready") as caught:
        kb.versions.add(two())
    assert "or switch to v2" in caught.value.hint
    kb.retire("v2")
    assert kb.versions.add(two()).name == "v3"
    with pytest.raises(InvalidInput, match="chunks of 40 tokens for hash-32-three") as caught:
        kb.versions.add(three(), chunking=ChunkSettings(max_tokens=40))
    assert "at most the 24 tokens" in caught.value.expected
    with pytest.raises(InvalidInput, match="has no version v9; its versions: v1, v2, v3"):
        kb.switch("v9")


def test_only_what_lacks_nothing_goes_live(kb: Collection) -> None:
    with pytest.raises(InvalidInput, match="v1 is live already"):
        kb.switch("v1")
    kb.versions.add(two())
    with pytest.raises(NotReady, match="v2 is 30 documents behind") as caught:
        kb.switch("v2")
    assert "gnomon migrate" in caught.value.hint
    with pytest.raises(NotReady, match="v2 is 30 documents behind"):
        kb.versions.mark_ready("v2")
    with pytest.raises(NotReady, match="is not complete"):
        kb.versions.build_indexes("v2")
    kb.versions.backfill("v2")
    with pytest.raises(NotReady, match="v2 is still being built"):
        kb.switch("v2")
    kb.add({"id": "late", "text": text(99)})  # a version that is being built is its builder's to follow
    assert states(kb) == {"v1": ("live", 0), "v2": ("building", 1)}
    with pytest.raises(NotReady, match="v2 is 1 documents behind"):
        kb.versions.mark_ready("v2")
    assert kb.version.name == "v1"
    assert states(kb)["v2"][0] == "building"


def test_catching_up_goes_in_steps_that_can_be_watched_paced_and_stopped(kb: Collection) -> None:
    kb.versions.add(two())
    said: list[int] = []
    paced: list[float] = []
    stop = [False]
    options = BackfillOptions(
        lambda event: said.append(int(event.metrics["texts"])),
        lambda: stop[0],
        paced.append,
        slice_texts=8,
        batch_documents=10,
    )
    steps = kb.versions.prepare_backfill("v2", options)
    assert steps.progress.behind == 30
    assert steps.step()
    assert (steps.progress.documents, steps.progress.behind, states(kb)["v2"][1]) == (10, 20, 20)
    assert said == sorted(said)
    assert len(paced) > 2
    stop[0] = True
    assert not steps.step()
    assert steps.progress.stopped
    assert states(kb)["v2"] == ("building", 20)
    kept = steps.progress.embedding.embedded
    encoder = two()
    kb.internals.serving.encoders._registered[encoder.space.fingerprint] = encoder
    kb.internals.serving._versions.pop(2)
    again = kb.versions.prepare_backfill("v2", BackfillOptions(batch_documents=10))
    assert again.run().embedding.embedded == encoder.encoded
    distinct = rows(kb, "SELECT count(DISTINCT text_hash) FROM chunks")[0][0]
    assert kept + encoder.encoded == distinct  # the slice that was committed before the stop was used
    assert not again.step()
    assert states(kb)["v2"] == ("building", 0)


def test_a_step_brings_nothing_back_that_was_taken_out_meanwhile(
    kb: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = kb.versions.add(three(), chunking=ChunkSettings(max_tokens=10, overlap=0)).name
    write = Backfill._write

    def late(self: Backfill, *given: object) -> bool:
        kb.remove(["3"])
        kb.add({"id": "4", "text": text(4, turn=1)})
        return write(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Backfill, "_write", late)
    steps = kb.versions.prepare_backfill(name)
    assert steps.step()
    monkeypatch.undo()
    assert steps.run().behind == 0
    kb.versions.mark_ready(name)
    kb.switch(name)
    found = served(kb)
    assert found.keys() == TEXTS.keys() - {"3"}
    assert "n4t1" in found["4"]


def test_a_version_that_is_given_up_while_it_is_built_stays_as_it_is(
    kb: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    kb.versions.add(two())
    write = Backfill._write

    def late(self: Backfill, *given: object) -> bool:
        kb.retire("v2")
        return write(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Backfill, "_write", late)
    assert kb.versions.backfill("v2").documents == 0
    assert states(kb)["v2"] == ("retired", 30)
    assert kb.versions.backfill("v2").documents == 0
    for refused in (kb.switch, kb.versions.mark_ready):
        with pytest.raises(NotReady, match="v2 is retired"):
            refused("v2")


class Interrupting:
    """Lets something happen while documents are encoded, once."""

    def __init__(self, inner: object, then: Callable[[], object]) -> None:
        self._inner, self.then = inner, then

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def encode(self, texts: list[str], *, role: str) -> object:
        vectors = self._inner.encode(texts, role=role)  # type: ignore[attr-defined]
        if role == "document" and any("Note" in text for text in texts):
            then, self.then = self.then, lambda: None
            then()
        return vectors


@pytest.mark.parametrize("by", ["add", "index"])
@pytest.mark.parametrize("chunking", [None, ChunkSettings(max_tokens=10, overlap=0)])
def test_a_writer_that_planned_for_a_version_that_is_live_no_more(
    kb: Collection, place: str, tmp_path: Path, by: str, chunking: ChunkSettings | None
) -> None:
    name = built(kb, three() if chunking else two(), chunking=chunking)
    other = opened(place)
    interrupting = Interrupting(one(), lambda: other.switch(name))
    writer = opened(place, encoder=[interrupting, two(), three()])
    (tmp_path / "new.txt").write_text(text(77))
    if by == "add":
        report = writer.add({"id": "new.txt", "text": text(77)})
    else:
        report = writer.index([tmp_path / "new.txt"])
    assert report.problems == ()
    assert writer.version.name == name
    assert until(lambda: kb.version.name == name)
    longest = rows(kb, f"SELECT max(tokens) FROM chunks WHERE chunking_id = {writer.version.chunking_id}")
    assert longest[0][0] <= (20 if chunking is None else 10)
    for collection in (kb, writer, other):
        assert "n77t0" in served(collection)["new.txt"]
    assert states(kb) == {"v1": ("ready", 0), name: ("live", 0)}
    kb.rollback()
    assert "n77t0" in served(kb)["new.txt"]
    for collection in (writer, other):
        collection.close()


def test_a_writer_puts_back_what_was_cleared_from_the_cache_meanwhile(kb: Collection, place: str) -> None:
    kb.add({"id": "gone", "text": text(50)})
    kb.remove(["gone"])
    other = opened(place)
    pruned = []
    writer = opened(place, encoder=Interrupting(one(), lambda: pruned.append(other.prune().vectors)))
    # Some of these texts are in the cache, and are looked up before the first is encoded.
    writer.add([{"id": "gone", "text": text(50)}, {"id": "more", "text": text(51)}])
    assert pruned[0] > 0
    assert served(kb).keys() == TEXTS.keys() | {"gone", "more"}
    writer.close()
    other.close()


def test_ready_versions_follow_what_is_written(kb: Collection) -> None:
    kb.switch(built(kb))
    kb.add({"id": "new", "text": text(60)})
    kb.add({"id": "5", "text": text(5, turn=1)})
    assert kb.remove(["6"]) == 4
    assert states(kb) == {"v1": ("ready", 0), "v2": ("live", 0)}
    kb.rollback()
    found = served(kb)
    assert found.keys() == (TEXTS.keys() | {"new"}) - {"6"}
    assert "n5t1" in found["5"]


class Lost:
    """An encoder whose model cannot be loaded: it fails when it is asked for vectors."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def encode(self, texts: list[str], *, role: str) -> object:
        raise InvalidInput("the model is gone", hint="find it")


def test_a_version_that_cannot_follow_lags_and_says_so(kb: Collection, place: str) -> None:
    kb.switch(built(kb))
    writer = opened(place, encoder=[two(), Lost(one())])
    report = writer.add({"id": "new", "text": text(60)})
    (problem,) = report.problems
    assert (problem.path, problem.skipped, problem.hint) == ("v1", False, "find it")
    assert problem.reason == "lacks what was put in, and cannot be gone back to before it has it: the model is gone"
    assert states(kb) == {"v1": ("ready", 1), "v2": ("live", 0)}
    with pytest.raises(InvalidInput, match="the model is gone"):
        writer.rollback()
    assert writer.version.name == "v2"
    kb.rollback()  # with the model at hand
    assert "new" in served(kb)
    writer.close()


def test_going_back_undoes_and_never_brings_back_what_was_left(kb: Collection) -> None:
    with pytest.raises(InvalidInput, match="there is no former version") as caught:
        kb.rollback()
    assert "gnomon versions" in caught.value.hint
    kb.switch(built(kb))
    kb.switch(built(kb, three(), chunking=ChunkSettings(max_tokens=10, overlap=0)))
    assert kb.rollback().to == "v2"
    assert kb.rollback().to == "v1"
    with pytest.raises(InvalidInput, match="there is no former version"):
        kb.rollback()
    kb.switch("v3")
    kb.switch("v2")
    kb.retire("v3")
    assert kb.rollback().to == "v1"  # what is retired is passed over
    whys = rows(kb, "SELECT why FROM switches ORDER BY seq")
    assert [why for (why,) in whys] == ["switch"] * 2 + ["rollback"] * 2 + ["switch"] * 2 + ["rollback"]


@pytest.mark.sqlite
def test_pruning_frees_what_no_kept_version_needs(kb: Collection, tmp_path: Path) -> None:
    name = built(kb, three(), chunking=ChunkSettings(max_tokens=10, overlap=0))
    kb.switch(name)
    kb.versions.build_indexes("v1")
    assert kb.prune().chunks == 0
    with pytest.raises(InvalidInput, match=f"{name} is live"):
        kb.retire(name)
    assert kb.retire("v1").state == "retired"
    chunks = rows(kb, "SELECT count(*) FROM chunks WHERE chunking_id = 1")[0][0]
    freed = kb.prune(vacuum=True)
    assert (freed.chunks, freed.folders) == (chunks, ("v0001",))
    assert freed.vectors > 0
    assert freed.bytes > 0
    assert not (tmp_path / "kb" / "derived" / "v0001").exists()
    assert rows(kb, "SELECT DISTINCT chunking_id FROM chunks") == [(kb.version.chunking_id,)]
    assert rows(kb, "SELECT DISTINCT space_id FROM vectors") == [(kb.version.space_id,)]
    assert served(kb).keys() == TEXTS.keys()
    again = kb.versions.add(one(), chunking=ChunkSettings(max_tokens=20, overlap=0))
    kb.versions.backfill(again.name)
    kb.versions.mark_ready(again.name)
    kb.switch(again.name)
    assert served(kb).keys() == TEXTS.keys()


def test_one_version_is_opened_for_good(kb: Collection, place: str) -> None:
    built(kb)
    pinned = opened(place, version="v2")
    assert (pinned.version.name, pinned.status().version) == ("v2", "v2")
    assert served(pinned).keys() == TEXTS.keys()
    kb.switch("v2")
    kb.rollback()
    assert (kb.version.name, pinned.version.name) == ("v1", "v2")
    pinned.add({"id": "new", "text": text(60)})
    assert "new" in served(pinned)
    assert "new" in served(kb)
    kb.retire("v2")
    kb.add({"id": "newer", "text": text(61)})
    assert "newer" not in served(pinned)  # whole as it was, and no half of what came since
    pinned.close()
    with pytest.raises(NotReady, match="v2 is retired"):
        opened(place, version="v2")
    third = kb.versions.add(three(), chunking=ChunkSettings(max_tokens=10, overlap=0)).name
    with pytest.raises(NotReady, match="v3 is 32 documents behind"):
        opened(place, version=third)
    with pytest.raises(InvalidInput, match="has no version v7"):
        opened(place, version="v7")
    kb.versions.backfill(third)
    opened(place, version=third).close()  # whole, though not ready: it is to be measured
    with pytest.raises(SpaceMismatch, match="hash-64-two"):
        opened(place, encoder=two())


@pytest.mark.sqlite
def test_what_is_measured_may_be_a_version(kb: Collection, place: str) -> None:
    name = built(kb, three(), chunking=ChunkSettings(max_tokens=10))
    texts = {of: resolve(f"{place}@{of}").chunk_texts() for of in ("v1", name)}  # type: ignore[union-attr]
    assert len(texts["v1"]) == kb.status().chunks < len(texts[name])
    with opened(place, version=name) as pinned:
        run = pinned.run({"q": "n3t0"}, k=3)
    assert (run.about["version"], run.about["model"]) == (name, "hash-32-three")
    assert next(iter(run.results["q"])) == "3"


@pytest.mark.sqlite
def test_a_catalog_of_before_is_migrated(kb: Collection, place: str, tmp_path: Path) -> None:
    kb.close()
    path = tmp_path / "kb" / "collection.db"
    with sqlite3.connect(path) as connection:
        for statement in (
            "DROP TABLE switches",
            "DROP TABLE tokenizers",
            "DROP TABLE tables",
            "DROP INDEX versions_one_live",
            "DROP INDEX journal_by_chunking",
            "ALTER TABLE versions DROP COLUMN upto",
            "UPDATE meta SET value = '1' WHERE key = 'schema'",
        ):
            connection.execute(statement)
    connection.close()
    with opened(place) as again:
        assert states(again) == {"v1": ("live", 0)}
        assert served(again).keys() == TEXTS.keys()
        again.switch(built(again))
        assert served(again).keys() == TEXTS.keys()
        with pytest.raises(sqlite3.IntegrityError), sqlite3.connect(path) as connection:
            connection.execute("UPDATE versions SET state = 'live'")
        connection.close()


def test_the_model_that_a_version_is_loaded_by_is_kept(kb: Collection) -> None:
    assert kb.versions.add(two(), model=DEFAULT_MODEL).model == DEFAULT_MODEL
    assert kb.versions.add(three(), chunking=ChunkSettings(max_tokens=10)).model == "hash-32-three"


def test_no_version_is_named_of_a_collection_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFound):
        opened(tmp_path / "nowhere", version="v1")
    assert not (tmp_path / "nowhere").exists()


def test_what_a_cut_off_first_commit_holds_is_not_resurrected(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the keyword index's own commit and its stamp: what is deleted then stays deleted."""
    from gnomon.index import lexical

    stamp, cut = lexical.write_manifest, []

    def cut_off(path: Path, body: dict[str, Any]) -> None:
        if body["stamp"]:
            cut.append(path)
            raise KeyboardInterrupt
        stamp(path, body)

    kb = opened(place)
    with monkeypatch.context() as patched:
        patched.setattr(lexical, "write_manifest", cut_off)
        with contextlib.suppress(KeyboardInterrupt):
            kb.add(documents({str(number): text(number) for number in range(4)}))
            kb.internals.snapshot()
    assert cut
    abandoned(kb)
    again = opened(place)
    again.remove(["1"])
    assert sorted(served(again)) == ["0", "2", "3"]
    again.close()
