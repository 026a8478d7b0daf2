"""Two writers and two readers on one PostgreSQL catalog, one of them killed every few seconds, the server now and then.

    python -m bench shared_catalog [--seconds 300]

Meanwhile versions are switched. What a writer was told is written must be there at the end, what it was told is
removed must not, and no search may find passages of two versions (which have chunks of their own).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

import gnomon
from bench import record
from gnomon.collection import Collection
from gnomon.collection.catalog import schema
from gnomon.core.errors import GnomonError, ServerUnreachable
from gnomon.testing.toys import HashEncoder
from gnomon.text.chunk import ChunkSettings

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
_POSTGRES: Any = importlib.import_module("support.postgres")  # the tests' own server
ROLES = ("writer-1", "writer-2", "reader-1", "reader-2")
_KILL_S, _SWITCH_S, _RESTART_S = (2.0, 6.0), 2.0, 25.0


def opened(url: str) -> Collection:
    """The collection with the models of both versions."""
    while True:
        try:
            return gnomon.open(url, create=False, encoder=[HashEncoder(32), HashEncoder(32, salt="two")])
        except ServerUnreachable:  # it is being started again
            time.sleep(0.2)


def write(url: str, log: Path, name: str) -> None:
    """Add and remove documents for ever; each step is logged before it begins and after it was acknowledged."""
    rng, turn = random.Random(os.getpid()), 0
    with opened(url) as kb, log.open("a") as file:

        def note(kind: str, removes: bool, ids: list[str]) -> None:
            file.write(json.dumps([kind, removes, ids]) + "\n")
            file.flush()

        while True:
            turn += 1
            removes = rng.random() < 0.25
            ids = [f"{name}/{rng.randrange(400)}" for _ in range(rng.randint(1, 4))]
            note("begun", removes, ids)
            try:
                if removes:
                    kb.remove(ids)
                else:
                    kb.add([{"id": each, "text": f"The river stone {each}. " * 12 + f"Turn {turn}."} for each in ids])
            except GnomonError as error:
                note(type(error).__name__, removes, ids)
                continue
            note("done", removes, ids)


def read(url: str, log: Path, name: str) -> None:
    """Search for ever, and look up of which version's chunking the passages found are."""
    rng = random.Random(name)
    with opened(url) as kb, log.open("a") as file:
        while True:
            try:
                hits = kb.search(f"river stone writer-{rng.randint(1, 2)}/{rng.randrange(400)}", k=10)
                with kb.internals.catalog.read() as connection:
                    chunk = schema.chunks.c
                    of = select(chunk.chunking_id).where(chunk.id.in_([hit.chunk_id for hit in hits])).distinct()
                    result = f"of {len(connection.execute(of).scalars().all())}"
            except GnomonError as error:
                result = type(error).__name__
            file.write(json.dumps([result]) + "\n")
            file.flush()


def lines(log: Path) -> Iterator[Any]:
    """What a process logged; the last line may be cut."""
    if log.exists():
        for line in log.read_text().splitlines():
            with suppress(json.JSONDecodeError):
                yield json.loads(line)


def expected(log: Path) -> tuple[set[str], set[str], Counter[str]]:
    """Ids that must be there, ids that must not, and how many steps ended how."""
    there, gone, ends = set[str](), set[str](), Counter[str]()
    for kind, removes, ids in lines(log):
        there.difference_update(ids)
        gone.difference_update(ids)
        if kind == "done":
            (gone if removes else there).update(ids)
        if kind != "begun":
            ends[kind] += 1
    return there, gone, ends


class Processes:
    """The writers and readers, each started again when it is killed."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._since: dict[str, float] = {}
        self._working: dict[str, float] = {}
        self.kills = 0
        for role in ROLES:
            self._start(role)

    def log(self, role: str) -> Path:
        """The log of a role."""
        return self._folder / f"{role}.jsonl"

    def kill(self, role: str) -> None:
        """SIGKILL, and a new process."""
        self._running[role].send_signal(signal.SIGKILL)
        self._running[role].wait()
        self.kills += 1
        self._start(role)

    def at_work(self) -> list[str]:
        """The roles whose process has been at work for three seconds or more since it started."""
        for role in ROLES:
            log = self.log(role)
            if log.exists() and log.stat().st_mtime > self._since[role]:
                self._working.setdefault(role, time.time())
        return [role for role, since in self._working.items() if time.time() > since + 3.0]

    def close(self) -> None:
        """End all."""
        for process in self._running.values():
            process.kill()
            process.wait()

    def died(self) -> list[str]:
        """The roles whose process ended by itself, which it must not."""
        return [role for role, process in self._running.items() if process.poll() is not None]

    def _start(self, role: str) -> None:
        self._since[role] = time.time()
        self._working.pop(role, None)
        command = [
            sys.executable,
            "-m",
            "bench.durability.shared_catalog",
            "--role",
            role,
            "--log",
            str(self.log(role)),
        ]
        with (self._folder / f"{role}.err").open("ab") as errors:
            environment = {**os.environ, "GNOMON_HOME": str(self._folder / f"{role}.home"), "CATALOG": self._url}
            self._running[role] = subprocess.Popen(command, stdout=errors, stderr=errors, env=environment)


def disturb(server: Any, url: str, folder: Path, *, seconds: float) -> dict[str, Any]:
    """Let them work, kill, switch and restart for so long. Returns what was counted and what does not hold."""
    rng, found = random.Random(1), Counter[str]()
    processes = Processes(url, folder)
    started = time.monotonic()
    next_kill, next_switch, next_restart = started + 4.0, started + 3.0, started + min(_RESTART_S, seconds / 2)
    with closing(processes), opened(url) as kb:
        while (now := time.monotonic()) < started + seconds:
            if now > next_kill and (at_work := processes.at_work()):
                processes.kill(rng.choice(at_work))
                next_kill = now + rng.uniform(*_KILL_S)
            if now > next_restart:
                server.stop("immediate")
                server.start()
                found["restarts"] += 1
                next_restart = now + _RESTART_S
            if now > next_switch:
                try:
                    kb.versions.switch("v2" if kb.version.name == "v1" else "v1")
                    found["switches"] += 1
                except GnomonError as error:
                    found[f"switch: {type(error).__name__}"] += 1
                next_switch = now + _SWITCH_S
            for role in processes.died():
                found[f"died: {role}"] += 1
                processes.kill(role)
            time.sleep(0.05)
    return {**found, "kills": processes.kills, **held(url, folder, processes)}


def held(url: str, folder: Path, processes: Processes) -> dict[str, Any]:
    """What is there at the end beside what was acknowledged."""
    with opened(url) as kb:
        ids = set(kb.ids())
        result: dict[str, Any] = {"documents": len(ids), "lost": 0, "came_back": 0}
        for role in ROLES[:2]:
            there, gone, ends = expected(processes.log(role))
            result["lost"] += len(there - ids)
            result["came_back"] += len(gone & ids)
            result[role] = dict(ends)
        found = {hit.document for each in sorted(ids)[:200] for hit in kb.search(f"river stone {each}", k=3)}
        result["found_but_gone"] = len(found - ids)
    reads = Counter(line[0] for role in ROLES[2:] for line in lines(processes.log(role)))
    result["searches"] = sum(reads.values())
    result["of_two_versions"] = sum(count for kind, count in reads.items() if kind.startswith("of ") and kind > "of 1")
    result["search_errors"] = {kind: count for kind, count in reads.items() if not kind.startswith("of ")}
    return result


def main() -> None:
    """Run it, or one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--role", choices=ROLES)
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    if given.role:
        (write if given.role.startswith("writer") else read)(os.environ["CATALOG"], given.log, given.role)
        return
    with tempfile.TemporaryDirectory() as place, _POSTGRES.postgres_server() as server:
        os.environ["GNOMON_HOME"] = str(Path(place) / "home")
        url = server.url("kb", tcp=True)
        settings = gnomon.CollectionSettings(chunk_tokens=24)
        with gnomon.open(url, encoder=[HashEncoder(32), HashEncoder(32, salt="two")], settings=settings) as kb:
            kb.add([{"id": "first", "text": "A first river stone."}])
            kb.versions.add(HashEncoder(32, salt="two"), chunking=ChunkSettings(max_tokens=16, overlap=2))
            kb.versions.backfill("v2")
            kb.versions.mark_ready("v2")
        found = disturb(server, url, Path(place), seconds=given.seconds)
    record.write("shared_catalog", {"seconds": given.seconds, **found})
    print(json.dumps(found, indent=1))
    if found["lost"] or found["came_back"] or found["of_two_versions"] or found["found_but_gone"]:
        raise SystemExit("what was acknowledged does not hold")


if __name__ == "__main__":
    main()
