"""Searches beside a big index run use the last view, while a background thread makes the next one."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

import gnomon
from gnomon.collection import Collection
from gnomon.collection.indexes import sync
from gnomon.collection.indexes.derived import IndexView
from gnomon.core.errors import CollectionBusy, InvalidInput
from gnomon.index import memory
from gnomon.testing.toys import HashEncoder

MANY = [{"id": f"note{n}", "text": f"Note {n} on nothing in particular, {n * n}."} for n in range(600)]


def encoder() -> HashEncoder:
    return HashEncoder(64, max_tokens=48)


def background_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gnomon-background"]


def until(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within a minute, which is far longer than it should take."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def contents(view: IndexView) -> tuple[set[int], set[int]]:
    """The chunk ids in the vector index, and those in the keyword index."""
    query = encoder().encode(["note"], role="query")
    dense = view.dense.search(query, k=100_000)[0].ids.tolist()
    lexical = view.lexical.search(["note particular nothing"], k=100_000)[0].ids.tolist()
    return set(dense), set(lexical)


def check_whole(view: IndexView) -> None:
    """Both indexes hold the same chunks, and go on holding them."""
    dense, lexical = contents(view)
    assert view.dense_at == view.lexical_at
    assert len(dense) == len(view.dense) == len(view.lexical)
    assert lexical <= dense
    assert contents(view) == (dense, lexical)


@pytest.fixture
def held(kb: Collection, tmp_path: Path) -> FileLock:
    """Another process's lock on the derived files; not yet held."""
    assert kb.search("blue whale")
    return FileLock(tmp_path / "kb" / "derived" / "v0001" / "lock")


def test_searches_of_several_threads_see_whole_states_during_a_run(kb: Collection, docs: Path) -> None:
    def write(turn: int) -> None:
        for number in range(400):
            (docs / f"note{number}.txt").write_text(f"Note {number} on nothing in particular, turn {turn}.")

    write(1)
    stop, failures, seen = threading.Event(), [], [0]

    def ask() -> None:
        at = 0
        while not stop.is_set():
            try:
                view = kb.internals.indexes
                check_whole(view)
                assert view.dense_at >= at
                at = view.dense_at
                assert kb.search("blue whale", k=1)[0].document == "docs/whales.txt"
                seen.append(at)
            except Exception as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    kb.index([docs])
    write(2)
    (docs / "note5.txt").unlink()
    kb.index([docs])
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(seen)) > 2
    check_whole(kb.internals.indexes)
    assert kb.internals.indexes.dense_at == kb.status().position
    assert len(kb.internals.indexes.dense) == kb.status().chunks


def test_a_view_keeps_what_it_had(kb: Collection) -> None:
    view = kb.internals.indexes
    before = contents(view)
    kb.add(MANY)
    kb.remove(["docs/whales.txt"])
    assert contents(view) == before
    assert len(kb.internals.indexes.dense) == len(view.dense) + len(MANY) - 1


def test_own_writes_are_found_however_many(kb: Collection, opened: Callable[..., Collection]) -> None:
    other = opened()
    stop = threading.Event()

    def add_many() -> None:
        for turn in range(1000):
            if stop.is_set():
                return
            other.add([{**row, "text": f"{row['text']} turn {turn}"} for row in MANY])

    thread = threading.Thread(target=add_many)
    thread.start()
    for number in range(4):
        kb.search("note")
        kb.add({"id": f"own{number}", "text": f"A heron stands in the reeds, {number}."})
        assert f"own{number}" in {hit.document for hit in kb.search("heron reeds", k=20)}
        kb.remove([f"own{number}"])
        assert kb.search("heron reeds", k=20, mode="lexical") == []
    stop.set()
    thread.join()


def test_while_another_process_is_at_the_files_the_last_view_serves(
    kb: Collection, opened: Callable[..., Collection], held: FileLock
) -> None:
    before = kb.internals.indexes
    opened().add(MANY)
    with held:
        assert kb.internals.indexes is before or kb.internals.indexes.dense_at == before.dense_at
        assert kb.search("blue whale", k=1)[0].document == "docs/whales.txt"
        assert len(background_threads()) == 1
    assert until(lambda: kb.internals.indexes.dense_at == kb.status().position)
    assert kb.search("note 599", k=1, mode="lexical")[0].document == "note599"
    kb.close()
    assert background_threads() == []


def test_a_fresh_process_does_not_wait_for_one_that_is_at_the_files(
    kb: Collection, opened: Callable[..., Collection], held: FileLock
) -> None:
    kb.add({"id": "late", "text": "An oak in the churchyard."})  # committed, and not yet among the saved vectors
    with held:
        fresh = opened()
        assert fresh.search("blue whale", k=1)[0].document == "docs/whales.txt"
        assert fresh.search("oak churchyard", k=1)[0].document == "late"
        check_whole(fresh.internals.indexes)
    kb.add({"id": "later", "text": "An elm by the mill."})
    assert until(lambda: fresh.search("elm mill", k=1)[0].document == "later")


def test_few_changes_of_another_are_found_at_once(kb: Collection, opened: Callable[..., Collection]) -> None:
    other = opened()
    for number in range(5):
        other.add(MANY[number * 30 : number * 30 + 30])
        assert len(kb.internals.indexes.dense) == len(other.internals.indexes.dense)
        assert kb.search(f"note {number * 30}", k=1)[0].document == f"note{number * 30}"
    assert background_threads() == []


def test_deleted_documents_vanish_from_an_old_view(
    kb: Collection, opened: Callable[..., Collection], held: FileLock
) -> None:
    other = opened()
    other.add(MANY)
    assert until(lambda: len(kb.internals.indexes.dense) == len(other.internals.indexes.dense))
    other.remove([row["id"] for row in MANY])
    with held:
        found = kb.search("note on nothing in particular", k=50)
        assert not {hit.document for hit in found} & {row["id"] for row in MANY}
    assert until(lambda: len(kb.internals.indexes.dense) == len(other.internals.indexes.dense))


def test_a_writer_says_so_when_another_process_does_not_end(kb: Collection, held: FileLock) -> None:
    with held, pytest.raises(CollectionBusy, match=r"building the indexes in .* for 0.01 s") as caught:
        kb.internals.serving.active.derived.refresh(wait_s=0.01)
    assert "everything committed is kept" in caught.value.hint


@pytest.mark.usefixtures("with_files")
def test_one_document_more_appends_and_rewrites_nothing(
    kb: Collection, opened: Callable[..., Collection], tmp_path: Path
) -> None:
    kb.add(MANY)
    kb.close()
    (folder,) = (tmp_path / "kb" / "derived" / "v0001").glob("dense-*")
    (vectors,) = folder.glob("vectors-*.bin")
    before, manifest = vectors.read_bytes(), (folder / "manifest.json").read_bytes()
    one, two = opened(), opened()
    assert two.search("note")
    one.add({"id": "one", "text": "One more."})
    assert (folder / "manifest.json").read_bytes() == manifest, "a single change is not saved by itself"
    assert two.search("one more", k=1)[0].document == "one"
    one.close()
    two.add({"id": "two", "text": "And another."})
    two.close()
    assert list(folder.glob("vectors-*.bin")) == [vectors]
    assert len(vectors.read_bytes()) == len(before) + 2 * 64 * 4
    assert vectors.read_bytes().startswith(before)


def test_what_was_not_saved_is_taken_from_the_catalog(kb: Collection, tmp_path: Path) -> None:
    kb.add({"id": "one", "text": "A heron stands in the reeds."})
    kb.remove(["docs/whales.txt"])
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", tmp_path / "kb", copy], check=True)  # as a crash would leave it
    with gnomon.open(copy, encoder=encoder()) as again:
        assert again.search("heron", k=1, mode="dense")[0].document == "one"
        assert "docs/whales.txt" not in {hit.document for hit in again.search("blue whale", k=50)}
        check_whole(again.internals.indexes)


def test_two_processes(kb: Collection, docs: Path, tmp_path: Path) -> None:
    for number in range(700):
        (docs / f"note{number}.txt").write_text(f"Note {number} on nothing in particular.")
    script = (
        "import sys, gnomon\n"
        "from gnomon.testing.toys import HashEncoder\n"
        "with gnomon.open(sys.argv[1], encoder=HashEncoder(64, max_tokens=48)) as kb:\n"
        "    kb.index([sys.argv[2]])\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "kb"), str(docs)])
    while run.poll() is None:
        check_whole(kb.internals.indexes)
        assert kb.search("blue whale", k=1)[0].document == "docs/whales.txt"
    assert run.returncode == 0
    assert until(lambda: kb.internals.indexes.dense_at == kb.status().position)
    check_whole(kb.internals.indexes)
    assert kb.search("note 699", k=1, mode="lexical")[0].document == "docs/note699.txt"


def test_an_interpreter_ends_with_the_thread_at_work(kb: Collection, tmp_path: Path, held: FileLock) -> None:
    script = (
        "import sys, threading, gnomon\n"
        "from gnomon.testing.toys import HashEncoder\n"
        "kb = gnomon.open(sys.argv[1], encoder=HashEncoder(64, max_tokens=48))\n"
        "kb.search('note')\n"
        "print('open', flush=True)\n"
        "sys.stdin.readline()\n"
        "kb.search('note')\n"
        "print(any(thread.name == 'gnomon-background' for thread in threading.enumerate()))\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "kb")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdout is not None
    assert run.stdout.readline() == "open\n"
    kb.add(MANY)
    with held:
        out, error = run.communicate("go\n")
    assert (out, error, run.returncode) == ("True\n", "", 0)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (sync, sync):
        monkeypatch.setattr(room, "BLOCK", 16)
    monkeypatch.setattr(sync, "_AT_ONCE", 16)
    monkeypatch.setattr(sync, "SAVE_VECTORS", 100)


def rebuilt(tmp_path: Path) -> Collection:
    subprocess.run(["rm", "-r", tmp_path / "kb" / "derived"], check=True)
    return gnomon.open(tmp_path / "kb", encoder=encoder())


def test_a_build_in_parts_finds_the_same(kb: Collection, tmp_path: Path, in_parts: None) -> None:
    kb.add(MANY)
    expected = [(hit.document, hit.score) for hit in kb.search("note 77", k=50, mode="dense")]
    kb.close()
    with rebuilt(tmp_path) as again:
        assert [(hit.document, hit.score) for hit in again.search("note 77", k=50, mode="dense")] == expected
        check_whole(again.internals.indexes)


def test_half_a_build_is_made_anew(kb: Collection, tmp_path: Path, in_parts: None) -> None:
    kb.add(MANY)
    kb.close()

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync.LexicalIndex, "add", cut_off)
        with rebuilt(tmp_path) as again, pytest.raises(KeyboardInterrupt):
            again.search("note")
    (half,) = (tmp_path / "kb" / "derived" / "v0001").glob("dense-*")
    assert (half / "manifest.json").exists()
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as again:
        check_whole(again.internals.indexes)
        assert len(again.internals.indexes.dense) == again.status().chunks
    assert not half.exists()


def test_more_vectors_than_memory_are_refused_beforehand(
    kb: Collection, tmp_path: Path, in_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kb.add(MANY)
    kb.close()
    monkeypatch.setattr(memory, "_UNCHECKED_BYTES", 0)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000_000)  # so few vectors are all held: 0.3 MiB
    with rebuilt(tmp_path) as again:
        assert len(again.internals.indexes.dense) == again.status().chunks
        again.close()
    monkeypatch.setattr(memory, "available_bytes", lambda: 20_000)
    with rebuilt(tmp_path) as again, pytest.raises(InvalidInput) as caught:
        again.search("note")
    assert "the index of 604 vectors of " in caught.value.message
    assert "free memory, or split the documents" in caught.value.hint
