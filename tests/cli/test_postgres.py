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


@pytest.mark.parametrize("given", ["postgres://u:se%3Acr@h/db/kb", "postgresql://u:se%3Acr@h/db"])
def test_a_wrong_address_is_a_usage_error(given: str) -> None:
    assert "postgresql://" in gnomon("search", given, "x", code=2)
