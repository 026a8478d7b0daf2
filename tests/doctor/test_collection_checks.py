"""Looking inside a collection: every kind of damage is found, and mended where that is safe."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gnomon.collection import CollectionSettings
from gnomon.collection.catalog.queries import chunks_of
from gnomon.core.documents import Document
from gnomon.core.errors import DamagedPassages, InvalidInput
from gnomon.doctor.doctor import examine
from gnomon.doctor.report import DoctorFinding, DoctorReport
from gnomon.testing.toys import HashEncoder
from support.version_collections import WORDS, built, check_sound, documents, one, opened, served, text, three, two

SMALL = CollectionSettings(chunk_tokens=20, chunk_overlap=0)
COUNT = 30


def body(number: int, turn: int = 0) -> str:
    """Sentences no two of which are alike, with words that all texts of the toys are found by."""
    words = [f"x{number}y{turn}z{at} {WORDS[(number + at) % len(WORDS)]}" for at in range(30)]
    return "Note. " + ". ".join(" ".join(words[at : at + 4]).capitalize() for at in range(0, 30, 4))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model of this machine's user."""
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty documents in v1, with its indexes on disk."""
    path = tmp_path / "kb"
    with opened(path, settings=SMALL) as kb:
        kb.add(documents({str(number): body(number) for number in range(COUNT)}))
        kb.versions.build_indexes("v1")
    return path


def looked(folder: Path, *, fix: bool = False, **options: object) -> DoctorReport:
    with opened(folder, **options) as kb:
        return examine(kb, fix=fix)


def changed(folder: Path, *statements: str, parameters: tuple[object, ...] = ()) -> None:
    """Change the catalog behind gnomon's back."""
    connection = sqlite3.connect(folder / "collection.db")
    with connection:
        for statement in statements:
            connection.execute(statement, parameters)
    connection.close()


def asked(folder: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / "collection.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def finding(found: DoctorReport, check: str) -> DoctorFinding:
    (match,) = [each for each in found.findings if each.check == check]
    return match


def checks(found: DoctorReport) -> list[str]:
    return [each.check for each in found.findings]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def spaceless(texts: dict[str, str]) -> dict[str, str]:
    """What stands between two passages is in neither."""
    return {key: "".join(text.split()) for key, text in texts.items()}


def mended(folder: Path) -> DoctorReport:
    """After mending all is well, for good; and a search finds every document."""
    found = looked(folder, fix=True)
    assert found.fixed
    assert not found.findings
    assert not looked(folder).findings
    check_sound(folder)
    with opened(folder) as kb:
        assert spaceless(served(kb)) == spaceless({str(number): body(number) for number in range(COUNT)})
    return found


def test_a_sound_collection(folder: Path) -> None:
    with opened(folder) as kb:
        name = built(kb)
        found = examine(kb)
    assert found.findings == found.fixed == found.skipped == ()
    assert found.errors == 0
    assert found.documents == COUNT
    assert [(space.model, space.versions) for space in found.spaces] == [
        ("hash-64", ("v1",)),
        ("hash-64-two", (name,)),
    ]
    assert all(space.documents > COUNT for space in found.spaces)
    assert [info.name for info in found.versions] == ["v1", name]
    assert len(found.checks) == 13
    assert json.loads(json.dumps(found.to_json()))["errors"] == 0


def test_a_look_changes_nothing(folder: Path) -> None:
    changed(folder, "UPDATE vectors SET data = zeroblob(256) WHERE id = 3", "DELETE FROM vectors WHERE id = 5")
    with opened(folder):
        pass
    before = digests(folder)
    assert looked(folder).errors
    assert digests(folder) == before


def test_a_sample_of_none_is_refused(folder: Path) -> None:
    with opened(folder) as kb, pytest.raises(InvalidInput, match="a sample of 0"):
        examine(kb, sample=0)


@pytest.mark.parametrize(
    ("check", "data", "what"),
    [
        ("zero", np.zeros(64, "<f4"), "are zero"),
        ("not-finite", np.full(64, np.nan, "<f4"), "hold NaN or infinite values"),
        ("wrong-length", np.ones(31, "<f4"), "do not have the 64 dimensions of the space"),
        ("damaged", np.eye(64, dtype="<f4")[3], "do not match their checksum"),
    ],
)
def test_broken_vectors_are_embedded_again(folder: Path, check: str, data: np.ndarray, what: str) -> None:
    before = asked(folder, "SELECT text_hash, data FROM vectors ORDER BY id")
    changed(folder, "UPDATE vectors SET data = ? WHERE id IN (2, 9)", parameters=(data.tobytes(),))
    found = finding(looked(folder), check)
    assert (found.severity, found.count, found.total) == ("error", 2, len(before))
    assert what in found.message
    assert len(found.examples) == 2
    assert found.is_fixable
    assert "embedded 2 texts again" in mended(folder).fixed[0]
    assert asked(folder, "SELECT text_hash, data FROM vectors ORDER BY id") == before


@pytest.mark.slow
def test_a_search_leaves_out_passages_of_damaged_vectors_and_says_so(folder: Path) -> None:
    with opened(folder) as kb:
        whole = kb.search("x7y0z1", k=COUNT * 4, mode="dense")
        (word,) = kb.search("x7y0z1", k=5, mode="lexical")
    lost = word.chunk_id
    changed(
        folder,
        f"UPDATE vectors SET data = CAST(x'0000C07F' || substr(data, 5) AS BLOB), checksum = NULL WHERE text_hash = "
        f"(SELECT text_hash FROM chunks WHERE id = {lost})",  # not a number, from before there were checksums
        "UPDATE vectors SET data = CAST(substr(data, 1, 100) || x'01' || substr(data, 102) AS BLOB) WHERE id = 1",
    )
    shutil.rmtree(folder / "derived")
    with opened(folder) as kb:
        with pytest.warns(DamagedPassages, match=r"2 passages of .* doctor .* --fix"):
            found = kb.search("x7y0z1", k=COUNT * 4, mode="dense")
        assert len(found) == len(whole) - 2
        assert lost not in {hit.chunk_id for hit in found}
        assert lost in {hit.chunk_id for hit in kb.search("x7y0z1", k=5, mode="lexical")}
    assert {each.check for each in looked(folder).findings} >= {"damaged", "not-finite"}
    mended(folder)
    with opened(folder) as kb, warnings.catch_warnings():
        warnings.simplefilter("error")
        after = kb.search("x7y0z1", k=COUNT * 4, mode="dense")
    assert [(hit.document, round(hit.score, 5)) for hit in after] == [
        (hit.document, round(hit.score, 5)) for hit in whole
    ]


def test_vectors_that_are_not_normalised(folder: Path) -> None:
    row = asked(folder, "SELECT data FROM vectors WHERE id = 4")[0][0]
    longer = (2 * np.frombuffer(row, "<f4")).tobytes()  # type: ignore[arg-type]
    changed(folder, "UPDATE vectors SET data = ?, checksum = NULL WHERE id = 4", parameters=(longer,))
    found = looked(folder)
    assert (finding(found, "not-normalised").severity, found.errors) == ("warning", 0)
    mended(folder)
    assert asked(folder, "SELECT data FROM vectors WHERE id = 4") == [(row,)]


def test_broken_vectors_of_queries_are_dropped(folder: Path) -> None:
    with opened(folder) as kb:
        kb.run({"1": "amber birch", "2": "cedar"})
    changed(folder, "UPDATE vectors SET data = zeroblob(256) WHERE role = 'query' AND id % 2 = 0")
    assert finding(looked(folder), "zero").examples == ("1 of queries",)
    mended(folder)
    assert asked(folder, "SELECT count(*) FROM vectors WHERE role = 'query'") == [(1,)]


def test_lacking_vectors_are_made(folder: Path) -> None:
    changed(folder, "DELETE FROM vectors WHERE id IN (1, 2, 3)")
    found = finding(looked(folder), "no-vector")
    assert (found.severity, found.count) == ("error", 3)
    assert found.examples[0].startswith("0, 0 to ")
    assert mended(folder).fixed[0].startswith("embedded 3 texts that had no vector")


def test_vectors_without_use_are_dropped(folder: Path) -> None:
    with opened(folder) as kb:
        kb.remove(["7"])
        kb.versions.build_indexes("v1")
    found = looked(folder)
    orphans = finding(found, "orphans")
    assert (orphans.severity, found.errors) == ("warning", 0)
    fixed = looked(folder, fix=True)
    assert fixed.fixed == (f"dropped {orphans.count} vectors of no passage",)
    assert not fixed.findings


def test_vectors_that_a_build_may_need_stay(folder: Path) -> None:
    with opened(folder) as kb:
        kb.versions.add(two())
        kb.versions.backfill("v2")
        kb.remove(["7"])
        found = examine(kb, fix=True)
        spaces = [space.documents for space in found.spaces]
    assert "building" in checks(found)
    assert finding(found, "orphans").severity == "note"
    assert spaces[0] < spaces[1]


def foreign(folder: Path, encoder: HashEncoder, every: int = 4) -> int:
    """Put another model's vectors in place of a quarter. Returns how many."""
    with opened(folder) as kb, kb.internals.catalog.read() as connection:
        ids = [row[0] for row in connection.exec_driver_sql("SELECT id FROM chunks ORDER BY id")]
        picked = chunks_of(connection, ids)[::every]
    rows = encoder.encode([chunk.embed_text for chunk in picked], role="document").data
    for chunk, row in zip(picked, rows, strict=True):
        changed(
            folder,
            "UPDATE vectors SET data = ?, checksum = NULL WHERE text_hash = ?",
            parameters=(row.astype("<f4").tobytes(), chunk.text_hash),
        )
    return len(picked)


@pytest.mark.slow
def test_vectors_of_another_model_are_found_named_and_renewed(folder: Path) -> None:
    before = asked(folder, "SELECT text_hash, data FROM vectors ORDER BY id")
    with opened(folder) as kb:
        name = kb.versions.add(two()).name  # a model that was tried, and given up
        kb.retire(name)
    count = foreign(folder, two())
    found = finding(looked(folder), "foreign-vectors")
    assert found.severity == "error"
    assert 0.15 < found.count / found.total < 0.35
    assert f"hash-64-two (of {name}) made them: median cosine 1.0000" in found.explanation
    assert f"replaced {count} vectors" in " ".join(mended(folder).fixed)
    assert asked(folder, "SELECT text_hash, data FROM vectors WHERE role = 'document' ORDER BY id") == before


def test_vectors_of_a_model_that_nobody_knows(folder: Path) -> None:
    foreign(folder, HashEncoder(64, salt="unknown"), every=10)
    found = finding(looked(folder), "foreign-vectors")
    assert "No other model of as many dimensions" in found.explanation
    mended(folder)


def test_a_few_foreign_vectors_beyond_the_sample_are_renewed_too(folder: Path) -> None:
    count = foreign(folder, two(), every=2)
    with opened(folder) as kb:
        found = examine(kb, sample=12, fix=True)
    assert f"replaced {count} vectors" in " ".join(found.fixed)
    assert not found.findings


def test_passages_that_are_not_in_their_document(folder: Path) -> None:
    before = asked(folder, "SELECT document_id, text FROM chunks ORDER BY document_id, ordinal")
    changed(folder, "UPDATE chunks SET text = 'something else' WHERE id = 6")
    found = finding(looked(folder), "misplaced")
    assert (found.severity, found.count) == ("error", 1)
    assert found.examples[0].endswith("something else")
    assert "chunked 1 documents again for v1" in mended(folder).fixed[0]
    assert asked(folder, "SELECT document_id, text FROM chunks ORDER BY document_id, ordinal") == before


def test_documents_without_passages(folder: Path) -> None:
    changed(folder, "DELETE FROM chunks WHERE document_id = 4")
    found = looked(folder)
    assert finding(found, "unchunked").examples == ("3",)
    assert "journal" in checks(found)  # it tells of passages that are gone
    mended(folder)


def test_blank_documents_need_no_passage(folder: Path) -> None:
    with opened(folder) as kb:
        kb.add([Document("blank", " \n ")])
        assert [(each.check, each.severity) for each in examine(kb).findings] == [("no-passages", "note")]


def test_documents_that_changed_or_cannot_be_read_are_told_and_left(folder: Path) -> None:
    changed(
        folder,
        "UPDATE documents SET title = 'another' WHERE id = 2",
        "UPDATE documents SET body = x'00' WHERE id = 3",
    )
    before = asked(folder, "SELECT * FROM documents")
    found = looked(folder, fix=True)
    told = [each.examples for each in found.findings if each.check == "documents"]
    assert sorted(told) == [("1",), ("2",)]
    assert asked(folder, "SELECT * FROM documents") == before


def test_the_journal_is_completed(folder: Path) -> None:
    changed(folder, "DELETE FROM journal WHERE chunk_id = 8")
    found = looked(folder)
    assert finding(found, "journal").examples == ("chunk 8",)
    assert finding(found, "journal-gaps").count == 1
    fixed = looked(folder, fix=True)
    assert checks(fixed) == ["journal-gaps"]  # what is gone stays gone
    with opened(folder) as kb:
        assert len(served(kb)) == COUNT


def damaged_dense(folder: Path) -> None:
    (path,) = (folder / "derived" / "v0001").glob("dense-*/vectors-*.bin")
    data = bytearray(path.read_bytes())
    data[100] ^= 255
    path.write_bytes(data)


def damaged_lexical(folder: Path) -> None:
    path = max((folder / "derived" / "v0001").glob("lexical-*/*.store"))
    data = bytearray(path.read_bytes())
    data[3] ^= 255
    path.write_bytes(data)


def of_another(folder: Path) -> None:
    path = folder / "derived" / "v0001" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "collection": "another"}))


def lost_state(folder: Path) -> None:
    (folder / "derived" / "v0001" / "state.json").write_text("{")


def other_vectors(folder: Path) -> None:
    """The catalog has others than the index: as if it was changed behind gnomon's back."""
    foreign(folder, HashEncoder(64, salt="x"), every=1)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [damaged_dense, damaged_lexical, of_another, lost_state, other_vectors])
def test_indexes_are_made_again(folder: Path, damage: Callable[[Path], None]) -> None:
    shutil.rmtree(folder / "derived")
    with pytest.MonkeyPatch.context() as patch, opened(folder) as kb:
        for module in ("derived", "state"):  # few vectors have no files otherwise
            patch.setattr(f"gnomon.collection.indexes.{module}.is_saved", lambda _: True)
        kb.versions.build_indexes("v1")
    damage(folder)
    found = finding(looked(folder), "indexes-damaged")
    assert (found.severity, found.is_fixable) == ("error", True)
    assert "rebuilt the indexes of v1" in mended(folder).fixed


def test_indexes_that_are_behind_are_sound(folder: Path) -> None:
    with opened(folder) as kb:
        kb.add([Document("more", body(99)), Document("3", body(3, 1))])
        kb.remove(["5"])
        assert checks(examine(kb)) == ["orphans"]
    assert checks(looked(folder)) == ["orphans"]


def test_missing_indexes_are_a_note(folder: Path) -> None:
    shutil.rmtree(folder / "derived")
    found = looked(folder)
    assert (checks(found), found.errors) == (["indexes-missing"], 0)
    mended(folder)


def test_equal_and_nearly_equal_texts(folder: Path) -> None:
    words = " ".join(f"word{n}" for n in range(15))
    with opened(folder) as kb:
        kb.add([Document("a", words), Document("b", words), Document("c", words + " .")])
        found = examine(kb, sample=1000)
    equal, near = finding(found, "equal-texts"), finding(found, "near-duplicates")
    assert (equal.count, equal.severity) == (1, "note")
    assert equal.examples == (f"2 times: {words[:59]}…",)
    assert near.count == 2  # each is the other's
    assert near.examples[0].startswith("1.0000: word0")
    assert found.errors == 0


def test_files_that_are_gone_or_changed(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in ("a", "b", "c"):
        (texts / f"{name}.txt").write_text(f"the {name} of it")
    with opened(tmp_path / "kb", settings=SMALL) as kb:
        kb.index([texts])
        (texts / "a.txt").unlink()
        (texts / "b.txt").write_text("something longer than before")
        changed(tmp_path / "kb", "UPDATE sources SET sha256 = '' WHERE path LIKE '%c.txt'")
        found = examine(kb, fix=True)
    assert checks(found) == ["files-part", "files-changed", "files-gone"]
    assert finding(found, "files-gone").examples == (str(texts / "a.txt"),)
    assert not found.fixed


def test_a_model_that_is_gone(folder: Path, static_model: Callable[..., Path], tmp_path: Path) -> None:
    path = static_model("words")
    with opened(tmp_path / "own", settings=CollectionSettings(str(path), 20, 0), encoder=None) as kb:
        kb.add(documents({"1": text(1)}))
    changed(tmp_path / "own", "DELETE FROM vectors WHERE id = 1")
    shutil.rmtree(path)
    found = looked(tmp_path / "own", encoder=None, fix=True)
    missing = finding(found, "model-missing")
    assert (missing.severity, missing.count) == ("error", 1)
    assert str(path) in missing.message
    assert finding(found, "no-vector").is_fixable is False
    assert found.fixed == ()
    assert any("against their model: it is not on this machine" in line for line in found.skipped)


def test_a_model_that_changed(tmp_path: Path, static_model: Callable[..., Path]) -> None:
    path = static_model("words")
    with opened(tmp_path / "own", settings=CollectionSettings(str(path), 20, 0), encoder=None) as kb:
        kb.add(documents({"1": text(1)}))
    shutil.rmtree(path)
    static_model("words", seed=1)
    found = looked(tmp_path / "own", encoder=None)
    assert finding(found, "model-changed").severity == "error"


def test_canaries_that_cannot_be(folder: Path) -> None:
    changed(folder, "UPDATE canaries SET vector = x'00' WHERE role = 'query'")
    found = finding(looked(folder), "canaries")
    assert (found.count, found.severity) == (2, "error")


def test_a_catalog_with_a_broken_index_is_mended(folder: Path) -> None:
    ((key,),) = asked(folder, "SELECT text_hash FROM chunks WHERE id = 1")
    (row,) = asked(folder, "SELECT * FROM sqlite_master WHERE name = 'chunks_by_hash'")
    changed(folder, "UPDATE chunks SET text_hash = x'00' WHERE id = 1")
    changed(folder, "PRAGMA writable_schema = ON", "DELETE FROM sqlite_master WHERE name = 'chunks_by_hash'")
    changed(folder, "UPDATE chunks SET text_hash = ? WHERE id = 1", parameters=(key,))
    connection = sqlite3.connect(folder / "collection.db")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    found = finding(looked(folder), "integrity")
    assert (found.severity, found.is_fixable) == ("error", True)
    assert "chunks_by_hash" in found.examples[0]
    assert "rebuilt the indexes of the catalog's tables" in mended(folder).fixed


def test_a_version_that_lags(folder: Path) -> None:
    with opened(folder, encoder=[one(), two(), three()]) as kb:
        built(kb)
    with opened(folder, encoder=[one()]) as kb:
        kb.add([Document("more", body(99))])
        found = examine(kb)
    lag = finding(found, "behind")
    assert (lag.severity, lag.count) == ("warning", 1)
    assert finding(found, "model-missing").severity == "warning"
