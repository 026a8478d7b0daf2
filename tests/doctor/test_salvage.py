"""What can be read of a catalog that SQLite refuses is counted, saved, and can be indexed again."""

from __future__ import annotations

from pathlib import Path

import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.core.errors import CollectionNotFound
from gnomon.doctor.salvage import salvage
from gnomon.testing.toys import HashEncoder


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Forty documents, and a page of the journal's table, which every search reads, overwritten."""
    folder = tmp_path / "kb"
    with gnomon.open(folder, encoder=HashEncoder(32)) as kb:
        kb.add([{"id": f"d{n}", "text": f"river {n}", "title": f"T{n}", "metadata": {"n": n}} for n in range(40)])
    path = folder / "collection.db"
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 3] = b"x" * 4096
    path.write_bytes(data)
    return folder


def test_readable_documents_are_saved(damaged: Path, tmp_path: Path) -> None:
    into = tmp_path / "documents.jsonl"
    assert salvage(damaged, into).readable == 40
    with gnomon.open(tmp_path / "new", encoder=HashEncoder(32)) as kb:
        kb.index(into)
        found = kb.get(kb.ids())
    assert sorted(each.text for each in found) == sorted(f"river {n}" for n in range(40))
    assert {each.metadata["n"] for each in found} == set(range(40))


def test_the_doctor_says_what_can_be_saved(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", str(damaged)]) == 4
    said = " ".join(capsys.readouterr().err.split())
    assert "40 of 40 documents" in said
    assert "--save documents.jsonl" in said


def test_where_there_is_no_collection_nothing_is_saved_or_made(tmp_path):
    with pytest.raises(CollectionNotFound):
        salvage(tmp_path, tmp_path / "saved.jsonl")
    assert list(tmp_path.iterdir()) == []
