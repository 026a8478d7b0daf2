"""The commands on a collection in PostgreSQL: no password is printed, and each address in a hint works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.postgres import PASSWORD, PostgresServer
from support.static_models import write_static_model

pytestmark = pytest.mark.slow


def gnomon(*arguments: str, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gnomon", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )
    printed = done.stdout + done.stderr
    assert done.returncode == code, printed
    assert PASSWORD not in printed
    assert "se%3Acr" not in printed
    return done.stdout if code == 0 else printed


def test_a_collection_is_made_searched_and_examined(postgres: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for at in range(5):
        (tmp_path / f"docs/{at}.md").write_text(f"# Note {at}\n\nThe river number {at} is long.\n")
    url, model = postgres.url(tcp=True), str(write_static_model(tmp_path / "model"))
    gnomon("index", str(tmp_path / "docs"), "--into", url, "--model", model)
    found = json.loads(gnomon("search", url, "river number 3", "-k", "1", "--json"))
    assert found["hits"][0]["document"].endswith("3.md")
    status = json.loads(gnomon("status", url, "--json"))
    assert status["documents"] == 5
    assert status["path"] == url.replace(f":{url.split(':')[2].split('@')[0]}@", "@")
    gnomon("versions", url)
    gnomon("doctor", url)
    gnomon("doctor", status["path"], PGPASSWORD=PASSWORD)
    assert "No migration of postgresql://gnomon@" in gnomon("migrate", url, "--status")
    gnomon("remove", url, "docs/1.md")
    assert json.loads(gnomon("status", url, "--json"))["documents"] == 4


def test_a_migration_in_the_background(postgres: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for at in range(5):
        (tmp_path / f"docs/{at}.md").write_text(f"# Note {at}\n\nThe river number {at} is long.\n")
    url, model = postgres.url(tcp=True), str(write_static_model(tmp_path / "model"))
    gnomon("index", str(tmp_path / "docs"), "--into", url, "--model", model)
    done = json.loads(gnomon("migrate", url, "--chunk-tokens", "64", "--without-proof", "--json"))
    assert done["outcome"] == "switched"
    assert PASSWORD not in "".join(path.read_text(errors="replace") for path in (tmp_path / "home").rglob("*.json"))
    assert json.loads(gnomon("rollback", url, "--json"))["to"] == "v1"


def test_a_search_is_measured_and_compared(postgres: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "data/qrels").mkdir(parents=True)
    queries, judgments = "", "query-id\tcorpus-id\tscore\n"
    for at in range(12):
        (tmp_path / f"docs/{at}.md").write_text(f"# Note {at}\n\nThe river number {at} is long.\n")
        queries += json.dumps({"_id": f"q{at}", "text": f"river number {at}"}) + "\n"
        judgments += f"q{at}\tdocs/{at}.md\t1\n"
    (tmp_path / "data/queries.jsonl").write_text(queries)
    (tmp_path / "data/qrels/test.tsv").write_text(judgments)
    url, model = postgres.url(tcp=True), str(write_static_model(tmp_path / "model"))
    gnomon("index", str(tmp_path / "docs"), "--into", url, "--model", model)
    data = str(tmp_path / "data")
    measured = json.loads(gnomon("eval", "queries", f"{url}@v1:lexical", "--data", data, "--json"))
    assert measured["target"].endswith("@v1:lexical")
    compared = json.loads(gnomon("compare", f"{url}:lexical", f"{url}:hybrid#int8", "--data", data, "--json"))
    assert compared["candidate"]["run"]["vector_type"] == "int8"
    assert "there is no mode" in gnomon("eval", "queries", f"{url}:other", "--data", data, code=2)


@pytest.mark.parametrize("given", ["postgres://u:se%3Acr@h/db/kb", "postgresql://u:se%3Acr@h/db"])
def test_a_wrong_address_is_a_usage_error(given: str) -> None:
    assert "postgresql://" in gnomon("search", given, "x", code=2)
