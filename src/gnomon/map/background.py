"""UMAP in a process of low priority, so that searches come first: numba keeps the interpreter's lock while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gnomon.collection.address import PostgresAddress
from gnomon.collection.catalog.connection import Catalog

_LOG = "map-log.txt"
_STOP_S = 5.0


@dataclass(frozen=True)
class UmapProcess:
    """The process, and the file with its error messages."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def failure(self) -> str:
        """The last line it wrote, once it has ended with an error; else empty."""
        code = self.process.poll()
        if not code:
            return ""
        with suppress(OSError):
            lines = self.log.read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1][:300]
        return f"its process ended with the code {code}"

    def stop(self) -> None:
        """End it, and wait for that."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_umap(catalog: Catalog, version: str) -> UmapProcess:
    """Start fitting UMAP of a version of a collection, and return at once."""
    folder, place = catalog.folder, catalog.place
    secret = place.environment() if isinstance(place, PostgresAddress) else {}
    log = folder / "derived" / _LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **secret, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with log.open("wb") as file:
        command = [sys.executable, "-m", "gnomon.map.worker", str(place), version]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, env=environment
        )
    return UmapProcess(process, log)
