"""Catalogs in PostgreSQL as a schema of gnomon made them, kept as SQL text, and put into a server for a test.

    python -m support.postgres_dumps        # in tests/: keeps today's, as schema-N.sql.gz

Run it before a release that has a new schema. What is kept is never changed.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import uuid
from pathlib import Path

import gnomon
from gnomon.collection.catalog.migrations import MIGRATIONS
from gnomon.testing.toys import HashEncoder
from support.postgres import PostgresServer, postgres_server

DUMPS = Path(__file__).parents[1] / "fixtures" / "postgres"
_NAME = "kb_of_a_dump"
"""The schema's name in the dumps."""


def restored(server: PostgresServer, dump: Path) -> str:
    """The address of a collection that is made of a dump."""
    name = f"kb_{uuid.uuid4().hex[:12]}"
    with gzip.open(dump, "rt", encoding="utf-8") as file:
        server.execute(file.read().replace(_NAME, name))
    return server.url(name)


def dumped(server: PostgresServer, name: str) -> str:
    """The schema of a collection with all its rows, as SQL that any session can execute."""
    path = server.folder / f"{name}.sql"
    at = ("-h", str(server.folder), "-p", str(server.port), "-U", "gnomon")
    server.run("pg_dump", *at, "--schema", name, "--no-owner", "--inserts", "-f", str(path), "gnomon")
    lines = path.read_text(encoding="utf-8").splitlines()
    own = [line for line in lines if line and not line.startswith(("--", "\\", "SET ", "SELECT pg_catalog.set_config"))]
    return "\n".join(own) + "\n"


def keep() -> Path:
    """Keep a small collection as today's schema has it."""
    with postgres_server() as server, tempfile.TemporaryDirectory() as home:
        os.environ["GNOMON_HOME"] = home
        with gnomon.open(server.url(_NAME), encoder=HashEncoder(64, max_tokens=48)) as kb:
            kb.add({"id": "a", "text": "Green tea is brewed at seventy degrees.", "metadata": {"year": 2020}})
            kb.add({"id": "b", "text": "Black tea takes water.", "metadata": {"year": 2021, "tags": ["x", "y"]}})
        path = DUMPS / f"schema-{len(MIGRATIONS)}.sql.gz"
        DUMPS.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(dumped(server, _NAME).encode(), mtime=0))
    return path


if __name__ == "__main__":
    print(keep())
