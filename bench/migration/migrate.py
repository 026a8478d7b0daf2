"""A change of model under a live collection: predicted against true, searches meanwhile, switches.

    python -m bench migrate --to MODEL [--documents 2500] [--queries 2000]

Over a collection with MiniLM of so many documents of SciFact, the judged ones first. The build runs in the
background with half of the processor, twice: by itself, for what the plan predicted, and while another
process searches without a pause. What counts there is the ratio of the p99 to that of an idle machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA, beir
from bench.record import spread, write
from gnomon import migrate
from gnomon.migrate.process import BackgroundRun

CPU_SHARE, WARM_UP, SWITCHES = 0.5, 50, 30


def main() -> None:
    """Measure and write results/migrate.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--to", required=True, help="the model that MiniLM is changed for")
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--queries", type=int, default=2000, help="searches of each state, at least")
    arguments.add_argument("--documents", type=int, default=2500)
    arguments.add_argument("--try-out", action="store_true", help="write nothing")
    arguments.add_argument("--only", choices=("prediction", "searches"), help="one part alone")
    given = arguments.parse_args()
    figures: dict[str, Any] = {"model": Path(given.to).name, "cpu_share": CPU_SHARE}
    base = given.folder / f"migrate-{given.documents}"
    with gnomon.open(base) as kb:
        kb.add(judged_first(given.documents))  # what is there already costs a look
        figures.update(documents=given.documents, chunks=kb.status().chunks)
    with tempfile.TemporaryDirectory() as scratch:
        parts = {"prediction": predicted, "searches": searched_meanwhile}
        for name, part in parts.items():
            if given.only in (None, name):
                folder = Path(shutil.copytree(base, Path(scratch) / name))
                figures[name] = part(folder, given.to, given.queries)
                figures["switches"] = switches(folder)
    if given.try_out:
        print(json.dumps(figures, indent=1))
    else:
        write("migrate", figures)


def judged_first(many: int) -> list[dict[str, Any]]:
    """So many documents, the judged ones first."""
    data = beir("scifact", "test")
    judged = {document for grades in data.relevant.values() for document in grades}
    rows = sorted(data.documents, key=lambda row: row["_id"] not in judged)[:many]
    return [{"id": row["_id"], "title": row["title"], "text": row["text"]} for row in rows]


def predicted(folder: Path, to: str, _: int) -> dict[str, Any]:
    """What the plan said, and what the build then took on a machine that does nothing else."""
    with gnomon.open(folder) as kb:
        plan = migrate.plan(kb, to, cpu_share=CPU_SHARE)
    started = begun(folder, to)
    done = migrate.follow(started, lambda _: None)
    with gnomon.open(folder) as kb:
        space = kb.versions.get("v2").space_id
        kept = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".html")
        query = f"SELECT count(*) FROM vectors WHERE space_id = {space} AND role = 'document'"
        with kb.internals.catalog.read() as connection:
            vectors = int(connection.exec_driver_sql(query).scalar_one())
    return {
        "seconds": {"predicted": round(plan.seconds, 1), "true": round(done.seconds, 1)},
        "seconds_off": round(plan.seconds / done.seconds - 1, 3),
        "tokens": {"predicted": plan.tokens, "true": done.tokens_done},
        "texts": {"predicted": plan.texts, "true": done.texts_done, "vectors_in_catalog": vectors},
        "bytes": {"predicted": plan.bytes.after, "true": kept, "before": plan.bytes.before},
        "bytes_off": round(plan.bytes.after / kept - 1, 3),
        "sample": {"texts": plan.speed.texts, "seconds": round(plan.speed.seconds, 1)},
        "gate": done.gate,
        "outcome": done.outcome,
    }


def begun(folder: Path, to: str) -> BackgroundRun:
    """A migration in the background that is judged and not switched to."""
    gate = migrate.GateSettings(queries=str(DATA / "scifact"), split="test")
    settings = migrate.MigrateSettings(gate, switch_if="never", cpu_share=CPU_SHARE)
    return migrate.start(folder, migrate.Change(to), settings)


def searched_meanwhile(folder: Path, to: str, wanted: int) -> dict[str, Any]:
    """One caller in another process, idle and while the build embeds."""
    queries = list(beir("scifact", "test").queries.values())
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=search_on, args=(folder, queries, theirs))
    process.start()
    ours.recv()
    idle = times_of(ours, wanted)
    started = begun(folder, to)
    first = in_stage(folder, started, "building")
    ours.send("go")
    last = in_stage(folder, started, "indexing")
    busy = [seconds for at, seconds in asked(ours) if first <= at and at + seconds <= last]
    done = migrate.follow(started, lambda _: None)
    ours.send("end")
    process.join()
    if len(busy) < wanted:
        print(f"only {len(busy)} searches fell into the build")
    found = {"idle": summary(idle), "during_the_build": summary(busy)}
    ratios = {key: round(found["during_the_build"][key] / found["idle"][key], 2) for key in ("p50", "p95", "p99")}
    return {
        "ms": found,
        "to_idle": ratios,
        "build_seconds": round(done.seconds, 1),
        "embedded": done.texts_done,
    }


def search_on(folder: Path, queries: Sequence[str], pipe: Connection) -> None:
    """Search without a pause from "go" to "stop"; then say when each search began and what it took."""
    with gnomon.open(folder) as kb:
        for query in queries[:WARM_UP]:
            kb.search(query)
        pipe.send("ready")
        while pipe.recv() != "end":
            taken, at = [], 0
            while not pipe.poll():
                started = time.monotonic()
                kb.search(queries[at % len(queries)])
                taken.append((started, time.monotonic() - started))
                at += 1
            pipe.recv()
            pipe.send(taken)


def asked(pipe: Connection) -> list[tuple[float, float]]:
    """Have the searches stop, and get what they took."""
    pipe.send("stop")
    found: list[tuple[float, float]] = pipe.recv()
    return found


def times_of(pipe: Connection, wanted: int) -> list[float]:
    """What so many searches took, or more: another round where there were too few."""
    taken: list[float] = []
    while len(taken) < wanted:
        pipe.send("go")
        time.sleep(10)
        taken += [seconds for _, seconds in asked(pipe)]
    return taken


def in_stage(folder: Path, started: BackgroundRun, stage: str) -> float:
    """Wait until a build has come to a stage, and say when that was seen."""
    while True:
        found = migrate.status(folder)
        if found is not None and found.run == started.run:
            if found.stage == stage and (stage != "building" or found.texts_done):
                return time.monotonic()
            if found.outcome is not None or found.stage in ("judging", "over"):
                return time.monotonic()
        time.sleep(0.02)


def switches(folder: Path) -> dict[str, Any]:
    """Switches and rollbacks of a process that searches: the transaction, and the whole call."""
    there, back, whole = [], [], []
    with gnomon.open(folder) as kb:
        kb.search("a first search")
        for _ in range(SWITCHES):
            started = time.perf_counter()
            there.append(1000 * kb.switch("v2").seconds)
            whole.append(1000 * (time.perf_counter() - started))
            started = time.perf_counter()
            back.append(1000 * kb.rollback().seconds)
            whole.append(1000 * (time.perf_counter() - started))
    # The first one loads the model and the indexes, before anything is switched.
    return {
        "switch_ms": spread(there),
        "rollback_ms": spread(back),
        "call_ms": spread(whole[1:]),
        "first_call_ms": round(whole[0]),
    }


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """In milliseconds."""
    found = {f"p{at}": round(1000 * float(np.percentile(seconds, at)), 2) for at in (50, 95, 99)}
    return {"searches": len(seconds), **found}


if __name__ == "__main__":
    main()
