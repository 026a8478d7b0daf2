"""Collections in PostgreSQL are exported and imported as those in folders are."""

from __future__ import annotations

from pathlib import Path

import pytest

import gnomon
from gnomon.core.errors import InvalidInput
from gnomon.exchange import export_collection, import_collection
from gnomon.testing.toys import HashEncoder
from support.postgres import PostgresServer


def found(kb: gnomon.Collection) -> list[tuple[str, float, dict[str, object]]]:
    return [(hit.document, hit.score, dict(hit.metadata)) for hit in kb.search("gnomon 3 of whales", k=9)]


@pytest.mark.slow
def test_from_a_folder_into_a_database_and_back(postgres: PostgresServer, tmp_path: Path) -> None:
    encoder, url = HashEncoder(32), postgres.url()
    with gnomon.open(tmp_path / "kb", encoder=encoder) as kb:
        rows = [{"id": f"d{n}", "text": f"gnomon {n} of whales\n", "metadata": {"n": n, "t": [True]}} for n in range(9)]
        kb.add(rows)
        before = found(kb)
        export_collection(kb, tmp_path / "one.parquet")
    report = import_collection(tmp_path / "one.parquet", url, encoder=encoder)
    assert report.into == url
    with pytest.raises(InvalidInput, match="holds 9 documents"):
        import_collection(tmp_path / "one.parquet", url, encoder=encoder)
    with gnomon.open(url, encoder=encoder, create=False) as there:
        assert found(there) == before
        export_collection(there, tmp_path / "two.parquet")
    import_collection(tmp_path / "two.parquet", tmp_path / "back", encoder=encoder)
    with gnomon.open(tmp_path / "back", encoder=encoder, create=False) as back:
        assert found(back) == before
    names = ("documents", "chunks", "sources")
    one, two = (
        [(tmp_path / f / f"{name}.parquet").read_bytes() for name in names] for f in ("one.parquet", "two.parquet")
    )
    assert one == two
