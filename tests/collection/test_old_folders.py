"""A collection that gnomon 0.1.0 made opens, and finds what it found then.

`fixtures/gnomon-0.1.tar.gz` was made by the last commit before the packages were regrouped (2958975): twelve small
Markdown files, two static models and a late-interaction model with random weights, versions v1 to v5 (v2 live after a
gated migration; v3 dense only; v4 with neighbour smoothing and fusion weights; v5 with a second model whose setting was
still called `rerank.share`), a registered table, two monitoring runs, gate reports and a finished migration's state.
`expected.json` holds the hits of each version as the old code gave them.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.collection.catalog.schema import vector_checksum

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "gnomon-0.1.tar.gz"
VERSIONS = ("v1", "v2", "v3", "v4", "v5")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The unpacked folder; the models lie elsewhere than when the collection was made."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "gnomon-0.1"


def opened(old: Path, version: str | None = None) -> Collection:
    models = [gnomon.load_encoder(str(old / "models" / name)) for name in ("first", "second")]
    return gnomon.open(old / "kb", create=False, encoder=models, version=version)


@pytest.mark.filterwarnings("ignore::gnomon.core.errors.TruncatedText")
@pytest.mark.parametrize("rebuilt", [False, True], ids=["indexes as they were", "indexes rebuilt"])
@pytest.mark.parametrize("version", VERSIONS[:4])
def test_each_version_finds_what_it_found(old: Path, version: str, rebuilt: bool) -> None:
    expected = json.loads((old / "expected.json").read_text())
    if rebuilt:
        (old / "kb" / "derived").rename(old / "derived")
    with opened(old, version) as kb:
        assert sorted(kb.ids()) == expected["documents"]
        for query, hits in expected["versions"][version].items():
            assert [(hit.document, pytest.approx(hit.score, abs=2e-3)) for hit in kb.search(query, k=3)] == [
                tuple(hit) for hit in hits
            ]


def test_it_takes_writes_and_the_other_versions_follow(old: Path) -> None:
    with opened(old) as kb:
        assert kb.version.name == "v2"
        kb.add([{"id": "new", "text": "the vault keeps signing keys"}])
        assert "new" in [hit.document for hit in kb.search("vault signing keys", k=3)]


def test_its_fields_have_types_and_nothing_is_embedded_anew(old: Path) -> None:
    with gnomon.open(old / "kb", create=False) as kb:
        before = kb.status()
        assert {field.name: field.type for field in kb.fields.all()} == {"owner": "text", "year": "number"}
        assert kb.status().vectors == before.vectors


def test_a_setting_that_was_renamed_is_read(old: Path) -> None:
    with opened(old) as kb:
        rerank = kb.versions.get("v5").retrieval.rerank
    assert rerank is not None
    assert (rerank.weight, rerank.depth) == (0.6, 5)


def test_its_commands_show_it(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gnomon.cli.main import run

    for command, shown in (
        (["status", str(old / "kb")], "documents      13"),
        (["versions", str(old / "kb")], "v5"),
        (["tables", "list", str(old / "kb")], "orders"),
        (["migrate", str(old / "kb"), "--status"], "v5 is ready"),
    ):
        assert run(command) == 0
        assert shown in capsys.readouterr().out


def test_its_vectors_get_checksums(old: Path) -> None:
    before = _rows(old, "SELECT space_id, role, text_hash, data FROM vectors ORDER BY id")
    with opened(old):
        pass
    after = _rows(old, "SELECT space_id, role, text_hash, data, checksum FROM vectors ORDER BY id")
    assert after == [(*row, vector_checksum(*row)) for row in before]


def _rows(old: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(old / "kb" / "collection.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_files_that_an_older_gnomon_indexed_are_hashed_once_and_not_embedded_again(old: Path, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# Keys\n\nThe vault keeps signing keys.\n")
    with opened(old) as kb:
        kb.index([docs])
        with kb.internals.catalog.write() as connection:  # as it is after the migration
            connection.exec_driver_sql("UPDATE sources SET ctime_ns = 0")
        report = kb.index([docs])
        assert (report.unchanged, report.embedded, report.indexed) == (1, 0, 0)
        with kb.internals.catalog.read() as connection:
            facts = connection.exec_driver_sql("SELECT ctime_ns FROM sources WHERE path LIKE '%/a.md'").scalar_one()
        assert facts == (docs / "a.md").stat().st_ctime_ns
