"""Kills at system calls of every operation, and disks that refuse: what SQLite opens, opens; nothing is lost.

    python -m bench kills --kills 1000 --errors 200
    python -m bench kills --kills 12 --only add --only remove --to kills.json

Each trial copies the operation's folder, forks a process that does the operation, and has strace kill it at a write,
fsync, rename, unlink or truncation that is chosen at random with a fixed seed (or return ENOSPC or EIO from it and
from all that follow). Another process then opens what is left, searches, writes, and does the operation again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import record
from bench.durability.injection import Acknowledge, Fault, Outcome, faults, run, unavailable
from bench.durability.operations import Operation, named

SEED = 14
_ERRORS = ("error=ENOSPC", "error=EIO")


@dataclass
class Tally:
    """Counts of one operation's trials, and what did not hold."""

    calls: int = 0
    killed: int = 0
    not_reached: int = 0
    errors: int = 0
    error_ends: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    dead: int = 0
    lost: int = 0
    tracebacks: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, fault: Fault, outcome: Outcome, findings: Sequence[str]) -> None:
        """Count one trial."""
        if fault.how.startswith("error"):
            self.errors += 1
            end = outcome.end.partition(":")[0]
            self.error_ends[end] = self.error_ends.get(end, 0) + 1
            if outcome.end.startswith("failed"):
                self.tracebacks += 1
                self.examples.append(f"{fault}: {outcome.end}")
        elif outcome.end == "killed":
            self.killed += 1
        else:
            self.not_reached += 1
        for kind in ("refused", "dead", "lost"):
            some = [each for each in findings if each.startswith(kind)]
            setattr(self, kind, getattr(self, kind) + bool(some))
            self.examples += [f"{fault}: {some[0]}"] if some else []


def trial(operation: Operation, base: Path, place: Path, *, fault: Fault) -> tuple[Outcome, list[str]]:
    """Disturb the operation in a fresh copy of its folder, and look at what is left."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place)
    outcome = run(partial(operation.work, place), fault.arguments(place))
    return outcome, examine(operation, place, outcome.acknowledged)


def examine(operation: Operation, place: Path, acknowledged: Sequence[str]) -> list[str]:
    """What does not hold in the folder, found in a process of its own."""

    def look(acknowledge: Acknowledge) -> None:
        for finding in operation.examine(place, acknowledged):
            acknowledge(finding)

    looked = run(look)
    return [*looked.acknowledged, *([] if looked.end == "done" else [f"dead: {looked.end}"])]


def measure(operation: Operation, scratch: Path, *, kills: int, errors: int, chosen: random.Random) -> Tally:
    """So many kills and errors of one operation."""
    base, place = scratch / f"{operation.name}-base", scratch / "trial"
    base.mkdir()
    # Made where it is worked on: what is registered is registered by its path.
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    made = run(lambda _: operation.prepare(place))
    if made.end != "done":
        raise RuntimeError(made.end)
    shutil.copytree(place, base, dirs_exist_ok=True)
    every = faults(partial(operation.work, place), place)
    tally = Tally(calls=len(every))
    wanted = _drawn(every, kills, chosen)
    wanted += [replace(fault, how=_ERRORS[at % 2]) for at, fault in enumerate(_drawn(every, errors, chosen))]
    for fault in wanted:
        tally.add(fault, *trial(operation, base, place, fault=fault))
    return tally


def _drawn(every: Sequence[Fault], count: int, chosen: random.Random) -> list[Fault]:
    """Without repetition as long as there are others."""
    drawn: list[Fault] = []
    while len(drawn) < count:
        drawn += chosen.sample(every, min(len(every), count - len(drawn)))
    return drawn


def main() -> int:
    """Measure, write the figures, and fail where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--errors", type=int, default=200)
    parser.add_argument("--only", action="append", default=[], help="an operation's name; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--to", type=Path, help="write the figures to this file instead of bench/results")
    options = parser.parse_args()
    if why := unavailable():
        print(f"skipped: {why}", file=sys.stderr)
        return 77
    operations, started = named(options.only), time.perf_counter()
    for library in ("tantivy", "cattrs", "torch" if any(o.name.startswith("training") for o in operations) else "json"):
        importlib.import_module(library)  # once, rather than in every child
    shares = zip(_shares(options.kills, len(operations)), _shares(options.errors, len(operations)), strict=True)
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        jobs = [(each.name, kills, errors) for each, (kills, errors) in zip(operations, shares, strict=True)]
        tallies = dict(pool.imap_unordered(_measured, jobs, chunksize=1))
    figures = _figures(tallies, time.perf_counter() - started)
    if options.to:
        options.to.write_text(json.dumps(figures, indent=1))
    else:
        record.write("kills", figures)
    return int(any(figures[name] for name in ("refused", "dead", "lost", "tracebacks")))


def _shares(total: int, parts: int) -> list[int]:
    return [total * (at + 1) // parts - total * at // parts for at in range(parts)]


def _measured(job: tuple[str, int, int]) -> tuple[str, Tally]:
    name, kills, errors = job
    (operation,) = named([name])
    with tempfile.TemporaryDirectory() as scratch:
        chosen = random.Random(f"{SEED} {name}")
        tally = measure(operation, Path(scratch), kills=kills, errors=errors, chosen=chosen)
    print(name, asdict(tally), flush=True)
    return name, tally


def _figures(tallies: dict[str, Tally], seconds: float) -> dict[str, Any]:
    names = ("killed", "not_reached", "errors", "refused", "dead", "lost", "tracebacks")
    return {
        "seed": SEED,
        "seconds": round(seconds, 1),
        **{name: sum(getattr(tally, name) for tally in tallies.values()) for name in names},
        "operations": {name: asdict(tally) for name, tally in tallies.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
