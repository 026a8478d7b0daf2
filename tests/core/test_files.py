"""Files and folders are replaced whole or not at all, whatever goes wrong on the way."""

import errno
import os
import stat
from pathlib import Path

import pytest

from gnomon.core import files
from gnomon.core.errors import StorageError
from gnomon.core.files import (
    DISK_ERRORS,
    replacing,
    replacing_folder,
    storage_errors,
    sync_file,
    sync_folder,
    write_atomic,
)

REFUSED = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is flushed to disk, in order: "file" or "folder"."""
    kinds: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        kinds.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return kinds


def failing_replace(monkeypatch: pytest.MonkeyPatch, *, of: str) -> None:
    """Putting a path whose name has this ending in place fails from now on."""
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.name.endswith(of):
            raise REFUSED
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)


def contents(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "one")
    write_atomic(path, b"two")
    assert contents(tmp_path) == {"a.txt": "two"}


def test_text_is_utf8_and_lone_surrogates_survive(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "é\udce9")
    assert path.read_bytes() == "é".encode() + b"\xed\xb3\xa9"


def test_file_then_folder_are_flushed(tmp_path: Path, synced: list[str]) -> None:
    write_atomic(tmp_path / "a.txt", "one")
    assert synced == ["file", "folder"]


def test_the_file_is_flushed_before_it_is_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("old")

    def fsync(handle: int) -> None:
        raise REFUSED

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "a.txt", "new")
    assert contents(tmp_path) == {"a.txt": "old"}


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half_written() -> None:
        with replacing(path) as beside:
            beside.write_text("half")
            raise error

    with pytest.raises(type(error)):
        half_written()
    assert contents(tmp_path) == {"a.txt": "old"}


def test_a_failing_replacement_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    failing_replace(monkeypatch, of=".new")
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert contents(tmp_path) == {"a.txt": "old"}


def test_readers_see_the_old_file_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
        assert beside.parent == path.parent  # one file system: the replacement is one step
    assert path.read_text() == "new"


@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_permissions_are_those_of_the_umask(tmp_path: Path, umask: int, file_mode: int, folder_mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "a.txt", "one")
        with replacing_folder(tmp_path / "d") as beside:
            (beside / "b.txt").write_text("two")
        assert os.umask(umask) == umask  # asking for it left it as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == file_mode
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == folder_mode


def test_a_folder_that_is_missing_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "none" / "a.txt", "one")


def fill(folder: Path, text: str) -> None:
    (folder / "sub").mkdir()
    (folder / "a.txt").write_text(text)
    (folder / "sub" / "b.txt").write_text(text)


def filled(text: str) -> dict[str, str]:
    return {"d/a.txt": text, "d/sub/b.txt": text}


def test_a_folder_is_made_and_replaced(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with replacing_folder(tmp_path / "d") as beside:
            fill(beside, text)
        assert contents(tmp_path) == filled(text)
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_folder_in_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "x" / "d") as beside:
        fill(beside, "one")
    assert contents(tmp_path / "x") == filled("one")


def test_every_file_and_folder_of_a_folder_is_flushed(tmp_path: Path, synced: list[str]) -> None:
    with replacing_folder(tmp_path / "d") as beside:
        fill(beside, "one")
    assert (synced.count("file"), synced.count("folder")) == (2, 3)  # sub, the folder itself, and its parent
    assert synced[-2:] == ["folder", "folder"]


def test_an_error_in_the_block_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    fill(tmp_path / "d", "old")

    def half_filled() -> None:
        with replacing_folder(tmp_path / "d") as beside:
            fill(beside, "half")
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        half_filled()
    assert contents(tmp_path) == filled("old")
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_folder_that_cannot_be_put_in_place_brings_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d").mkdir()
    fill(tmp_path / "d", "old")
    failing_replace(monkeypatch, of=".new")
    with pytest.raises(OSError, match="No space"), replacing_folder(tmp_path / "d") as beside:
        fill(beside, "new")
    assert contents(tmp_path) == filled("old")
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_folder_that_cannot_step_aside_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    fill(tmp_path / "d", "old")
    failing_replace(monkeypatch, of="d")
    with pytest.raises(OSError, match="No space"), replacing_folder(tmp_path / "d") as beside:
        fill(beside, "new")
    assert contents(tmp_path) == filled("old")
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize("number", sorted(DISK_ERRORS))
def test_the_systems_refusals_become_storage_errors(tmp_path: Path, number: int) -> None:
    with pytest.raises(StorageError) as caught, storage_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.message == f"{tmp_path} cannot be written: {os.strerror(number)}"
    assert isinstance(caught.value.__cause__, OSError)


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    mine = StorageError("mine")
    mine.errno = errno.ENOSPC
    for error in (FileNotFoundError(errno.ENOENT, "none"), ValueError("bad"), mine):
        with pytest.raises(type(error)) as caught, storage_errors(tmp_path):
            raise error
        assert caught.value is error


def test_a_file_and_a_folder_can_be_flushed_by_hand(tmp_path: Path, synced: list[str]) -> None:
    (tmp_path / "a.txt").write_text("one")
    sync_file(tmp_path / "a.txt")
    sync_folder(tmp_path)
    assert synced == ["file", "folder"]


def test_folders_are_not_flushed_where_the_system_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[str]
) -> None:
    monkeypatch.setattr(files.os, "name", "nt")
    sync_folder(tmp_path)
    assert synced == []
