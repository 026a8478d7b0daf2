"""Ten thousand histories of a collection with versions, each beside a plain model of what it should hold.

    python bench/histories.py [--histories 10000] [--steps 14] [--seed N]

Writes, steps of builds, switches, ways back, clearing up, and kills of any of these at any boundary, in an
order that hypothesis draws: see tests/collection/version_histories.py. Goes on where it was cut off, by whole
batches. Begin it anew with another seed, or --anew.
"""

from __future__ import annotations

import argparse
import gc
import json
import secrets
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from record import commit, write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "collection"))
BATCH = 200
FAILURES = 10
"""Batches that may fail before it gives up; what a batch did until then counts."""
MEMORY = Path("/dev/shm")


def main() -> None:
    """Generate them, and write results/histories.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--histories", type=int, default=10_000)
    arguments.add_argument("--steps", type=int, default=14, help="of one history, at most")
    arguments.add_argument("--seed", type=int, help="(default: one drawn, which is recorded)")
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--anew", action="store_true", help="forget batches that were done before")
    arguments.add_argument("--try-out", action="store_true", help="write nothing")
    given = arguments.parse_args()
    if MEMORY.is_dir():  # a history takes files, and what is asked of them is not to outlive a power cut
        tempfile.tempdir = str(MEMORY)
    set_hypothesis_home_dir(tempfile.mkdtemp())
    compile_once()
    kept = given.folder / "histories.json"
    state = {} if given.anew or given.try_out or not kept.exists() else json.loads(kept.read_text())
    state = state or {
        "seed": given.seed or secrets.randbits(32),
        "steps": given.steps,
        "done": {},
        "commits": {},
        "failures": [],
        "seconds": 0.0,
    }
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # of much that is made and forgotten little can be freed by looking
    while (
        len(state["failures"]) < FAILURES and (so_far := state["done"].get("histories", 0)) < given.histories
    ):
        show(so_far, given.histories, state)
        failure = batch(state, min(BATCH, given.histories - so_far))
        if failure:
            state["failures"].append(failure)
            print(failure)
        if not given.try_out:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(state))
    show(state["done"].get("histories", 0), given.histories, state)
    figures = summary(state)
    print(json.dumps(figures, indent=1)) if given.try_out else write("histories", figures)
    sys.exit(1 if state["failures"] else 0)


def batch(state: dict[str, Any], many: int) -> str | None:
    """So many histories more, of a seed of their own. Returns what failed, with the steps that lead there."""
    from version_histories import DONE, Histories  # type: ignore[import-not-found]

    own = state["seed"] + state["done"].get("histories", 0)
    started = time.perf_counter()
    DONE.clear()
    rules = settings(
        max_examples=many, stateful_step_count=state["steps"], deadline=None, database=None,
        derandomize=False, suppress_health_check=list(HealthCheck), phases=(Phase.generate,),
    )  # fmt: skip
    failure = None
    try:
        run_state_machine_as_test(seeded(own)(Histories), settings=rules)
    except Exception:  # noqa: BLE001 - it is recorded
        failure = f"seed {own}\n{traceback.format_exc()}"
    tried = DONE.pop("histories", 0)  # with those that hypothesis gave up half-way: not counted
    DONE.update(histories=many if failure is None else min(tried, many), begun=tried)
    state["done"] = dict(Counter(state["done"]) + DONE)
    state["commits"] = dict(Counter(state["commits"]) + Counter({commit(): DONE["histories"]}))
    state["seconds"] += time.perf_counter() - started
    return failure


def compile_once() -> None:
    """Let all catalogs of this process share the statements that SQLAlchemy compiled, as one process' do."""
    from gnomon.collection import catalog

    plain = catalog._engine
    shared: dict[Any, Any] = {}

    def engine(path: Path, busy_s: float) -> Any:
        made = plain(path, busy_s)
        made._compiled_cache = shared
        return made

    catalog._engine = engine
    setattr(SQLiteDialect_pysqlite, "__hash__", lambda self: hash(type(self)))  # noqa: B010
    setattr(SQLiteDialect_pysqlite, "__eq__", lambda self, other: type(self) is type(other))  # noqa: B010


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
        "failures": state["failures"],
        "minutes": round(state["seconds"] / 60, 1),
    }


def show(done: int, wanted: int, state: dict[str, Any]) -> None:
    """A line of how far it is."""
    rate = done / state["seconds"] if state["seconds"] else 0.0
    bar = "#" * (30 * done // wanted)
    left = f", {(wanted - done) / rate / 60:.0f} minutes left" if rate else ""
    print(f"\r[{bar:<30}] {done:,} of {wanted:,}{left}  ", end="\n" if done >= wanted else "", flush=True)


if __name__ == "__main__":
    main()
