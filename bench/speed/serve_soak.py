"""A server under its highest rate for minutes, with writes and switches: errors, and whether its memory stays.

    python -m bench serve_soak [--minutes 10] [--callers 16] [--workers 1]

Callers without a pause (a closed loop: as much as the server takes) search a collection of 3,000 texts by MiniLM,
a fifth of them with a filter, a fifth asks for vectors instead. Every second five documents are added and the five
oldest of these removed; another process switches to a version of smaller chunks and back, in the warm-up, so that
both are loaded, and again at one and at two thirds. Memory is the resident set of all processes of the server: the
median of the ten seconds after the warm-up against that of the last ten. Server and callers share the machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

import gnomon
from bench.record import write
from bench.speed.encode import MODEL
from bench.speed.served_collection import documents, queries
from gnomon.text.chunk import ChunkSettings

DOCUMENTS, QUERIES, WRITTEN, KEPT = 3000, 500, 5, 200
WARM_UP_S, WINDOW_S, LONGEST_MINUTES = 60.0, 10, 60.0
SEARCH = "/v1/collections/kb/search"


def main() -> None:
    """Measure and write results/serve_soak.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--callers", type=int, default=16)
    arguments.add_argument("--workers", type=int, default=1)
    options = arguments.parse_args()
    seconds = 60 * min(options.minutes, LONGEST_MINUTES)
    built = collection(options.folder)
    with tempfile.TemporaryDirectory() as place:
        kb = Path(place) / "kb"
        shutil.copytree(built, kb)
        figures = soak(kb, seconds, callers=options.callers, workers=options.workers)
    write("serve_soak", figures)
    sys.exit(bool(figures["errors"]))


def collection(folder: Path) -> Path:
    """A collection of DOCUMENTS texts with two versions, made once below `folder`."""
    place = folder / f"soaked-{DOCUMENTS}"
    with gnomon.open(place, encoder=gnomon.load_encoder(MODEL)) as kb:
        if len(kb) < DOCUMENTS:
            kb.add(list(islice(documents(), DOCUMENTS)))
        if len(kb.versions.list()) == 1:
            kb.versions.add(kb.encoder, chunking=ChunkSettings(max_tokens=32, overlap=0))
            kb.versions.backfill("v2")
            kb.versions.mark_ready("v2")
    return place


@dataclass
class Load:
    """What callers measure together: milliseconds by kind of request, versions that answered, errors."""

    address: str
    ended: threading.Event = field(default_factory=threading.Event)
    times: list[tuple[str, float]] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def call(self, seed: int, texts: list[str]) -> None:
        """One caller: requests without a pause until the end."""
        random, connection = np.random.default_rng(seed), self.connected()
        while not self.ended.is_set():
            kind = str(random.choice(["search", "filtered", "vectors"], p=[0.6, 0.2, 0.2]))
            text = texts[int(random.integers(len(texts)))]
            if kind == "vectors":
                self.post(connection, "/v1/embeddings", {"input": text, "encoding_format": "base64"}, kind=kind)
            else:
                where = {"where": f"letter = '{'abcdefgh'[int(random.integers(8))]}'"} if kind == "filtered" else {}
                self.post(connection, SEARCH, {"query": text, **where}, kind=kind)

    def put(self, texts: list[str]) -> None:
        """One writer: WRITTEN documents a second come, and the oldest of them go."""
        connection, number = self.connected(), 0
        while not self.ended.wait(1):
            new = [{"id": f"soak/{number + at}", "text": texts[(number + at) % len(texts)]} for at in range(WRITTEN)]
            self.post(connection, "/v1/collections/kb/documents", new, kind="add")
            number += WRITTEN
            if number > KEPT:
                gone = {"ids": [f"soak/{number - KEPT - at}" for at in range(1, WRITTEN + 1)]}
                self.post(connection, "/v1/collections/kb/documents/delete", gone, kind="delete")

    def connected(self) -> http.client.HTTPConnection:
        """A connection to the server, opened by its first request."""
        return http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=120)

    def post(self, connection: http.client.HTTPConnection, path: str, body: Any, *, kind: str) -> None:
        """One request, measured; anything but 200 is an error."""
        started = time.perf_counter()
        try:
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.errors.append(f"{kind}: {error!r}")
            connection.close()
            return
        self.times.append((kind, 1000 * (time.perf_counter() - started)))
        if answer.status != 200:
            self.errors.append(f"{kind}: {answer.status} {content[:200]!r}")
        elif path == SEARCH:
            self.versions[answer.headers["x-gnomon-version"]] += 1


def soak(kb: Path, seconds: float, *, callers: int, workers: int) -> dict[str, Any]:
    """Start the server, warm it up, load it for so many seconds, stop it."""
    command = [sys.executable, "-m", "gnomon", "serve", str(kb), "--port", "0", "--json", "--no-request-log"]
    texts = queries(QUERIES)
    with subprocess.Popen([*command, "--workers", str(workers)], stdout=subprocess.PIPE, text=True) as server:
        load = Load(json.loads(server.stdout.readline() if server.stdout else "")["page"].rstrip("/"))
        threads = [threading.Thread(target=load.call, args=(seed, texts)) for seed in range(callers)]
        threads.append(threading.Thread(target=load.put, args=(texts,)))
        try:
            wait_until_ready(load)
            for thread in threads:
                thread.start()
            figures = measured(kb, load, pid=server.pid, seconds=seconds)
        finally:
            load.ended.set()
            for thread in threads:
                thread.join(120)
            server.terminate()
        figures |= {"exit_code": server.wait(60)}
    return {"callers": callers, "workers": workers, **figures, "errors": len(load.errors), "first": load.errors[:5]}


def wait_until_ready(load: Load) -> None:
    """Wait at most two minutes until the server is ready."""
    for _ in range(240):
        connection = load.connected()
        try:
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.5)
    raise TimeoutError("the server is not ready after two minutes")


def measured(kb: Path, load: Load, *, pid: int, seconds: float) -> dict[str, Any]:
    """The figures of the warm-up and of the soak; the switches are made here."""
    switch(kb, "v2", WARM_UP_S / 2)
    switch(kb, "v1", WARM_UP_S / 2)
    load.times.clear()
    load.versions.clear()
    memory: list[int] = []
    sampling = threading.Thread(target=sample, args=(pid, memory, load.ended))
    began, cpu = time.perf_counter(), cpu_s(pid)
    sampling.start()
    for due, version in ((seconds / 3, "v2"), (2 * seconds / 3, "v1")):
        time.sleep(max(0.0, began + due - time.perf_counter()))
        switch(kb, version, 0)
    time.sleep(max(0.0, began + seconds - time.perf_counter()))
    took, spent = time.perf_counter() - began, cpu_s(pid) - cpu
    first, last = statistics.median(memory[:WINDOW_S]), statistics.median(memory[-WINDOW_S:])
    return {
        "seconds": round(took, 1),
        "requests_per_s": round(len(load.times) / took, 1),
        "server_cpu_s": round(spent, 1),
        "milliseconds": percentiles(load.times),
        "answered_by": dict(load.versions),
        "memory_mib": {
            "after warm-up": round(first / 2**20, 1),
            "at the end": round(last / 2**20, 1),
            "growth": round(last / first - 1, 4),
            "every 30 s": [round(value / 2**20, 1) for value in memory[::30]],
        },
    }


def sample(pid: int, memory: list[int], ended: threading.Event) -> None:
    """The server's memory once a second, until the end."""
    while not ended.wait(1):
        memory.append(resident(pid))


def switch(kb: Path, version: str, then_s: float) -> None:
    """Switch to a version by the command, as an operator does, and wait."""
    command = [sys.executable, "-m", "gnomon", "switch", str(kb), version]
    subprocess.run(command, check=True, capture_output=True)
    time.sleep(then_s)


def percentiles(times: list[tuple[str, float]]) -> dict[str, dict[str, float]]:
    """Count, p50 and p99 of each kind of request."""
    by_kind: dict[str, list[float]] = {}
    for kind, value in list(times):
        by_kind.setdefault(kind, []).append(value)
    return {
        kind: {
            "requests": len(values),
            "p50": round(float(np.percentile(values, 50)), 1),
            "p99": round(float(np.percentile(values, 99)), 1),
        }
        for kind, values in sorted(by_kind.items())
    }


def processes(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def resident(pid: int) -> int:
    """Bytes of the resident sets of a process and its children."""
    pages = (int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in processes(pid))
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """Processor seconds of a process and its children so far."""
    rows = (Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split() for each in processes(pid))
    return sum(int(row[11]) + int(row[12]) for row in rows) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
