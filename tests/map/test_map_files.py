"""Files made of a collection: embedding-atlas's Parquet, documents and passages, a picture; and their commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.core.errors import InvalidInput
from gnomon.map import CollectionMap, export_atlas
from support.serve_app import DOCUMENTS, make_collection


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    more = [{"id": f"m{n}", "text": f"A river and the sun, {n} times.", "metadata": {"x": n}} for n in range(5)]
    return make_collection(tmp_path_factory.mktemp("files"), [*DOCUMENTS, *more])


def test_the_file_for_embedding_atlas_has_the_columns_that_its_command_names(folder: Path, tmp_path: Path) -> None:
    with gnomon.open(folder) as kb:
        file = export_atlas(kb, tmp_path / "a b.parquet", neighbours=3, vectors=True)
        points, table = CollectionMap(kb).points(), pq.read_table(file.path)
    assert file.command == f"embedding-atlas '{tmp_path / 'a b.parquet'}' --text text --x x --y y --neighbors neighbors"
    assert np.array_equal(table.column("x").to_numpy(), points.positions[:, 0])
    assert table.column("year").to_pylist()[:4] == [2020, 2021, 2022, None]
    assert table.column("metadata_x").to_pylist()[3:] == [0, 1, 2, 3, 4]  # x is the position
    vectors = np.stack(table.column("vector").to_numpy())
    for at, row in enumerate(table.column("neighbors").to_pylist()):
        assert set(row) == {"ids", "distances"}
        assert at not in row["ids"]
        assert len(row["ids"]) == 3
        assert np.allclose(row["distances"], np.linalg.norm(vectors[row["ids"]] - vectors[at], axis=1), atol=1e-3)


def test_neighbours_may_be_left_out_and_umap_must_be_ready(folder: Path, tmp_path: Path) -> None:
    with gnomon.open(folder) as kb:
        file = export_atlas(kb, tmp_path / "a.parquet", neighbours=0)
        assert "neighbors" not in pq.read_table(file.path).column_names
        assert "neighbors" not in file.command
        with pytest.raises(InvalidInput, match=r"UMAP of .* is not there yet"):
            export_atlas(kb, tmp_path / "b.parquet", projection="umap")


def test_exported_documents_can_be_added_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "documents.ndjson"
    assert run(["export", str(folder), "--documents", str(target), "--where", "year >= 2021", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(target), "rows": 2}
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    with gnomon.open(folder) as kb:
        assert kb.remove([row["id"] for row in rows]) == 2
        assert kb.add(rows).documents == 2
        assert kb.get("rivers/rhine").metadata == {"year": 2022, "lang": "en"}
    assert run(["export", str(folder), "--chunks", str(tmp_path / "c.parquet"), "--vectors"]) == 0
    assert "vector" in pq.read_table(tmp_path / "c.parquet").column_names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "0 files to export to"),
        (["--documents", "a.ndjson", "--atlas", "b.parquet"], "2 files to export to"),
        (["--documents", "a.csv"], "a file 'a.csv'"),
        (["--atlas", "b.parquet", "--where", "year = 1"], "--where with --atlas"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(folder), *options]) == 2
    assert message in capsys.readouterr().err


def test_the_command_map_lists_clusters_and_draws(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["map", str(folder), "--out", str(tmp_path / "map.png")]) == 0
    shown = capsys.readouterr().out
    assert "8 passages of v1: pca" in shown
    assert "river" in shown
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert run(["map", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"] == 8
