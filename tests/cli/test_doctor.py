"""gnomon doctor on the command line."""

import json
import sqlite3

import faiss
import numpy as np
import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.collection import CollectionSettings


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """No model of this machine's user."""
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def own(judged, model, tmp_path):
    """A collection of the judged corpus, with a model that can be loaded again."""
    with gnomon.open(tmp_path / "own", settings=CollectionSettings(str(model))) as kb:
        kb.index([judged / "corpus.jsonl"])
    return tmp_path / "own"


def said(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run([*map(str, arguments)]) == code
    captured = capsys.readouterr()
    return " ".join((captured.err if code > 1 else captured.out).split())


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def spoil(folder, statement):
    connection = sqlite3.connect(folder / "collection.db")
    with connection:
        connection.execute(statement)
    connection.close()


def test_all_is_well(own, capsys):
    out = said(capsys, "doctor", own)
    assert "holds 16 documents of 1 file" in out
    assert "16 vectors of passages, 0 of queries; v1" in out
    assert "result nothing is wrong" in out, out
    found = as_json(capsys, "doctor", own)
    assert (found["errors"], found["findings"], found["skipped"]) == (0, [], [])


def test_errors_end_with_1_until_they_are_mended(own, capsys):
    spoil(own, "UPDATE vectors SET data = zeroblob(length(data)) WHERE id = 2")
    out = said(capsys, "doctor", own, code=1)
    assert "error 1 of 16 vectors of words-model" in out
    assert "such as d1, 0 to" in out
    assert "next embed them again: --fix" in out
    assert "error" in as_json(capsys, "doctor", own, code=1)["findings"][0]["severity"]
    out = said(capsys, "doctor", own, "--fix")
    assert "fixed embedded 1 texts again" in out
    assert "result nothing is wrong" in out, out
    assert as_json(capsys, "doctor", own, "--sample", 3)["errors"] == 0


def test_a_damaged_catalog_is_no_traceback(own, capsys):
    (own / "collection.db").write_bytes(b"rubbish" * 1000)
    assert "damaged" in said(capsys, "doctor", own, code=4)


def test_no_collection(tmp_path, capsys):
    assert "no collection at" in said(capsys, "doctor", tmp_path, code=2)
    assert "no collection at" in said(capsys, "doctor", tmp_path / "none", code=2)


def test_another_store(tmp_path, model, capsys):
    texts = [f"about the {word}" for word in ("sundial", "whale", "teapot")]
    rows = np.array(gnomon.load_encoder(model).encode(texts, role="document").data)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    faiss.write_index(index, str(tmp_path / "index.faiss"))
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    given = ("doctor", tmp_path / "index.faiss", "--texts", tmp_path / "texts.txt", "--model", model)
    out = said(capsys, *given)
    assert f"store {tmp_path / 'index.faiss'}, faiss" in out
    assert "holds 3 rows, 3 vectors, 28 dimensions lengths all 1: normalised" in out
    assert f"{model} made them: median cosine 1.0000 of 3" in out
    assert "result nothing is wrong" in out, out
    rows[0] = -rows[0]
    index.reset()
    index.add(rows)
    faiss.write_index(index, str(tmp_path / "index.faiss"))
    out = said(capsys, *given, code=1)
    assert "made 67% of them" in out
    assert "median cosines of all 3" in out
    found = as_json(capsys, *given, code=1)
    assert (found["kind"], found["errors"], found["parts"][0]["model"]["verdict"]) == ("faiss", 1, "partly")


def test_options_of_the_wrong_kind_of_place(own, tmp_path, capsys):
    assert "--model, --text for" in said(capsys, "doctor", own, "--model", "x", "--text", "y", code=2)
    (tmp_path / "index.faiss").write_bytes(b"x")
    assert "only read" in said(capsys, "doctor", tmp_path / "index.faiss", "--fix", code=2)
    assert "cannot be read as a FAISS index" in said(capsys, "doctor", tmp_path / "index.faiss", code=2)
    assert "a sample of 0" in said(capsys, "doctor", own, "--sample", 0, code=2)
