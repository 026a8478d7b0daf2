"""The loop that every peer's process runs: jobs as JSON lines in, answers as JSON lines out.

Runs in the peer's own environment: the standard library only, and nothing of gnomon.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

Hit = tuple[str, float]


class Peer(Protocol):
    """A library set up with the model; times are taken around these two calls."""

    def index(self, documents: Sequence[dict[str, Any]], folder: Path) -> None:
        """Texts in memory to an index that is saved in the folder."""

    def search(self, query: str, k: int, mode: str) -> list[Hit]:
        """Text in, document ids with scores out, best first; a document may come more than once."""


def whole(row: dict[str, Any]) -> str:
    """Title and text of a document, as one text."""
    return f"{row['title']} {row['text']}".strip()


def cpu_seconds() -> float:
    """CPU seconds of this process, its threads and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def peak_mib() -> float:
    """The most memory that was resident at once (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Wall and CPU seconds of a piece of work."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": cpu_seconds() - cpu}


def searched(peer: Peer, job: dict[str, Any]) -> dict[str, Any]:
    """Every query by itself, each round after the other: hits of the last round, milliseconds of all."""
    for query in job["queries"][:20]:
        peer.search(query, job["k"], job["mode"])
    taken: list[float] = []
    hits: list[list[Hit]] = []
    cpu = cpu_seconds()
    for _ in range(job["rounds"]):
        hits = []
        for query in job["queries"]:
            started = time.perf_counter()
            found = peer.search(query, job["k"], job["mode"])
            taken.append((time.perf_counter() - started) * 1000)
            hits.append([(str(name), float(score)) for name, score in found])
    return {"hits": hits, "ms": taken, "cpu_ms": (cpu_seconds() - cpu) * 1000 / len(taken)}


def serve(make: Callable[[Path], Peer], packages: Sequence[str]) -> None:
    """Make the peer with the model in argv[1], on one core where argv[2] says so, then do the jobs."""
    if sys.argv[2] == "one":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    # What the libraries print goes to the log, not between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(values: dict[str, Any]) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    made: list[Peer] = []
    start = timed(lambda: made.append(make(Path(sys.argv[1]))))
    answer({"start": start, "versions": {name: importlib.metadata.version(name) for name in packages}})
    for line in sys.stdin:
        job = json.loads(line)
        if job["job"] == "index":
            documents = json.loads(Path(job["documents"]).read_text())
            spent = timed(partial(made[0].index, documents, Path(job["folder"])))
            answer(spent | {"peak_mib": peak_mib()})
        else:
            answer(searched(made[0], job) | {"peak_mib": peak_mib()})
