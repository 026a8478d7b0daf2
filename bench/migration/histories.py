"""Ten thousand histories of a collection with versions, each beside a plain model of what it should hold.

    python -m bench histories [--histories 10000] [--steps 20] [--processes 2]

Writes, steps of builds, switches, ways back, clearing up, and kills of any of these at any boundary, in an
order that hypothesis draws: see tests/support/version_histories.py. Goes on where it was cut off, by whole
batches. Begin it anew with another seed, or --anew.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from bench.record import commit, write

ROOT = Path(__file__).parents[2]
BATCH = 200
FAILURES = 10
"""Batches that may fail before it gives up; what a batch did until then counts."""
Batch = tuple[dict[str, int], float, str | None]
"""How often each thing was done, the seconds that it took, and what failed."""


def main() -> None:
    """Generate them, and write results/histories.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--histories", type=int, default=10_000)
    arguments.add_argument("--steps", type=int, default=20, help="of one history, at most")
    arguments.add_argument("--seed", type=int, help="(default: one drawn, which is recorded)")
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--processes", type=int, default=1)
    arguments.add_argument("--anew", action="store_true", help="forget batches that were done before")
    arguments.add_argument("--try-out", action="store_true", help="write nothing")
    given = arguments.parse_args()
    kept = given.folder / "histories.json"
    state = {} if given.anew or given.try_out or not kept.exists() else json.loads(kept.read_text())
    state = state or {
        "seed": given.seed or secrets.randbits(32),
        "steps": given.steps,
        "batches": 0,
        "done": {},
        "commits": {},
        "failures": [],
        "seconds": 0.0,
    }
    state.update(histories=given.histories, processes=given.processes)
    with ThreadPoolExecutor(given.processes) as pool:
        run(state, pool, None if given.try_out else kept)
    figures = summary(state)
    print(json.dumps(figures, indent=1)) if given.try_out else write("histories", figures)
    sys.exit(1 if state["failures"] else 0)


def run(state: dict[str, Any], pool: ThreadPoolExecutor, kept: Path | None) -> None:
    """Batch after batch until there are enough histories; what is done is put down after each."""
    waiting: set[Future[Batch]] = set()
    begun = done = state["done"].get("histories", 0)
    while len(state["failures"]) < FAILURES:
        show(done, state["histories"], state["seconds"])
        while begun < state["histories"] and len(waiting) < state["processes"]:
            many = min(BATCH, state["histories"] - begun)
            waiting.add(pool.submit(batch, state["seed"] + state["batches"], state["steps"], many))
            state["batches"], begun = state["batches"] + 1, begun + many
        if not waiting:
            return
        ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for each in ended:
            counts, seconds, failure = each.result()
            state["done"] = dict(Counter(state["done"]) + Counter(counts))
            own = Counter({commit(): counts["histories"]})
            state["commits"] = dict(Counter(state["commits"]) + own)
            state["seconds"] += seconds
            state["failures"] += [failure] if failure else []
        done = state["done"].get("histories", 0)
        begun = max(begun, done) if waiting else done  # a batch that failed did fewer
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(state))


def batch(seed: int, steps: int, many: int) -> Batch:
    """So many histories of a seed, in a process of its own: see tests/support/history_batch.py."""
    command = [sys.executable, "-m", "support.history_batch", str(seed), str(steps), str(many)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        return {"histories": 0, "begun": 0}, 0.0, f"seed {seed}\n{run.stderr}"
    found = json.loads(run.stdout)
    return found["done"], found["seconds"], found["failure"]


def summary(state: dict[str, Any]) -> dict[str, Any]:
    """What was done, by kind."""
    done = dict(state["done"])
    histories, begun = done.pop("histories"), done.pop("begun")
    kills = {name: count for name, count in sorted(done.items()) if " " in name}
    rules = {name: count for name, count in sorted(done.items()) if " " not in name}
    killed = {name.removeprefix("kill of "): count for name, count in kills.items() if "kill of" in name}
    return {
        "seed": state["seed"],
        "histories_by_commit": state["commits"],
        "histories": histories,
        "begun_in_all": begun,
        "steps": sum(rules.values()),
        "steps_by_rule": rules,
        "kills": sum(killed.values()),
        "kills_of": killed,
        "ended_before_the_kill": sum(count for name, count in kills.items() if "before its kill" in name),
        "kills_gone_on_with_on_a_copy_of_the_files": kills.get("kill by copy", 0),
        "steps_at_most": state["steps"],
        "processes": state["processes"],
        "failures": state["failures"],
        "minutes_of_processes": round(state["seconds"] / 60, 1),
    }


def show(done: int, wanted: int, seconds: float) -> None:
    """A line of how far it is."""
    bar = "#" * (30 * done // wanted)
    left = f", {(wanted - done) * seconds / done / 60:.0f} minutes of processes left" if done else ""
    print(f"\r[{bar:<30}] {done:,} of {wanted:,}{left}  ", end="\n" if done >= wanted else "", flush=True)


if __name__ == "__main__":
    main()
