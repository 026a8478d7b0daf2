"""Opening: another model, a changed model, other settings, a damaged catalog, a forbidding disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection, CollectionSettings, RetrievalSettings
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.contracts import Role
from gnomon.core.errors import (
    CollectionBusy,
    CollectionDamaged,
    CollectionNotFound,
    CollectionTooNew,
    InvalidInput,
    SpaceMismatch,
    StorageError,
)
from gnomon.core.vectors import Vectors
from gnomon.encode import EncoderSettings, load_encoder
from gnomon.testing.toys import HashEncoder, LateHashEncoder

encoder = partial(HashEncoder, 64, max_tokens=48)


class Drifted(HashEncoder):
    """Says that it is the same model, and is not: a changed runtime."""

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        vectors = super().encode(texts, role=role)
        return Vectors(vectors.data[:, ::-1], vectors.space)


def test_another_model_of_equal_dimensions_is_refused(kb: Collection, tmp_path: Path) -> None:
    with pytest.raises(SpaceMismatch) as caught:
        gnomon.open(tmp_path / "kb", encoder=HashEncoder(64, salt="other", max_tokens=48))
    assert "hash-64-other" in caught.value.message
    assert "this collection holds hash-64" in caught.value.message
    assert "new collection" in caught.value.hint


def test_a_model_that_changed_under_its_name_is_refused(kb: Collection, tmp_path: Path) -> None:
    with gnomon.open(tmp_path / "kb", encoder=Drifted(64, max_tokens=48)) as drifted:
        with pytest.raises(SpaceMismatch, match="canary"):
            drifted.search("tea")
        with pytest.raises(SpaceMismatch, match="canary"):
            drifted.add(["more"])
        assert drifted.search("tea", mode="lexical")


@pytest.mark.parametrize("made_with", [EncoderSettings(precision="int8"), EncoderSettings(dim=128)])
def test_a_collection_is_opened_with_the_precision_and_dimensions_it_was_made_with(
    made_with: EncoderSettings, minilm_folder: Path, tmp_path: Path
) -> None:
    made = load_encoder(minilm_folder, settings=made_with)
    with gnomon.open(tmp_path / "kb", settings=CollectionSettings(model=str(minilm_folder)), encoder=made) as kb:
        kb.add(["A gnomon casts a shadow.", "Whales sing."])
    with gnomon.open(tmp_path / "kb", create=False) as kb:
        assert kb.encoder.space == made.space
        assert kb.search("sundial", mode="dense")[0].snippet == "A gnomon casts a shadow."
    with pytest.raises(SpaceMismatch):
        gnomon.open(tmp_path / "kb", encoder=load_encoder(minilm_folder))


def test_settings_must_agree_with_the_collection(kb: Collection, tmp_path: Path) -> None:
    path = tmp_path / "kb"
    gnomon.open(path, encoder=encoder(), settings=CollectionSettings(chunk_tokens=48)).close()
    with pytest.raises(InvalidInput, match="made with chunk_tokens 48, not chunk_tokens 20") as caught:
        gnomon.open(path, encoder=encoder(), settings=CollectionSettings(chunk_tokens=20))
    assert caught.value.hint.endswith("gnomon migrate KB --chunk-tokens 20")
    settings = CollectionSettings(retrieval=RetrievalSettings(mode="dense", index="hnsw"))
    with pytest.raises(InvalidInput) as caught:
        gnomon.open(path, encoder=encoder(), settings=settings)
    assert caught.value.message == ("the collection was made with mode hybrid, index auto, not mode dense, index hnsw")
    assert caught.value.hint.endswith("gnomon migrate KB --set mode=dense --set index=hnsw")


def test_the_kind_of_index_is_kept_and_is_auto_where_none_was_written(tmp_path: Path) -> None:
    for kind in ("auto", "exact", "hnsw", "ivf"):
        settings = CollectionSettings(retrieval=RetrievalSettings(index=kind))
        gnomon.open(tmp_path / kind, encoder=encoder(), settings=settings).close()
        with gnomon.open(tmp_path / kind, encoder=encoder()) as kb:
            assert kb.version.retrieval.index == kind
    # What a catalog says that was made before there was a choice.
    assert "index" not in RetrievalSettings().to_json()
    old = {"mode": "hybrid", "fuse": RetrievalSettings().to_json()["fuse"], "language": "en"}
    assert RetrievalSettings.from_json(old).index == "auto"
    with pytest.raises(InvalidInput, match="no index 'annoy'") as caught:
        RetrievalSettings(index="annoy")  # type: ignore[arg-type]
    assert caught.value.expected == "one of auto, exact, hnsw, ivf"


def test_chunks_that_the_model_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="chunks of 100 tokens") as caught:
        gnomon.open(tmp_path / "kb", encoder=encoder(), settings=CollectionSettings(chunk_tokens=100))
    assert "at most the 48 tokens" in caught.value.expected


def test_no_collection(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFound, match="no collection at") as caught:
        gnomon.open(tmp_path / "nowhere", create=False)
    assert "gnomon index" in caught.value.hint
    assert not (tmp_path / "nowhere").exists()


def test_a_catalog_of_rubbish(kb: Collection, tmp_path: Path) -> None:
    kb.close()
    (tmp_path / "kb/collection.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(CollectionDamaged, match="file is not a database") as caught:
        gnomon.open(tmp_path / "kb", encoder=encoder())
    assert "backup" in caught.value.hint


def test_a_truncated_catalog(kb: Collection, tmp_path: Path) -> None:
    kb.close()
    path = tmp_path / "kb/collection.db"
    os.truncate(path, path.stat().st_size - 8192)
    with pytest.raises(CollectionDamaged, match="damaged"):
        gnomon.open(tmp_path / "kb", encoder=encoder())


def test_a_kill_in_the_midst_of_a_checkpoint(kb: Collection, tmp_path: Path) -> None:
    path, wal = tmp_path / "kb/collection.db", tmp_path / "kb/collection.db-wal"
    kb.add([{"id": f"d{n}", "text": f"river number {n}"} for n in range(100)])
    log = wal.read_bytes()
    kb.close()  # which copies the log into the file
    os.truncate(path, 40960)  # its first pages are copied, the last ones are not
    wal.write_bytes(log)
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as again:
        assert len(again) == 104
        assert again.search("river number 77", k=1, mode="lexical")[0].document == "d77"


def test_pages_overwritten(kb: Collection, tmp_path: Path) -> None:
    kb.close()
    path = tmp_path / "kb/collection.db"
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(CollectionDamaged, match="damaged"):
        gnomon.open(tmp_path / "kb", encoder=encoder()).search("tea")


def test_a_catalog_from_the_future(kb: Collection, tmp_path: Path) -> None:
    kb.close()
    with sqlite3.connect(tmp_path / "kb/collection.db") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(CollectionTooNew, match="schema 99") as caught:
        gnomon.open(tmp_path / "kb", encoder=encoder())
    assert "upgrade gnomon" in caught.value.hint


def test_readers_are_not_blocked_by_a_writer_and_writers_wait_their_time(kb: Collection, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "kb", create=False, busy_s=0.2)
    with catalog.write():
        assert kb.search("tea")
        impatient = Catalog(tmp_path / "kb", create=False, busy_s=0.2)
        with pytest.raises(CollectionBusy, match="locked by another writer"), impatient.write():
            pass
        impatient.close()
    catalog.close()


def test_a_full_disk_loses_nothing(kb: Collection, tmp_path: Path) -> None:
    with kb.internals.catalog.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    kb.internals.catalog.backend.engine.dispose()
    from sqlalchemy import event

    @event.listens_for(kb.internals.catalog.backend.engine, "connect")
    def _limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages + 2}")

    with pytest.raises(StorageError, match="No space left") as caught:
        kb.add([f"A long passage about the number {n}. " * 50 for n in range(200)])
    assert "nothing committed is lost" in caught.value.hint
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as again:
        assert again.status().documents == 4
        assert again.add(["There is room again."]).documents == 1


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "kb").write_text("I am a file")
    with pytest.raises(StorageError, match="cannot be written"):
        gnomon.open(tmp_path / "kb", encoder=encoder())


def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(0o555)
    code = (
        "import os, sys, gnomon\n"
        "from gnomon.testing.toys import HashEncoder\n"
        "e = HashEncoder(8)\n"
        "gnomon.open(sys.argv[2], encoder=e).close()\n"  # everything is imported while that is allowed
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: gnomon.open(sys.argv[1], encoder=e)\n"
        "except gnomon.GnomonError as error: print(type(error).__name__, error.message)\n"
    )
    for parent in tmp_path.parents:  # so that the unprivileged user may reach the folder at all
        if parent.name.startswith("pytest-") and parent.stat().st_uid == os.getuid():
            parent.chmod(0o755)
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "locked" / "kb", tmp_path / "free"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("StorageError"), done.stderr
    assert "Permission denied" in done.stdout


def test_settings_that_the_model_does_not_have_leave_no_folder_behind(tmp_path: Path) -> None:
    settings = CollectionSettings(retrieval={"index": "ivf"})
    with pytest.raises(InvalidInput, match="several vectors a text"):
        gnomon.open(tmp_path / "late", encoder=LateHashEncoder(), settings=settings)
    assert not (tmp_path / "late").exists()


def test_a_model_that_moved_is_loaded_from_where_it_is_now(tmp_path: Path) -> None:
    """A space that is known keeps the place of its model, until that folder is gone."""
    places = [tmp_path / "first", tmp_path / "second"]
    for place in places:
        place.mkdir()
    two = HashEncoder(32, salt="two")
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as kb:
        kb.add(["a text"])

        def begun() -> str:
            name = kb.versions.add(two, model=str(places[0])).name
            return kb.versions.get(name).model

        assert begun() == str(places[0])
        places.reverse()
        assert begun() == str(tmp_path / "first")  # it is there: it stays
        (tmp_path / "first").rmdir()
        assert begun() == str(tmp_path / "second")
        assert kb.version.model == "hash-32"  # a name is no folder that could be gone


def test_an_exclusive_lock_waits_and_says_who_has_it(tmp_path: Path) -> None:
    catalog, waited = Catalog(tmp_path, create=True), list[str]()
    with catalog.exclusive("index", wait_s=1.0, owner="run"):
        again = catalog.exclusive("index", wait_s=0.01, owner="index run", waiting=lambda: waited.append("waiting"))
        with pytest.raises(CollectionBusy, match=r"another index run has held .*lock for 0.01 s"), again:
            pytest.fail("two have it")
    assert waited == ["waiting"]
    with catalog.exclusive("index", wait_s=0.01, owner="run", waiting=lambda: waited.append("again")):
        assert waited == ["waiting"]


def test_an_unknown_language_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="language 'xx'"):
        gnomon.open(
            tmp_path / "kb",
            encoder=HashEncoder(),
            settings=gnomon.CollectionSettings(retrieval=gnomon.RetrievalSettings(language="xx")),
        )
    assert not (tmp_path / "kb").exists()


def test_a_version_in_the_folders_name_is_pointed_to_its_option(kb: Collection) -> None:
    folder = kb.internals.folder
    with pytest.raises(CollectionNotFound) as caught:
        gnomon.open(folder.with_name(f"{folder.name}@v9"), create=False)
    assert caught.value.hint == f"name the version apart: {folder} --version v9"
