"""/v1/embeddings under load: batching on, batching off, and infinity, by texts a second of processor time.

    python -m bench serve_embeddings [--seconds 8] [--rounds 3] [--infinity .venv-peers/infinity/bin/infinity_emb]

64 callers, each of which sends one text and, as soon as it has its vector, the next. All servers have the same model
folder and run one after the other in each round; those that wait are stopped meanwhile. What counts is the processor
time of a server with all its children: the load is made on the same machine. infinity gets an environment of its own
where none is named.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil

from bench import pages
from bench.data import beir
from bench.peers.environments import Peer, environment
from bench.record import spread, write
from bench.speed.encode import MODEL
from gnomon.encode.hub.locate import locate

CALLERS = 64
WARM_UP_S = 2.0
PATIENCE_S = 400
INFINITY = Peer(
    "infinity",
    "infinity",
    # What its 0.0.78 runs with: newer releases of these have lost what it imports.
    (
        "infinity-emb[server,torch,optimum]==0.0.78",
        "torch==2.13.0",
        *("transformers<4.49", "optimum<2", "numpy<2", "pyarrow<22", "datasets<4", "pandas<3", "scipy<1.16"),
        *("scikit-learn<1.7", "fastapi<0.120", "starlette<0.50"),
    ),
    ("dense",),
    "fp32",
)


@dataclass
class Server:
    """A server process on loopback, and what was measured of it."""

    name: str
    port: int
    path: str
    process: psutil.Process
    runs: list[dict[str, float]] = field(default_factory=list)

    def cpu_s(self) -> float:
        """Processor seconds of the process and all its children so far."""
        times = [each.cpu_times() for each in (self.process, *self.process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    def signal(self, which: signal.Signals) -> None:
        """To the process and all its children."""
        for each in (self.process, *self.process.children(recursive=True)):
            each.send_signal(which)


def main() -> None:
    """Measure and write results/serve_embeddings.json and its page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=8.0, help="how long each server is measured in a round")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--infinity", type=Path, help="its command, where it is installed already")
    given = arguments.parse_args()
    folder = locate(MODEL).folder
    texts = list(beir("scifact", "test").queries.values())
    infinity = given.infinity or environment(INFINITY).with_name("infinity_emb")
    with ExitStack() as running:
        servers = [running.enter_context(started) for started in everyone(folder, infinity)]
        vectors = [ask(server, texts[:16]) for server in servers]
        least = min(float(np.sum(vectors[0] * other, axis=1).min()) for other in vectors)
        if least < 0.99:
            raise SystemExit(f"the servers disagree: cosine {least:.3f}")
        for _ in range(given.rounds):
            for server in servers:
                server.signal(signal.SIGCONT)
                asyncio.run(load(server, texts, seconds=WARM_UP_S))
                server.runs.append(asyncio.run(load(server, texts, seconds=given.seconds)))
                server.signal(signal.SIGSTOP)
                print(server.name, server.runs[-1], flush=True)
        for server in servers:
            server.signal(signal.SIGCONT)
        forms = answer_forms(servers[0], texts)
    rows = {server.name: summary(server, servers) for server in servers}
    lengths = [len(text.split()) for text in texts]
    figures = {
        "callers": CALLERS,
        "words_a_text": round(statistics.mean(lengths), 1),
        "least_cosine": round(least, 4),
        "servers": rows,
        "answer_forms": forms,
        "serialising_32_vectors_ms": serialising(),
    }
    write("serve_embeddings", figures)
    pages.write("serving-figures")


def everyone(folder: Path, infinity: Path) -> Iterator[Any]:
    """Each server, to be started."""
    settings = "from gnomon.serve.server import serve\nfrom gnomon.serve.settings import *\n"
    for name, batching in (("batching on", True), ("batching off", False)):
        port = free_port()
        code = (
            f"{settings}serve(ServeSettings(models=({str(folder)!r},), port={port}, request_log=False, "
            f"batching=BatchingSettings(enabled={batching})))"
        )
        yield started(name, [sys.executable, "-c", code], port=port, path="/v1/embeddings")
    for name, options in (("infinity", ()), ("infinity, no BetterTransformer", ("--no-bettertransformer",))):
        port = free_port()
        command = [str(infinity), "v2", "--model-id", str(folder), "--engine", "torch", "--device", "cpu", *options]
        where = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        yield started(name, [*command, *where], port=port, path="/embeddings")


@contextmanager
def started(name: str, command: Sequence[str], *, port: int, path: str) -> Iterator[Server]:
    """The server, answering; ended with its children."""
    offline = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
    with subprocess.Popen(command, env=os.environ | offline, stdout=subprocess.DEVNULL) as process:
        server = Server(name, port, path, psutil.Process(process.pid))
        try:
            until = time.monotonic() + PATIENCE_S
            while not answers(server):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"{name} did not start: {' '.join(command)}")
                time.sleep(0.5)
            yield server
        finally:
            children = server.process.children(recursive=True)
            server.signal(signal.SIGCONT)
            process.terminate()
            psutil.wait_procs(children, timeout=10)
            for child in children:
                if child.is_running():
                    child.kill()


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def answers(server: Server) -> bool:
    """Whether it takes requests."""
    try:
        return len(ask(server, ["a"])) == 1
    except OSError:
        return False


def ask(server: Server, texts: Sequence[str]) -> Any:
    """Normalised vectors [texts, dim]."""
    models = urllib.request.urlopen(f"http://127.0.0.1:{server.port}{server.path.replace('embeddings', 'models')}")
    model = json.load(models)["data"][0]["id"]
    body = json.dumps({"model": model, "input": list(texts)}).encode()
    url = f"http://127.0.0.1:{server.port}{server.path}"
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    rows = json.load(urllib.request.urlopen(request, timeout=60))["data"]
    vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


async def load(server: Server, texts: Sequence[str], *, seconds: float) -> dict[str, float]:
    """Texts answered, processor seconds they took, and quantiles of their times, of CALLERS callers."""
    name = ask_model(server)
    requests = [http_request(server, {"model": name, "input": text}) for text in texts]
    end = time.perf_counter() + seconds
    taken: list[float] = []
    before, began = server.cpu_s(), time.perf_counter()
    await asyncio.gather(
        *(caller(server, requests[at::CALLERS] or requests, until=end, taken=taken) for at in range(CALLERS))
    )
    cpu, wall = server.cpu_s() - before, time.perf_counter() - began
    ms = np.array(taken) * 1000
    return {
        "texts": len(taken),
        "per_cpu_second": round(len(taken) / cpu, 1),
        "per_second": round(len(taken) / wall, 1),
        "p50_ms": round(float(np.percentile(ms, 50)), 1),
        "p99_ms": round(float(np.percentile(ms, 99)), 1),
    }


async def caller(server: Server, requests: Sequence[bytes], *, until: float, taken: list[float]) -> None:
    """One connection, one request after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    number = 0
    while time.perf_counter() < until:
        began = time.perf_counter()
        await exchange(reader, writer, requests[number % len(requests)])
        taken.append(time.perf_counter() - began)
        number += 1
    writer.close()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """The body of the answer. Raises SystemExit for any status but 200."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(head.decode())
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.partition(b":")[2]))


def http_request(server: Server, body: Any) -> bytes:
    """A POST, as bytes."""
    content = json.dumps(body).encode()
    head = f"POST {server.path} HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def ask_model(server: Server) -> str:
    """The name under which it serves its model."""
    url = f"http://127.0.0.1:{server.port}{server.path.replace('embeddings', 'models')}"
    return str(json.load(urllib.request.urlopen(url, timeout=60))["data"][0]["id"])


def summary(server: Server, servers: Sequence[Server]) -> dict[str, Any]:
    """The rounds of a server; its processor time against the first one's, round by round."""
    keys = ("per_cpu_second", "per_second", "p50_ms", "p99_ms")
    found: dict[str, Any] = {key: spread([run[key] for run in server.runs], 1) for key in keys}
    first = servers[0].runs
    ratios = [one["per_cpu_second"] / run["per_cpu_second"] for one, run in zip(first, server.runs, strict=True)]
    found["batching_on_is_times_as_fast"] = spread(ratios, 2)
    return found


def answer_forms(server: Server, texts: Sequence[str]) -> dict[str, Any]:
    """Processor milliseconds, the model's included, and size of an answer of 32 vectors as numbers and as base64."""
    found: dict[str, Any] = {}
    for form in ("float", "base64") * 3:
        body = {"model": ask_model(server), "input": texts[:32], "encoding_format": form}
        cpu, size = asyncio.run(repeated(server, http_request(server, body), count=20))
        found.setdefault(form, {"kib": round(size / 1024, 1), "ms": []})["ms"].append(round(cpu / 20 * 1000, 2))
    return {form: {"kib": each["kib"], "cpu_ms": spread(each["ms"], 2)} for form, each in found.items()}


async def repeated(server: Server, request: bytes, *, count: int) -> tuple[float, int]:
    """Processor seconds of so many equal requests, and the bytes of an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    before = server.cpu_s()
    for _ in range(count):
        answer = await exchange(reader, writer, request)
    writer.close()
    return server.cpu_s() - before, len(answer)


def serialising() -> dict[str, float]:
    """Milliseconds to write 32 vectors of 384 dimensions in each way: the median of 50."""
    vectors = np.random.default_rng(0).standard_normal((32, 384)).astype(np.float32)
    ways: dict[str, Callable[[], object]] = {
        "base64": lambda: orjson.dumps([base64.b64encode(row).decode() for row in vectors]),
        "orjson of numpy arrays": lambda: orjson.dumps(list(vectors), option=orjson.OPT_SERIALIZE_NUMPY),
        "orjson of lists": lambda: orjson.dumps(vectors.tolist()),
        "json of lists": lambda: json.dumps(vectors.tolist()),
    }
    return {name: round(statistics.median(timed(way) for _ in range(50)), 3) for name, way in ways.items()}


def timed(function: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    function()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
