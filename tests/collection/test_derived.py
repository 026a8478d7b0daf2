"""Derived files are caches: lost, damaged, stale or foreign, they are made again and nothing is missing."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.core.errors import StorageError
from gnomon.index.lexical import LexicalIndex
from gnomon.index.scan import ScanIndex
from gnomon.testing.toys import HashEncoder

encoder = partial(HashEncoder, 64, max_tokens=48)

QUERIES = ("gnomon sundial", "blue whale", "black tea", "read the settings")


def answers(kb: Collection) -> list[list[tuple[str, float]]]:
    return [[(hit.document, round(hit.score, 5)) for hit in hits] for hits in kb.search_many(QUERIES)]


def lose(folder: Path) -> None:
    shutil.rmtree(folder)


def lose_state(folder: Path) -> None:
    (folder / "v0001" / "state.json").write_text("{")


def change_state(**changes: object) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        path = folder / "v0001" / "state.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return harm


def truncate_each(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_each(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size:
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 0xFF
            path.write_bytes(data)


def lose_one_kind(name: str) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        for path in folder.glob(f"*/{name}-*"):
            shutil.rmtree(path)

    return harm


@pytest.mark.parametrize(
    "harm",
    [
        lose,
        lose_state,
        change_state(seq="12"),
        change_state(later=1),
        truncate_each,
        flip_each,
        lose_one_kind("dense"),
        lose_one_kind("lexical"),
    ],
    ids=["lost", "no state", "wrong type", "unknown key", "truncated", "flipped", "no dense", "no lexical"],
)
def test_harm_is_mended(kb: Collection, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    expected = answers(kb)
    kb.close()
    harm(tmp_path / "kb" / "derived")
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as again:
        assert answers(again) == expected
        assert {item.state for item in again.status().derived} == {"current"}


def test_an_open_collection_follows_another_process(kb: Collection, tmp_path: Path) -> None:
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as other:
        answers(other)
        kb.add({"id": "new", "text": "A heron stands in the reeds."})
        assert other.search("heron reeds", k=1)[0].document == "new"
        other.remove(["new"])
        assert all(hit.document != "new" for hit in kb.search("heron reeds"))
        kb.add({"id": "newer", "text": "A bittern booms in the reeds."})
        other.add({"id": "newest", "text": "A crane dances in the marsh."})
        assert answers(kb) == answers(other)
        assert kb.search("crane marsh", k=1)[0].document == "newest"
        assert other.search("bittern", k=1)[0].document == "newer"


def test_a_restored_catalog_is_not_read_with_newer_indexes(kb: Collection, tmp_path: Path) -> None:
    kb.close()
    shutil.copy(tmp_path / "kb" / "collection.db", tmp_path / "backup.db")
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as later:
        later.add({"id": "lost", "text": "An oak in the churchyard."})
    shutil.copy(tmp_path / "backup.db", tmp_path / "kb" / "collection.db")
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as restored:
        restored.add({"id": "other", "text": "An elm by the mill."})  # the same journal position as the oak's
        found = [hit.document for hit in restored.search("elm by the mill", k=9, mode="dense")]
        assert found[0] == "other"
        assert "lost" not in found
        assert [hit.document for hit in restored.search("oak churchyard", mode="lexical")] == []


def test_incremental_and_rebuilt_indexes_agree(kb: Collection, docs: Path, tmp_path: Path) -> None:
    (docs / "whales.txt").write_text("The blue whale sings below the ice.\n")
    (docs / "deep/tea.txt").unlink()
    (docs / "ice.txt").write_text("Black ice, hard to see.\n")
    kb.index([docs])
    expected = answers(kb)
    kb.close()
    shutil.rmtree(tmp_path / "kb" / "derived")
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as again:
        assert [[d for d, _ in hits] for hits in answers(again)] == [[d for d, _ in hits] for hits in expected]


def test_status_reads_where_the_keyword_index_itself_stands(kb: Collection, tmp_path: Path) -> None:
    standing = {item.name: item.state for item in kb.status().derived}
    assert standing == {"dense": "current", "lexical": "current"}
    kb.close()
    for path in (tmp_path / "kb" / "derived" / "v0001").glob("lexical-*/gnomon.json"):
        path.unlink()
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as again:
        found = {item.name: (item.state, item.rows) for item in again.status().derived}
    assert found["lexical"] == ("behind", 0)
    assert found["dense"][0] == "current"


def test_a_keyword_commit_that_was_cut_short(kb: Collection, tmp_path: Path) -> None:
    (folder,) = (tmp_path / "kb" / "derived" / "v0001").glob("lexical-*")
    before = {name: (folder / name).read_bytes() for name in ("meta.json", "gnomon.json")}
    kb.remove(["docs/deep/tea.txt"])
    expected = answers(kb)
    kb.close()
    for name, content in before.items():  # as if killed before tantivy put its new meta.json in place
        (folder / name).write_bytes(content)
    assert list(folder.glob("*.del"))
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as again:
        assert answers(again) == expected
        assert {item.state for item in again.status().derived} == {"current"}
    assert folder.is_dir()  # what the cut commit left was cleared away: nothing had to be rebuilt


FAULTS = (FileExistsError(17, "File exists"), RuntimeError("anything"), KeyError("files"))


@pytest.mark.usefixtures("with_files")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("where", [(LexicalIndex, "commit"), (ScanIndex, "save"), (LexicalIndex, "_refresh")])
def test_whatever_an_index_raises_it_is_rebuilt(
    kb: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, where: tuple[type, str]
) -> None:
    kb.remove(["docs/deep/tea.txt"])
    expected = answers(kb)
    kb.close()
    shutil.rmtree(tmp_path / "kb" / "derived")
    owner, name = where
    plain, left = getattr(owner, name), [fault]

    def failing(self: object, *arguments: object, **named: object) -> object:
        if left:
            raise left.pop()
        return plain(self, *arguments, **named)

    monkeypatch.setattr(owner, name, failing)
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as again:
        assert answers(again) == expected
    assert not left


def test_an_index_that_turns_out_damaged_in_a_search(kb: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers(kb)
    view = kb.internals.indexes

    def broken(*_: object) -> None:
        raise ValueError("postings end in the midst of a block")

    monkeypatch.setattr(view.lexical._words, "search", broken)
    assert answers(kb) == expected
    assert kb.internals.indexes is not view


def test_an_index_file_that_cannot_be_read(kb: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers(kb)
    kb.close()

    def unreadable(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ScanIndex, "load", unreadable)
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as again:
        assert answers(again) == expected
        assert {item.state for item in again.status().derived} == {"current"}


def test_a_full_disk_is_no_damage(kb: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    view = kb.internals.indexes
    monkeypatch.setattr(LexicalIndex, "commit", full)
    with pytest.raises(StorageError):
        kb.add({"id": "new", "text": "A heron stands in the reeds."})
    monkeypatch.undo()
    assert kb.search("heron", k=1)[0].document == "new"
    assert kb.internals.indexes.lexical.folder == view.lexical.folder
