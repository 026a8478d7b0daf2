"""A damaged catalog: what can be read is, and whatever is missing or wrong is said."""

from __future__ import annotations

import shutil
import sqlite3
import zlib
from functools import partial
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.core.errors import CollectionDamaged, DamagedCatalog, DamagedPassages, LostChanges
from gnomon.testing.toys import HashEncoder

encoder = partial(HashEncoder, 64, max_tokens=48)


def change(folder: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(folder / "collection.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


OF_WHALES = "(SELECT id FROM documents WHERE key = 'docs/whales.txt')"


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        (f"UPDATE chunks SET text = ? WHERE document_id IN {OF_WHALES}", "The bluf whale."),
        (f"UPDATE documents SET body = ? WHERE id IN {OF_WHALES}", zlib.compress(b"The blue shark")),
        (f"UPDATE documents SET body = ? WHERE id IN {OF_WHALES}", b"no zlib"),
    ],
    ids=["of its own", "of its document", "unreadable"],
)
def test_a_passage_whose_text_was_changed_is_left_out_of_hits(
    kb: Collection, tmp_path: Path, statement: str, value: object
) -> None:
    change(tmp_path / "kb", statement, value)
    with pytest.warns(DamagedPassages, match="1 passages are left out, .* damaged: docs/whales.txt"):
        found = kb.search("blue whale", k=9)
    assert found
    assert "docs/whales.txt" not in [hit.document for hit in found]
    kb.close()
    shutil.rmtree(tmp_path / "kb" / "derived")
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as again:
        assert again.search("green tea", k=1, mode="lexical"), "one damaged text does not keep words from being indexed"


def test_a_document_whose_text_was_changed_is_refused(kb: Collection, tmp_path: Path) -> None:
    statement = "UPDATE documents SET body = ? WHERE key = 'docs/whales.txt'"
    change(tmp_path / "kb", statement, zlib.compress(b"The blue shark"))
    with pytest.raises(CollectionDamaged, match=r"'docs/whales.txt': its title or text is not what was added"):
        kb.get("docs/whales.txt")
    assert kb.get("docs/sundial.md") is not None
    change(tmp_path / "kb", statement, b"no zlib")
    with pytest.raises(CollectionDamaged, match="a row cannot be read"):
        kb.get("docs/whales.txt")


def test_a_lost_log_is_said(kb: Collection, tmp_path: Path) -> None:
    kb.close()
    shutil.copytree(tmp_path / "kb", tmp_path / "killed")
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as later:
        later.add({"id": "late", "text": "An oak in the churchyard."})
        later.search("oak")
        shutil.copytree(tmp_path / "kb" / "derived", tmp_path / "killed" / "derived", dirs_exist_ok=True)
    with pytest.warns(LostChanges, match="the last 1 changes of passages"):
        gnomon.open(tmp_path / "killed", encoder=encoder()).close()


@pytest.mark.parametrize("left", [None, b""], ids=["gone", "empty"])
def test_a_catalog_that_is_gone_is_not_made_anew(kb: Collection, tmp_path: Path, left: bytes | None) -> None:
    kb.close()
    (tmp_path / "kb" / "collection.db").unlink()
    if left is not None:
        (tmp_path / "kb" / "collection.db").write_bytes(left)
    with pytest.raises(CollectionDamaged, match=r"is gone|is empty") as caught:
        gnomon.open(tmp_path / "kb", encoder=encoder())
    assert "backup" in caught.value.hint


def test_faults_that_sqlite_finds_are_said_when_it_is_opened(kb: Collection, tmp_path: Path) -> None:
    kb.close()
    path = tmp_path / "kb" / "collection.db"
    data = bytearray(path.read_bytes())
    at = data.find(b"docs/whales.txt")
    data[at : at + 4] = b"docz"  # in the table or in its index, which then disagree
    path.write_bytes(data)
    with pytest.warns(DamagedCatalog, match="gnomon doctor"):
        gnomon.open(tmp_path / "kb", encoder=encoder()).close()


@pytest.mark.parametrize("key", ["schema", "collection_id"])
def test_a_catalog_that_lost_what_it_is_says_so(kb: Collection, tmp_path: Path, key: str) -> None:
    kb.close()
    change(tmp_path / "kb", "DELETE FROM meta WHERE key = ?", key)
    with pytest.raises(CollectionDamaged, match=f"its table meta lacks {key}"):
        gnomon.open(tmp_path / "kb", encoder=encoder())
