"""`gnomon serve` as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


@contextmanager
def running(kb: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`gnomon serve` in a process of its own, and its address."""
    command = [sys.executable, "-m", "gnomon", "serve", str(kb), "--port", "0", "--json", *options]
    # Its log is no pipe: one that nobody reads stops the server.
    with (
        log_of(kb).open("w") as written,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=written, text=True) as process,
    ):
        try:
            address = json.loads(process.stdout.readline())["page"].rstrip("/")
            until(lambda: is_answering(address))
            yield process, address
        finally:
            if process.poll() is None:
                process.terminate()


def log_of(kb: Path) -> Path:
    """What the latest server of a collection wrote to stderr."""
    return kb.parent / "server.log"


def is_answering(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def until(check: Callable[[], bool], seconds: float = 180.0) -> None:
    ends = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.05)
