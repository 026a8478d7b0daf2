"""gnomon beside the libraries that a user could pick instead: same corpus, model and machine, in turn.

    python -m bench peers [--set scifact] [--only faiss,chroma] [--one-core] [--runs 1]

Every peer gets an environment of its own in .venv-peers, and a fresh process a run. Nothing goes to the
network once the environments are made: telemetry is off, and the proxies of the processes lead nowhere.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from bench.data import Beir, beir, mean_ndcg
from bench.peers.environments import PEERS, ROOT, Peer, environment, weight
from bench.record import RESULTS, write

MODEL = "all-MiniLM-L6-v2"
OFFLINE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"),
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "ANONYMIZED_TELEMETRY": "False",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
}


class Failed(Exception):
    """A peer that could not be run here, with the reason."""


@dataclass(frozen=True)
class Running:
    """A peer's process that answers jobs, killed when a job takes too long."""

    process: subprocess.Popen[str]
    log: Path
    limit_s: float

    def ask(self, job: dict[str, Any] | None) -> dict[str, Any]:
        """The answer to a job; to None, what the process says of its start."""
        timer = threading.Timer(self.limit_s, self.process.kill)
        timer.start()
        try:
            if job is not None:
                cast(IO[str], self.process.stdin).write(json.dumps(job) + "\n")
                cast(IO[str], self.process.stdin).flush()
            line = cast(IO[str], self.process.stdout).readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            last = [text for text in self.log.read_text(errors="replace").splitlines() if text.strip()]
            raise Failed(f"its process ended: {last[-1][:300] if last else 'no word, or past the time limit'}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(frozen=True)
class Task:
    """What every peer is given."""

    data: Beir
    documents: Path
    model: Path
    limit_s: float


def once(peer: Peer, python: Path, task: Task, *, cores: str) -> dict[str, Any]:
    """One fresh process: start, index, search by each mode."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, log = Path(scratch) / "index", Path(scratch) / "log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [str(python), "-m", f"bench.peers.{peer.name}_peer", str(task.model), cores],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=scratch,
                env={**os.environ, **OFFLINE, "PYTHONPATH": str(ROOT)},
            )
        running = Running(process, log, task.limit_s)
        try:
            start = running.ask(None)
            job = {"job": "index", "documents": str(task.documents), "folder": str(folder)}
            index = running.ask(job)
            # Blocks, not lengths: a log set aside in advance is long but takes no room.
            disk = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
            modes = {mode: search(running, task.data, mode) for mode in peer.modes}
        finally:
            process.kill()
            process.wait()
    figures = {
        "start_s": round(start["start"]["wall_s"], 2),
        "index_wall_s": round(index["wall_s"], 2),
        "index_cpu_s": round(index["cpu_s"], 2),
        "peak_rss_mib": round(max(index["peak_mib"], *(mode.pop("peak_mib") for mode in modes.values()))),
        "disk_mib": round(disk / 2**20, 2),
    }
    return {"versions": start["versions"], "figures": figures, "modes": modes}


def search(running: Running, data: Beir, mode: str) -> dict[str, float]:
    """Latency and CPU of a query, and nDCG@10 of what came."""
    job = {"job": "search", "mode": mode, "queries": list(data.queries.values()), "k": 10, "rounds": 1}
    answer = running.ask(job)
    run: dict[str, dict[str, float]] = {}
    for query, hits in zip(data.queries, answer["hits"], strict=True):
        # By rank, so that a peer whose scores are distances or ties is judged by the order it gave.
        run[query] = {}
        for rank, (document, _) in enumerate(hits):
            run[query].setdefault(document, 1.0 / (1 + rank))
    return {
        "p50_ms": round(float(np.median(answer["ms"])), 2),
        "p99_ms": round(float(np.quantile(answer["ms"], 0.99)), 2),
        "cpu_ms": round(answer["cpu_ms"], 2),
        "ndcg_at_10": round(mean_ndcg(data.relevant, run), 4),
        "peak_mib": answer["peak_mib"],
    }


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Each figure's median over the runs."""
    return {name: round(statistics.median(run[name] for run in runs), 4) for name in runs[0]}


def measured(peer: Peer, task: Task, given: argparse.Namespace) -> dict[str, Any]:
    """All figures of a peer, or why there are none."""
    try:
        python = environment(peer)
        found: dict[str, Any] = {"title": peer.title, "install": weight(peer)}
        found["when"] = datetime.now(UTC).isoformat(timespec="seconds")
        for cores in ("all", "one") if given.one_core else ("all",):
            load = os.getloadavg()[0]
            runs = [once(peer, python, task, cores=cores) for _ in range(given.runs)]
            found["versions"] = runs[0]["versions"]
            found[f"{cores}_cores" if cores == "all" else "one_core"] = {
                "load_average_before": round(load, 2),
                "niceness": os.getpriority(os.PRIO_PROCESS, 0),
                **medians([run["figures"] for run in runs]),
                "query": {mode: medians([run["modes"][mode] for run in runs]) for mode in peer.modes},
            }
    except (Failed, subprocess.SubprocessError) as error:
        return {"title": peer.title, "could_not_be_run_here": str(error)}
    return found


def options() -> argparse.Namespace:
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--set", default="cranfield", help="a BEIR-style set with a test split")
    arguments.add_argument("--only", default=",".join(peer.name for peer in PEERS))
    arguments.add_argument("--documents", type=int, help="only the first so many, and the queries they answer")
    arguments.add_argument("--queries", type=int, help="at most so many")
    arguments.add_argument("--one-core", action="store_true", help="measure on one core as well")
    arguments.add_argument("--runs", type=int, default=1)
    arguments.add_argument("--limit-s", type=float, default=600, help="for one job of one peer")
    arguments.add_argument("--name", default="peers", help="of the file in bench/results")
    return arguments.parse_args()


def kept(given: argparse.Namespace, sizes: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run on the same documents found, so that --only measures some peers anew."""
    path = RESULTS / f"{given.name}.json"
    before: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    found: dict[str, Any] = before.get("peers", {}) if sizes.items() <= before.items() else {}
    return found


def corpus(name: str, documents: int | None, queries: int | None) -> Beir:
    """A set, or the first of its documents with queries that they answer and what is judged of them."""
    whole = beir(name, "test")
    rows = [{key: row.get(key, "") for key in ("_id", "title", "text")} for row in whole.documents[:documents]]
    present = {row["_id"] for row in rows}
    judged = {
        query: {document: grade for document, grade in grades.items() if document in present}
        for query, grades in whole.relevant.items()
    }
    answered = [query for query in whole.queries if any(grade > 0 for grade in judged[query].values())]
    asked = answered[:queries]
    return Beir(rows, {query: whole.queries[query] for query in asked}, {query: judged[query] for query in asked})


def main() -> None:
    """Measure and write results/peers.json and docs/peers.md."""
    from bench import pages
    from gnomon.encode import locate

    given = options()
    data = corpus(given.set, given.documents, given.queries)
    sizes = {"set": given.set, "documents": len(data.documents), "queries": len(data.queries)}
    sizes["subset"] = given.documents is not None or given.queries is not None
    with tempfile.TemporaryDirectory() as scratch:
        documents = Path(scratch) / "documents.json"
        documents.write_text(json.dumps(data.documents))
        task = Task(data, documents, locate(MODEL).folder, given.limit_s)
        found = kept(given, sizes)
        for peer in PEERS:
            if peer.name in given.only.split(","):
                found[peer.name] = measured(peer, task, given)
                ordered = {each.name: found[each.name] for each in PEERS if each.name in found}
                write(given.name, {"model": MODEL, **sizes, "runs": given.runs, "peers": ordered})
    if given.name == "peers":
        pages.write("peers")


if __name__ == "__main__":
    main()
