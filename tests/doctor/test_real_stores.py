"""Stores that other programs wrote, where these are on this machine: Chroma, LanceDB, PostgreSQL."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.doctor.stores import chroma
from gnomon.doctor.stores.examine import StoreSettings, examine_store
from gnomon.testing.toys import HashEncoder
from support.version_collections import WORDS

REPOSITORY = Path(__file__).resolve().parents[2]
COUNT = 60
TEXTS = [" ".join(np.random.default_rng(n).choice(WORDS, 6, replace=False)) for n in range(COUNT)]
ONE, TWO = HashEncoder(32), HashEncoder(32, salt="two")


def rows_of(encoder: HashEncoder) -> np.ndarray:
    return np.array(encoder.encode(TEXTS, role="document").data)


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def peer(name: str, package: str) -> Path:
    """The Python of an environment that has another store; it is made by bench/peers/environments.py."""
    python = REPOSITORY / ".venv-peers" / name / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"no environment with {package}: see bench/peers/environments.py")
    return python


def by(python: Path, script: str, *arguments: object) -> str:
    environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
    command = [str(python), "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def given(folder: Path, rows: np.ndarray) -> Path:
    np.save(folder / "rows.npy", rows)
    (folder / "texts.json").write_text(json.dumps(TEXTS))
    return folder


CHROMA = """
import json, sys
import chromadb, numpy as np
from chromadb.config import Settings
given, folder, space, step = sys.argv[1:]
rows, texts = np.load(given + "/rows.npy"), json.load(open(given + "/texts.json"))
client = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))
about = {"hnsw:space": space, "hnsw:batch_size": 10, "hnsw:sync_threshold": 25}
items = client.create_collection("items", metadata=about)
for at in range(0, len(texts), int(step)):
    to = min(len(texts), at + int(step))
    ids = [f"d{n}" for n in range(at, to)]
    items.add(ids=ids, embeddings=rows[at:to].tolist(), documents=texts[at:to])
items.delete(ids=["d3"])
items.update(ids=["d5"], embeddings=[rows[5].tolist()], documents=[texts[5]])
items.upsert(ids=["d7"], embeddings=[(-rows[7]).tolist()], documents=[texts[7]])
client.create_collection("bare").add(ids=["x"], embeddings=[[3.0, 4.0]])
"""


@pytest.mark.parametrize(("space", "step"), [("l2", 10), ("cosine", 60)])
def test_a_chroma_folder(tmp_path: Path, space: str, step: int) -> None:
    rows = rows_of(ONE)
    rows[40:] = rows_of(TWO)[40:]
    by(peer("chroma", "chromadb"), CHROMA, given(tmp_path, rows), tmp_path / "store", space, step)
    before = digests(tmp_path / "store")
    found = examine_store(tmp_path / "store", [ONE, TWO])
    assert digests(tmp_path / "store") == before
    bare, items = found.parts
    assert (found.kind, items.rows, items.vectors, items.dim) == ("chroma", COUNT - 1, COUNT - 1, 32)
    assert items.model is not None
    assert items.model.sampled == COUNT - 1
    assert {maker.model: maker.vectors for maker in items.model.models} == {"hash-32": 38, "hash-32-two": 20}
    assert items.model.unexplained == 1  # the one that was put in the wrong way round
    assert (bare.rows, bare.dim, bare.lengths) == (1, 2, (5.0, 5.0, 5.0))
    assert bare.model is None


def test_chromas_saved_index_is_read(tmp_path: Path) -> None:
    """Most vectors are only in the files of the index once it is saved: each must be that of its id."""
    rows = rows_of(ONE)
    by(peer("chroma", "chromadb"), CHROMA, given(tmp_path, rows), tmp_path / "store", "l2", 10)
    saved = [path.parent for path in (tmp_path / "store").glob("*/index_metadata.pickle")]
    if not saved:
        pytest.skip("this version of Chroma saves its index later")
    index = chroma._Saved.read(saved[0])
    held = {n: vector for n in range(COUNT) if (vector := index.vector(f"d{n}")) is not None}
    assert len(held) > 20
    for n, vector in held.items():
        assert abs(abs(float(vector @ rows[n])) - 1) < 1e-5


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    evil = tmp_path / "index_metadata.pickle"
    evil.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(InvalidInput, match=r"os\.system in a file of plain values"):
        chroma._labels(evil)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_not_chromas(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"not a database" * 100)
    with pytest.raises(InvalidInput, match="cannot be read as a Chroma store"):
        examine_store(tmp_path)


LANCE = """
import json, sys
import lancedb, numpy as np, pyarrow as pa
given, folder = sys.argv[1:]
rows, texts = np.load(given + "/rows.npy"), json.load(open(given + "/texts.json"))
database = lancedb.connect(folder)
database.create_table("items", [
    {"id": f"d{n}", "title": "t", "vector": rows[n].tolist(), "text": texts[n]} for n in range(len(texts))])
table = database.open_table("items")
table.delete("id = 'd3'")
database.create_table("two", [{"a": [1.0, 2.0], "b": [3.0, 4.0], "text": "x"}], schema=pa.schema(
    [("a", pa.list_(pa.float32(), 2)), ("b", pa.list_(pa.float32(), 2)), ("text", pa.string())]))
"""
READ = """
import json, sys
sys.path[:0] = [sys.argv[1]]
sys.path.append(sys.argv[2])
from gnomon.doctor.stores.examine import StoreSettings, examine_store
from gnomon.core.errors import InvalidInput
from gnomon.testing.toys import HashEncoder
try:
    found = examine_store(sys.argv[3], [HashEncoder(32)], StoreSettings(vector=sys.argv[4]))
    print(json.dumps(found.to_json()))
except InvalidInput as error:
    print(json.dumps({"came": error.message}))
"""


def test_a_lancedb_folder(tmp_path: Path) -> None:
    python = peer("lancedb", "lancedb")
    by(python, LANCE, given(tmp_path, rows_of(ONE)), tmp_path / "store")
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    before = digests(tmp_path / "store")

    def read(place: Path, vector: str = "") -> Any:
        # lancedb from the other environment, behind everything of this one.
        return json.loads(by(Path(sys.executable), READ, REPOSITORY / "src", packages, place, vector))

    if sys.version_info[:2] != tuple(map(int, packages.parent.name.removeprefix("python").split("."))):
        pytest.skip("that environment is of another version of Python")
    found = read(tmp_path / "store" / "items.lance")
    assert digests(tmp_path / "store") == before
    (part,) = found["parts"]
    assert (found["kind"], part["rows"], part["vectors"], part["dim"]) == (
        "lancedb",
        COUNT - 1,
        COUNT - 1,
        32,
    )
    assert part["model"]["summary"].startswith("hash-32 made them: median cosine 1.0000")
    assert "columns that may be its vector: a, b" in read(tmp_path / "store" / "two.lance")["message"]
    assert read(tmp_path / "store" / "two.lance", "b")["parts"][0]["lengths"] == [5.0, 5.0, 5.0]


Sql = Callable[..., list[tuple[Any, ...]]]


def _port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _programs() -> Path:
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/pgsql").glob("*/bin")]
    here = shutil.which("initdb")
    for folder in ([Path(here).parent] if here else []) + sorted(found, reverse=True):
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    pytest.skip("no PostgreSQL on this machine: initdb is not to be found")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a server of its own, of this machine's PostgreSQL; it will not run as root."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    programs, port = _programs(), _port()
    home = Path(tempfile.mkdtemp(prefix="gnomon-postgres-"))
    as_other: Sequence[str] = ()
    if os.geteuid() == 0:
        runuser = shutil.which("runuser")
        if runuser is None or subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        shutil.chown(home, "postgres")
        as_other = (runuser, "-u", "postgres", "--")
    data = home / "data"

    def call(*command: object) -> None:
        done = subprocess.run(
            [*as_other, *map(str, command)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=home,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    call(programs / "initdb", "-D", data, "-U", "gnomon", "-A", "trust", "-E", "UTF8", "-N")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {home} -F"
    call(programs / "pg_ctl", "-D", data, "-w", "-t", "60", "-l", home / "log", "-o", options, "start")
    try:
        yield f"postgresql://gnomon:secret@127.0.0.1:{port}/postgres"
    finally:
        call(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        time.sleep(0.1)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def sql(postgres: str) -> Iterator[Sql]:
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:

        def run(statement: str, rows: Sequence[Sequence[Any]] | None = None) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                if rows is None:
                    cursor.execute(statement)
                    return cursor.fetchall() if cursor.description else []
                cursor.executemany(statement, rows)
                return []

        yield run
        run("DROP SCHEMA public CASCADE")
        run("DROP SCHEMA IF EXISTS other CASCADE")
        run("CREATE SCHEMA public")


def written(sql: Sql, kind: str, table: str = "items", text: Callable[[np.ndarray], Any] = list) -> None:
    sql(f'CREATE TABLE {table} (id serial, "Page" text, body text, embedding {kind})')
    rows = rows_of(ONE)
    rows[:15] = rows_of(TWO)[:15]
    values = [["p", body, text(row.tolist())] for body, row in zip(TEXTS, rows, strict=True)]
    sql(f'INSERT INTO {table} ("Page", body, embedding) VALUES (%s, %s, %s)', values)


def test_arrays_of_numbers(postgres: str, sql: Sql) -> None:
    written(sql, "real[]")
    sql("INSERT INTO items (body, embedding) VALUES (NULL, ARRAY[1,2,NULL]), ('x', NULL), ('y', '{0,0}')")
    place = f"{postgres}?table=items&text=body"
    found = examine_store(place, [ONE, TWO])
    (part,) = found.parts
    assert (found.kind, part.name, part.rows, part.vectors, part.dim) == (
        "postgresql",
        "public.items",
        COUNT + 3,
        COUNT + 2,
        32,
    )
    assert "secret" not in json.dumps(found.to_json())
    assert part.model is not None
    assert {maker.model: maker.vectors for maker in part.model.models} == {"hash-32": 45, "hash-32-two": 15}
    counts = {each.check: each.count for each in part.findings}
    assert counts == {
        "wrong-length": 2,
        "not-finite": 1,
        "zero": 1,
        "no-vector": 1,
        "no-text": 1,
        "model": 15,
    }


def test_pgvectors_type(postgres: str, sql: Sql) -> None:
    """Where the extension is not installed, a column of texts as it writes vectors stands in for it."""
    there = sql("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")[0][0]
    if there:
        sql("CREATE EXTENSION vector")
    kind = "vector(32)" if there else "text"
    sql("CREATE SCHEMA other")
    written(sql, kind, "other.items", lambda row: str(row))
    found = examine_store(f"{postgres}?table=other.items&text=body&vector=embedding&id=id", [ONE, TWO])
    (part,) = found.parts
    assert (part.rows, part.dim, part.is_normalised) == (COUNT, 32, True)
    assert part.model is not None
    assert part.model.verdict == "mixed"
    assert part.notes[0].startswith("embedding: ")


def test_nothing_is_written(postgres: str, sql: Sql) -> None:
    written(sql, "real[]")
    before = sql("SELECT xmin, * FROM items ORDER BY id")
    sql("CREATE FUNCTION spoil() RETURNS text LANGUAGE sql AS 'DELETE FROM items; SELECT 1::text'")
    sql("CREATE VIEW trap AS SELECT id, embedding, spoil() AS text FROM items")
    with pytest.raises(InvalidInput, match="read-only transaction"):
        examine_store(f"{postgres}?table=trap")
    assert sql("SELECT xmin, * FROM items ORDER BY id") == before


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("", "names no table"),
        ("?table=none", "public.none does not exist"),
        ("?table=two", "columns that may be its text: Page, said"),
        ("?table=items&text=nobody", "no text column 'nobody'"),
        ("?table=items&text=body&vector=id", "in the column of vectors"),
        ("?table=plain", "no column of vectors"),
    ],
)
def test_tables_that_will_not_do(postgres: str, sql: Sql, asked: str, said: str) -> None:
    written(sql, "real[]")
    sql("CREATE TABLE plain (id int, text text)")
    sql('CREATE TABLE two ("Page" text, said text, embedding real[])')
    with pytest.raises(InvalidInput, match=said) as error:
        examine_store(postgres + asked, [ONE])
    assert "secret" not in str(error.value)
    assert error.value.hint


def test_a_database_that_does_not_answer() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(InvalidInput) as error:
        examine_store("postgresql://gnomon:secret@127.0.0.1:9/none?table=x", [ONE], StoreSettings())
    assert "secret" not in str(error.value)
    assert "PostgreSQL server that answers" in error.value.expected
