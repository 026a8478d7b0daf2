"""Who searches while versions are switched: each answer is of one version, and none fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from gnomon.collection import Collection, CollectionSettings
from gnomon.collection.indexes.derived import DerivedIndexes
from gnomon.collection.ingest.backfill import Backfill
from gnomon.collection.serving.snapshot import ServedVersion
from gnomon.core.errors import InvalidInput
from gnomon.text.chunk import ChunkSettings
from support.version_collections import (
    Counting,
    built,
    check_sound,
    documents,
    one,
    opened,
    served,
    text,
    three,
    two,
    until,
)

ON_BOTH = True

TEXTS = {str(number): text(number) for number in range(20)}
SMALL = CollectionSettings(chunk_tokens=20, chunk_overlap=0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1 is live; v2 has another model, v3 other chunks too. Both are ready."""
    folder = tmp_path_factory.mktemp("template") / "kb"
    make_versions(folder)
    return folder


def make_versions(place: str | Path) -> None:
    """The versions of `template`."""
    with opened(place, settings=SMALL) as collection:
        collection.add(documents(TEXTS))
        for name, encoder, chunking in (("v2", two(), None), ("v3", three(), ChunkSettings(max_tokens=10))):
            assert built(collection, encoder, chunking=chunking) == name
            collection.versions.build_indexes(name)


@pytest.fixture
def kb(backend: str, template: Path, place: str) -> Iterator[Collection]:
    """One like it, which has searched."""
    if backend == "sqlite":
        shutil.copytree(template, place)
    else:
        make_versions(place)
    collection = opened(place)
    collection.internals.snapshot()
    yield collection
    collection.close()
    check_sound(place)


@pytest.fixture
def other(kb: Collection, place: str) -> Iterator[Collection]:
    """As another process has it open."""
    collection = opened(place)
    yield collection
    collection.close()


def test_a_pinned_collection_goes_on_with_its_version(kb: Collection) -> None:
    pinned, by_name = kb.pinned(), kb.pinned("v2")
    assert (pinned.version.name, by_name.version.name) == ("v1", "v2")
    assert pinned.internals.indexes is kb.internals.indexes  # nothing is loaded again
    kb.switch("v3")
    assert (kb.version.name, pinned.version.name, by_name.version.name) == ("v3", "v1", "v2")
    for view in (kb, pinned, by_name):
        assert served(view).keys() == TEXTS.keys()
    pinned.close()
    assert kb.search("heron")  # it closes nothing of the collection's
    assert by_name.search("heron")
    with pytest.raises(InvalidInput, match="no version v9"):
        kb.pinned("v9")


def test_a_switch_is_followed_and_until_then_the_former_answers(kb: Collection, other: Collection) -> None:
    before = other.internals.indexes
    assert other.search("heron")
    kb.switch("v3")
    assert kb.version.name == "v3"  # at once in the process that switches
    assert other.internals.serving.snapshot().indexes is before
    assert until(lambda: other.version.name == "v3")
    assert served(other).keys() == TEXTS.keys()
    kb.switch("v1")
    assert other.internals.serving.snapshot().version.name == "v1"  # what is loaded already is gone over to at once


def test_a_switch_between_two_that_are_loaded_opens_and_encodes_nothing(
    kb: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    kb.search("heron")
    kb.switch("v2")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not again")

    for name in ("refresh", "_update"):
        monkeypatch.setattr(DerivedIndexes, name, refuse)
    monkeypatch.setattr(Counting, "encode", refuse)
    assert kb.switch("v1").to == "v1"
    assert kb.rollback().to == "v2"


def test_a_way_back_that_another_switch_comes_in_between_is_found_anew(
    kb: Collection, other: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    kb.switch("v2")
    plain = ServedVersion.warm

    def warm(self: ServedVersion, like: ServedVersion, **given: float) -> None:
        monkeypatch.setattr(ServedVersion, "warm", plain)
        other.switch("v3")  # v1 was what to go back to until here
        plain(self, like, **given)

    monkeypatch.setattr(ServedVersion, "warm", warm)
    done = kb.rollback()
    assert (done.came_from, done.to) == ("v3", "v2")
    assert kb.rollback().to == "v1"


def test_what_was_not_loaded_is_not_waited_for(kb: Collection, other: Collection) -> None:
    kb.switch("v2")
    assert other.internals.serving.active.version.name == "v1"
    assert other.version.name == "v2"
    assert not other.internals.serving.active.encoders.is_open
    assert other.search("n3t0", mode="lexical")
    kb.switch("v1")
    assert until(lambda: other.version.name == "v1")
    assert not other.internals.serving.active.encoders.is_open  # words alone were searched for


def test_a_pinned_request_ends_as_it_began(kb: Collection) -> None:
    pinned = kb.internals.serving.snapshot()
    retriever = kb.retriever("dense")
    ids = pinned.allowed("id in ('1', '2')")
    kb.switch("v3")
    kb.add({"id": "new", "text": text(44)})
    from gnomon.core.ranking import Query

    (ranking,) = retriever([Query("n1t0")], k=1000)
    with kb.internals.catalog.read() as connection:
        ids_found = ",".join(map(str, ranking.ids.tolist()))
        (chunking,) = connection.exec_driver_sql(
            f"SELECT DISTINCT chunking_id FROM chunks WHERE id IN ({ids_found})"
        ).scalars()
    assert chunking == pinned.version.chunking_id
    assert set(ids.tolist()) < set(ranking.ids.tolist())
    assert {hit.document for hit in kb.hits("n1t0", ranking, k=1000)} == TEXTS.keys()


def test_a_version_that_cannot_be_loaded_leaves_the_former_serving(kb: Collection, place: str) -> None:
    class Broken:
        """The model of v2, which fails here."""

        def __init__(self) -> None:
            self._inner = two()
            self.is_broken = True

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

        def encode(self, texts: list[str], *, role: str) -> object:
            if self.is_broken:
                raise InvalidInput("no memory for it")
            return self._inner.encode(texts, role=role)  # type: ignore[arg-type]

    broken = Broken()
    reader = opened(place, encoder=[one(), broken])
    assert reader.search("n3t0", k=1)[0].document == "3"
    kb.switch("v2")
    kb.add({"id": "new", "text": text(44)})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert until(lambda: bool(reader.search("n3t0")) and len(caught) > 0)
        for _ in range(5):
            assert reader.search("n44t0", k=1)[0].document == "new"  # v1 is kept, and follows
    assert [str(each.message) for each in caught] == [
        "v1 goes on serving in this process, since v2, which is live, cannot be loaded: no memory for it"
    ]
    kb.retire("v1")  # its chunks may go at any time now
    with pytest.raises(InvalidInput, match="no memory for it"):
        reader.search("n3t0")
    broken.is_broken = False
    assert reader.search("n3t0", k=1)[0].document == "3"
    assert reader.version.name == "v2"
    reader.close()


def test_an_index_takes_in_no_half_of_a_document(kb: Collection, other: Collection) -> None:
    kb.switch("v2")
    kb.rollback()
    pinned = kb.internals.serving.served_version(2).derived
    assert len(pinned.view().dense) == 80
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Backfill, "run", lambda _: None)  # a writer that is killed before it brings v2 along
        other.add({"id": "new", "text": text(44)})
    assert {info.name: info.behind for info in kb.versions.list()} == {"v1": 0, "v2": 1, "v3": 1}
    # v2 has the same chunks as v1, and so the chunks of the new document, but not their vectors.
    before = pinned.view()
    assert len(before.dense) == len(before.lexical) == 80
    assert pinned.refresh() is before
    kb.versions.backfill("v2")
    after = pinned.view()
    assert len(after.dense) == len(after.lexical) == 84


def test_what_is_done_to_other_chunks_does_not_move_a_view(kb: Collection) -> None:
    before = kb.internals.indexes
    kb.versions.add(two(), chunking=ChunkSettings(max_tokens=14))
    assert kb.versions.backfill("v4").chunks > 0
    assert kb.internals.indexes is before
    kb.retire("v4")
    assert kb.prune().chunks > 0
    assert kb.internals.indexes is before
    assert {item.state for item in kb.status().derived} == {"current"}


def test_a_version_that_went_before_the_first_search(kb: Collection, other: Collection) -> None:
    assert other.encoder
    kb.switch("v3")
    kb.retire("v1")
    kb.prune()
    assert other.search("n3t0", k=1)[0].document == "3"
    assert other.version.name == "v3"


@pytest.mark.sqlite
def test_indexes_of_a_history_that_was_undone_are_not_taken_for_those_of_another_chunking(
    kb: Collection, place: str, tmp_path: Path
) -> None:
    kb.close()
    copy = tmp_path / "kb" / "derived"
    (copy / "v0003").rename(copy / "gone")
    (copy / "v0002").rename(copy / "v0003")  # as if v3 had had the chunks of v1 before a restore
    with opened(place, version="v3") as again:
        assert served(again).keys() == TEXTS.keys()


def test_searches_of_threads_through_many_switches_and_writes(kb: Collection, other: Collection) -> None:
    stop, failures, answered = threading.Event(), [], set()

    def ask(of: Collection) -> None:
        try:
            while not stop.is_set():
                pinned = of.internals.serving.snapshot()
                answered.add(pinned.version.name)
                found = of.search_many(["n3t0", "n7t0"], k=5)
                assert [hits[0].document for hits in found] == ["3", "7"]
                assert len(of.search("note", k=50, by="document")) >= 20
                stop.wait(0.01)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(of,)) for of in (kb, other, other)]
    for thread in threads:
        thread.start()
    for turn in range(6):
        kb.switch(name := ("v2", "v3", "v1")[turn % 3])
        assert until(lambda name=name: name in answered or bool(failures))
        if turn % 3 == 0:
            kb.add({"id": "moving", "text": text(50, turn)})
        elif turn % 3 == 1:
            kb.remove(["moving"])
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert answered == {"v1", "v2", "v3"}
    assert until(lambda: other.version.name == kb.version.name)
    assert served(kb) == served(other)


ASK = """
import sys
from pathlib import Path
from support.version_collections import opened

with opened(Path(sys.argv[1])) as kb:
    print("open", flush=True)
    versions = set()
    while not (Path(sys.argv[1]) / "stop").exists():
        pinned = kb.internals.serving.snapshot()
        retriever = pinned.retriever("hybrid", None, pinned.served.encoders.for_searches)
        from gnomon.core.ranking import Query
        (ranking,) = retriever([Query("n3t0 heron")], k=200)
        ids = ",".join(map(str, ranking.ids.tolist()))
        with kb.internals.catalog.read() as connection:
            found = connection.exec_driver_sql(f"SELECT DISTINCT chunking_id FROM chunks WHERE id IN ({ids})")
            assert found.scalars().all() == [pinned.version.chunking_id]
        assert len(ranking.ids) == len(pinned.indexes.dense) == len(pinned.indexes.lexical)
        assert kb.search("n3t0", k=1)[0].document == "3"
        versions.add(pinned.version.name)
        if len(versions) > 1:
            (Path(sys.argv[1]) / "seen").touch()
    print(*sorted(versions), flush=True)
"""


@pytest.mark.sqlite
def test_another_process_searches_through_a_hundred_switches(kb: Collection, place: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ASK, str(place), str(Path(__file__).parents[1])]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    for turn in range(99):  # two that stay loaded, and now and then a third
        kb.switch("v3" if turn % 11 == 10 else ("v2", "v1")[turn % 11 % 2])
    kb.switch("v2")
    # On a busy machine it may have got no turn to load another version so far.
    assert until(lambda: (tmp_path / "kb" / "seen").exists() or reader.poll() is not None)
    (tmp_path / "kb" / "stop").touch()
    out, error = reader.communicate()
    assert (error, reader.returncode) == ("", 0)
    assert len(out.split()) > 1


BUILD = """
import sys, time
from pathlib import Path
from support.version_collections import one, opened, three
from gnomon.collection.ingest.backfill import BackfillOptions
from gnomon.text.chunk import ChunkSettings

encoder = three()
with opened(Path(sys.argv[1]), encoder=[one(), encoder]) as kb:
    name = kb.versions.add(encoder, chunking=ChunkSettings(max_tokens=10, overlap=0)).name
    def said(done):
        print(done.metrics["texts"], flush=True)
        time.sleep(0.002)
        if done.metrics["texts"] >= 140:
            sys.stdin.read()  # however late the kill comes, there is enough left for the next one
    kb.versions.backfill(name, BackfillOptions(said, slice_texts=16, batch_documents=8))
    print("finished", flush=True)
"""


@pytest.mark.sqlite
def test_a_builder_that_is_killed_embeds_nothing_twice(place: str) -> None:
    folder = place
    with opened(folder, settings=SMALL) as kb:
        kb.add([{"id": str(number), "text": text(number)} for number in range(65)])
    command = [sys.executable, "-c", BUILD, str(folder), str(Path(__file__).parents[1])]
    embedded, kills = 0, 0
    while True:
        pipe = subprocess.PIPE
        builder = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert builder.stdout is not None
        own, line = 0, ""
        for line in builder.stdout:  # so many slices, each of which is committed
            if line == "finished\n":
                break
            own = int(line)
            if own >= 90 + 20 * kills:
                builder.kill()
        builder.communicate()
        embedded += own
        check_sound(folder)
        if line == "finished\n":
            break
        kills += 1
    assert kills > 1
    with opened(folder) as kb:
        with kb.internals.catalog.read() as connection:
            query = "SELECT count(DISTINCT text_hash) FROM chunks WHERE chunking_id = 2"
            distinct = connection.exec_driver_sql(query).scalar_one()
        # A slice may have been committed and not said; nothing that was said is embedded again.
        assert distinct - 32 * kills <= embedded <= distinct
        kb.versions.mark_ready("v2")
        kb.switch("v2")
        assert len(served(kb)) == 65
