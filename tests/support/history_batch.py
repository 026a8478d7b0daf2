"""A batch of generated histories in one process: python -m support.history_batch SEED STEPS MANY prints JSON."""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from support.version_histories import DONE, Histories

MEMORY = Path("/dev/shm")
Batch = tuple[dict[str, int], float, str | None]
"""How often each thing was done, the seconds that it took, and what failed."""


def prepare() -> None:
    """What a process does before its first batch."""
    if MEMORY.is_dir():  # a history takes files, and what is asked of them is not to outlive a power cut
        tempfile.tempdir = str(MEMORY)
    set_hypothesis_home_dir(tempfile.mkdtemp())
    compile_once()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # of much that is made and forgotten little can be freed by looking


def batch(seed: int, steps: int, many: int) -> Batch:
    """So many histories of a seed. What failed comes with the steps that lead there."""

    started = time.perf_counter()
    DONE.clear()
    rules = settings(
        max_examples=many, stateful_step_count=steps, deadline=None, database=None,
        derandomize=False, suppress_health_check=list(HealthCheck), phases=(Phase.generate,),
    )  # fmt: skip
    failure = None
    try:
        run_state_machine_as_test(seeded(seed)(Histories), settings=rules)
    except Exception:
        failure = f"seed {seed}\n{traceback.format_exc()}"
    tried = DONE.pop("histories", 0)  # with those that hypothesis gave up half-way: not counted
    DONE.update(histories=many if failure is None else min(tried, many), begun=tried)
    return dict(DONE), time.perf_counter() - started, failure


def compile_once() -> None:
    """Let all catalogs of this process share the statements that SQLAlchemy compiled, as one process' do."""
    from gnomon.collection.catalog import connection

    plain = connection._engine
    shared: dict[Any, Any] = {}

    def engine(path: Path, busy_s: float) -> Any:
        made = plain(path, busy_s)
        made._compiled_cache = shared
        return made

    connection._engine = engine
    setattr(SQLiteDialect_pysqlite, "__hash__", lambda self: hash(type(self)))  # noqa: B010
    setattr(SQLiteDialect_pysqlite, "__eq__", lambda self, other: type(self) is type(other))  # noqa: B010


if __name__ == "__main__":
    prepare()
    done, seconds, failure = batch(*map(int, sys.argv[1:4]))
    print(json.dumps({"done": done, "seconds": seconds, "failure": failure}))
