"""Hybrid searches of 100,000 chunks over HTTP: one caller's times, and the rate of many, beside the library's own.

    python -m bench serve_search [--seconds 3] [--rounds 5]

The server is `gnomon serve` in a process of its own; the callers are keep-alive connections of this one, which shares
the processor with it. Each caller asks as soon as it has its answer; every query is another one. A shared machine's
speed changes by the minute, so all is measured in rounds, and of each figure the quickest round, the least disturbed,
is shown beside the median of all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np

import gnomon
from bench import pages
from bench.record import write
from bench.speed.encode import MODEL
from bench.speed.served_collection import CHUNKS, REAL, built, queries

CALLERS, WARM_UP = (1, 2, 4, 8, 16, 32), 100
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def main() -> None:
    """Build where there is none, measure, write results/serve_search.json and docs/serving-speed.md."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--seconds", type=float, default=3.0, help="how long each number of callers is measured")
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    folder, asked = built(given.folder), queries(4000)
    rounds: list[dict[str, dict[str, float]]] = []
    with served(folder) as (address, process), gnomon.open(folder, create=False) as kb:
        asyncio.run(callers(address, asked, count=4, until=WARM_UP))
        library(kb, asked, 1.0)
        for _ in range(given.rounds):
            found = {"library": library(kb, asked, given.seconds)}
            for count in CALLERS:
                found[str(count)] = rate(address, process, asked, count=count, seconds=given.seconds)
            rounds.append(found)
            print(found, flush=True)
        body = asyncio.run(one_answer(address, asked[0]))
    figures = {
        "model": MODEL,
        "chunks": CHUNKS,
        "chunks_with_the_models_own_vectors": REAL,
        "query_words_mean": round(float(np.mean([len(text.split()) for text in asked])), 1),
        "answer_bytes": len(body),
        "rounds": given.rounds,
        "seconds_each": given.seconds,
        "quickest": {name: max((one[name] for one in rounds), key=lambda one: one["per_second"]) for name in rounds[0]},
        "median_per_second": {name: round(median(one[name]["per_second"] for one in rounds), 1) for name in rounds[0]},
    }
    write("serve_search", figures)
    pages.write("serving-speed")


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """A server's address and process id, on a free port."""
    command = [sys.executable, "-m", "gnomon", "serve", f"kb={folder}", "--port", "0", "--json", "--no-request-log"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise SystemExit("the server says nothing")
            yield json.loads(process.stdout.readline())["page"], process.pid
        finally:
            process.terminate()


def rate(address: str, process: int, asked: Sequence[str], *, count: int, seconds: float) -> dict[str, float]:
    """What so many callers get in that time: requests a second, milliseconds, and the server's CPU a request."""
    before, started = cpu_seconds(process), time.perf_counter()
    taken = asyncio.run(callers(address, asked, count=count, until=seconds, timed=True))
    wall, cpu = time.perf_counter() - started, cpu_seconds(process) - before
    return {"requests": len(taken), "per_second": round(len(taken) / wall, 1), **quantiles(taken),
            "cpu_ms": round(1000 * cpu / len(taken), 2)}  # fmt: skip


def quantiles(taken: Sequence[float]) -> dict[str, float]:
    """Of seconds, in milliseconds."""
    return {f"p{q}": round(float(np.percentile(taken, q)) * 1000, 2) for q in (50, 90, 99)}


def cpu_seconds(process: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def callers(address: str, asked: Sequence[str], *, count: int, until: float, timed: bool = False) -> list[float]:
    """Seconds of each request, of so many connections, until that many requests, or with `timed` seconds."""
    taken: list[float] = []
    end = time.perf_counter() + until

    async def caller(number: int) -> None:
        caller = await Connection.to(address)
        at = number * 97
        while time.perf_counter() < end if timed else len(taken) < until:
            started = time.perf_counter()
            await caller.search(asked[at % len(asked)])
            taken.append(time.perf_counter() - started)
            at += 1
        caller.close()

    await asyncio.gather(*(caller(number) for number in range(count)))
    return taken


async def one_answer(address: str, query: str) -> bytes:
    """An answer's body."""
    connection = await Connection.to(address)
    found = await connection.search(query)
    connection.close()
    return found


class Connection:
    """A keep-alive connection that sends searches as bytes: the callers must cost less than the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def to(cls, address: str) -> Connection:
        """One to a server."""
        parts = urlsplit(address)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port), parts.netloc)

    async def search(self, query: str) -> bytes:
        """The body of the answer, which must be a 200."""
        body = json.dumps({"query": query}).encode()
        head = f"POST /v1/collections/kb/search HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        found = await self._reader.readexactly(int(headers["content-length"]))
        if " 200 " not in status:
            raise SystemExit(f"{status}: {found.decode()}")
        return found

    def close(self) -> None:
        """End it."""
        self._writer.close()


def library(kb: gnomon.Collection, asked: Sequence[str], seconds: float) -> dict[str, float]:
    """`Collection.search` of one thread in this process, without a server."""
    taken: list[float] = []
    end, cpu = time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end:
        started = time.perf_counter()
        kb.search(asked[len(taken) % len(asked)])
        taken.append(time.perf_counter() - started)
    cpu = time.process_time() - cpu
    return {"requests": len(taken), "per_second": round(len(taken) / seconds, 1), **quantiles(taken),
            "cpu_ms": round(1000 * cpu / len(taken), 2)}  # fmt: skip


if __name__ == "__main__":
    main()
