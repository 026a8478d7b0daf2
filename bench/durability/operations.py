"""The operations that are disturbed: what each does to a folder, and what must hold afterwards.

Each is three functions. `prepare` makes the folder as it is before. `work` does the operation and acknowledges
what is committed. `examine` looks at what is left, does the operation again, and returns what does not hold, each
as "refused: …" (gnomon refuses a collection that SQLite opens), "dead: …" (a search or a write fails) or "lost: …"
(what was acknowledged is not there).
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.durability.injection import Acknowledge
from gnomon.answer.tables.registry import register, registered
from gnomon.answer.tables.sandbox import open_sandboxed
from gnomon.answer.tables.source import locate_table
from gnomon.collection import Collection
from gnomon.migrate import state as migration_state
from gnomon.monitor.baseline import Baseline
from gnomon.testing.toys import HashEncoder

Examine = Callable[[Path, Sequence[str]], list[str]]
KEPT = 24
"""Documents that no operation touches."""
ROWS = 300


@dataclass(frozen=True)
class Operation:
    """One that is disturbed: see the top of this module."""

    name: str
    prepare: Callable[[Path], None]
    work: Callable[[Path, Acknowledge], None]
    examine: Examine


def encoders() -> list[HashEncoder]:
    """The models of the versions."""
    return [HashEncoder(32), HashEncoder(32, salt="two")]


def opened(folder: Path) -> Collection:
    """The collection in a folder of an operation."""
    return gnomon.open(folder / "kb", encoder=encoders())


def document(name: str, turn: int = 0) -> dict[str, Any]:
    """A document with a word of its own."""
    return {"id": name, "text": f"The river stone of {word(name)} lies by the mill, turn {turn}.", "metadata": {"n": 1}}


def word(name: str) -> str:
    """The word by which a document is found."""
    return f"word{name}".replace("/", "").replace(".", "")


def _fill(folder: Path) -> None:
    with opened(folder) as kb:
        kb.add([document(f"kept{n}") for n in range(KEPT)])
        kb.search("river")


# What holds for every collection.


def documents_by_sqlite(database: Path) -> set[str] | None:
    """The ids that SQLite reads from a copy of a catalog after its own recovery; None where it finds damage."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in database.parent.glob(f"{database.name}*"):
            shutil.copy(path, scratch)
        with suppress(sqlite3.Error):
            connection = sqlite3.connect(Path(scratch) / database.name)
            try:
                if connection.execute("PRAGMA quick_check").fetchone() == ("ok",):
                    return {row[0] for row in connection.execute("SELECT key FROM documents")}
            finally:
                connection.close()
    return None


@contextmanager
def called(found: list[str], kind: str) -> Iterator[None]:
    """Adds what is raised to the findings."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - all of them are what is counted
        found.append(f"{kind}: {type(error).__name__}: {str(error)[:300]}")


def examined(folder: Path, present: Iterable[str], absent: Iterable[str] = ()) -> list[str]:
    """Open, search in every mode, write and remove; all of `present` is there, nothing of `absent` is found."""
    found: list[str] = []
    held = documents_by_sqlite(folder / "kb" / "collection.db")
    if held is None:
        return ["lost: SQLite finds the catalog damaged"]
    present, absent = set(present) | {f"kept{n}" for n in range(KEPT)}, set(absent)
    found += [f"lost: {one}" for one in sorted(present - held)]
    kb = None
    with called(found, "refused"):
        kb = opened(folder)
    if kb is None:
        return found
    with kb:
        found += [f"lost: {one} was removed" for one in sorted(absent & held)]
        for mode in ("lexical", "dense", "hybrid"):
            with called(found, "dead"):
                for one in sorted(present)[:: max(1, len(present) // 4)]:
                    hits = [hit.document for hit in kb.search(word(one), k=3, mode=mode)]
                    if hits[:1] != [one]:
                        found.append(f"lost: {one} is not found first by {mode}: {hits}")
                for one in sorted(absent)[:3]:
                    if one in [hit.document for hit in kb.search(word(one), k=5, mode=mode)]:
                        found.append(f"lost: {one}, which was removed, is found by {mode}")
        with called(found, "dead"):
            kb.add(document("after"))
            if kb.search(word("after"), k=1)[0].document != "after":
                found.append("lost: a document that was added afterwards is not found")
            kb.remove("after")
            kb.status()
    return found


def completed(folder: Path, again: Callable[[Path, Acknowledge], None], present: Iterable[str]) -> list[str]:
    """Do the operation again: then exactly `present` and what is always there is left, and found."""
    found: list[str] = []
    wanted = set(present) | {f"kept{n}" for n in range(KEPT)}
    with called(found, "dead"):
        again(folder, lambda _: None)
        with opened(folder) as kb:
            if set(kb.ids()) != wanted:
                found.append(f"lost: after the operation was done again: {sorted(wanted ^ set(kb.ids()))[:5]}")
            one = max(wanted)
            if kb.search(word(one), k=1)[0].document != one:
                found.append(f"lost: {one} is not found after the operation was done again")
    return found


# The operations.


def _add(folder: Path, acknowledge: Acknowledge) -> None:
    with opened(folder) as kb:
        for turn in range(4):
            names = [f"new{turn}x{n}" for n in range(3)]
            kb.add([document(name) for name in names])
            acknowledge(" ".join(names))


def _after_add(folder: Path, acknowledged: Sequence[str]) -> list[str]:
    every = [f"new{turn}x{n}" for turn in range(4) for n in range(3)]
    return examined(folder, " ".join(acknowledged).split()) + completed(folder, _add, every)


def _fill_to_remove(folder: Path) -> None:
    _fill(folder)
    with opened(folder) as kb:
        kb.add([document(f"old{n}") for n in range(9)])


def _remove(folder: Path, acknowledge: Acknowledge) -> None:
    with opened(folder) as kb:
        for turn in range(3):
            names = [f"old{3 * turn + n}" for n in range(3)]
            kb.remove(names)
            acknowledge(" ".join(names))


def _after_remove(folder: Path, acknowledged: Sequence[str]) -> list[str]:
    return examined(folder, (), " ".join(acknowledged).split()) + completed(folder, _remove, ())


def _fill_files(folder: Path) -> None:
    _fill(folder)
    files = folder / "files"
    files.mkdir()
    for n in range(12):
        (files / f"f{n}.txt").write_text(document(f"files/f{n}.txt")["text"])
    with opened(folder) as kb:
        kb.index(files)
    for n in range(3):
        (files / f"f{n}.txt").unlink()
    for n in range(3, 6):
        (files / f"f{n}.txt").write_text(document(f"files/f{n}.txt", turn=1)["text"])
    for n in range(12, 18):
        (files / f"f{n}.txt").write_text(document(f"files/f{n}.txt")["text"])


def _index(folder: Path, acknowledge: Acknowledge) -> None:
    with opened(folder) as kb:
        kb.index(folder / "files")
        acknowledge("done")


def _after_index(folder: Path, acknowledged: Sequence[str]) -> list[str]:
    names = [f"files/f{n}.txt" for n in range(18)]
    found = examined(folder, names[3:] if acknowledged else names[6:12], names[:3] if acknowledged else ())
    return found + completed(folder, _index, names[3:])


def fill_versions(folder: Path) -> None:
    """A collection with two versions."""
    _fill(folder)
    with opened(folder) as kb:
        name = kb.versions.add(encoders()[1]).name
        kb.versions.backfill(name)
        kb.versions.mark_ready(name)


def _switch(folder: Path, acknowledge: Acknowledge) -> None:
    with opened(folder) as kb:
        for to in ("v2", "v1", "v2"):
            if kb.version.name != to:
                kb.switch(to)
            kb.search("river")
            acknowledge(to)


def _after_switch(folder: Path, acknowledged: Sequence[str]) -> list[str]:
    return examined(folder, ()) + completed(folder, _switch, ())


def _fill_to_prune(folder: Path) -> None:
    fill_versions(folder)
    with opened(folder) as kb:
        kb.switch("v2")
        kb.search("river")
        kb.retire("v1")


def _prune(folder: Path, acknowledge: Acknowledge) -> None:
    with opened(folder) as kb:
        kb.prune(vacuum=True)
        acknowledge("done")


def _after_prune(folder: Path, acknowledged: Sequence[str]) -> list[str]:
    return examined(folder, ()) + completed(folder, _prune, ())


def fill_table(folder: Path) -> None:
    """A table beside a collection."""
    if not (folder / "kb").exists():
        _fill(folder)
    lines = ["name,amount", *(f"row{n},{n * n}" for n in range(ROWS))]
    (folder / "sums.csv").write_text("\n".join(lines) + "\n")


def _import_table(folder: Path, acknowledge: Acknowledge) -> None:
    with opened(folder) as kb:
        register(kb, folder / "sums.csv")
        acknowledge("done")


def table_sum(kb: Collection) -> tuple[int, int] | None:
    """Rows and sum of the table, None where it is not registered."""
    for info in registered(kb):
        with open_sandboxed(info, locate_table(info, kb.tables.folder)) as table:
            rows = table.select("SELECT count(*), sum(amount) FROM sums", limit=1).rows
            return int(rows[0][0]), int(rows[0][1])  # type: ignore[arg-type]
    return None


RIGHT_SUM = (ROWS, sum(n * n for n in range(ROWS)))


def _after_table(folder: Path, acknowledged: Sequence[str]) -> list[str]:
    found = examined(folder, ())
    with called(found, "dead"), opened(folder) as kb:
        if table_sum(kb) not in ((None, RIGHT_SUM) if not acknowledged else (RIGHT_SUM,)):
            found.append(f"lost: the table: {table_sum(kb)}")
    with called(found, "dead"):
        _import_table(folder, lambda _: None)
        with opened(folder) as kb:
            if table_sum(kb) != RIGHT_SUM:
                found.append(f"lost: the table, imported again: {table_sum(kb)}")
    return found


def _checkpoint(step: int) -> Any:
    import torch

    from gnomon.train.checkpoint import Checkpoint

    return Checkpoint(step, {"model/w": torch.full((64,), float(step))}, {"losses": [step]})


def _fill_checkpoints(folder: Path) -> None:
    from gnomon.train.checkpoint import write_checkpoint

    (folder / "run").mkdir()
    for step in (1, 2):
        write_checkpoint(folder / "run", _checkpoint(step), keep=2)


def _train(folder: Path, acknowledge: Acknowledge) -> None:
    from gnomon.train.checkpoint import write_checkpoint

    for step in (3, 4):
        write_checkpoint(folder / "run", _checkpoint(step), keep=2)
        acknowledge(str(step))


def _after_train(folder: Path, acknowledged: Sequence[str]) -> list[str]:
    from gnomon.train.checkpoint import read_checkpoint

    found: list[str] = []
    least = max([2, *map(int, acknowledged)])
    with called(found, "dead"):
        kept = read_checkpoint(folder / "run")
        if kept is None or kept.step < least or float(kept.tensors["model/w"][0]) != kept.step:
            found.append(f"lost: the checkpoint of step {least}: {kept and kept.step}")
        _train(folder, lambda _: None)
        last = read_checkpoint(folder / "run")
        if last is None or last.step != 4:
            found.append("lost: the checkpoint of the run that was made again")
    return found


def watch(folder: Path, acknowledge: Acknowledge) -> None:
    """Write a migration's state and a baseline, twice."""
    place = folder / "kb"
    for turn in (1, 2):
        with migration_state.exclusive_run(place, migration_state.Migration(str(place), run=f"{turn}")) as file:
            file.update(stage="building", behind=turn)
            file.update(outcome="ready")
        rows = np.full((8, 4), float(turn), dtype=np.float32)
        Baseline(
            id=f"base{turn}",
            at="2026",
            version="v1",
            space="s",
            queries=None,
            query_source="",
            documents=rows,
            golden=None,
            latency=None,
            recall=None,
        ).save(place)
        acknowledge(str(turn))


def _after_watch(folder: Path, acknowledged: Sequence[str]) -> list[str]:
    found, place = examined(folder, ()), folder / "kb"
    least = max([0, *map(int, acknowledged)])
    with called(found, "dead"):
        run, baseline = migration_state.status(place), Baseline.load(place)
        if int(run.run if run else 0) < least or int(baseline.id[-1] if baseline else 0) < least:
            found.append(f"lost: the state or the baseline of turn {least}")
        if baseline is not None and float(baseline.documents[0, 0]) != int(baseline.id[-1]):
            found.append("lost: the arrays of the baseline are another's")
        watch(folder, lambda _: None)
    return found


OPERATIONS = (
    Operation("index", _fill_files, _index, _after_index),
    Operation("remove", _fill_to_remove, _remove, _after_remove),
    Operation("add", _fill, _add, _after_add),
    Operation("switch", fill_versions, _switch, _after_switch),
    Operation("prune", _fill_to_prune, _prune, _after_prune),
    Operation("table import", fill_table, _import_table, _after_table),
    Operation("training checkpoint", _fill_checkpoints, _train, _after_train),
    Operation("migration state and baseline", _fill, watch, _after_watch),
)


def named(names: Sequence[str]) -> tuple[Operation, ...]:
    """The operations of these names, all where none is named."""
    return tuple(replace(each) for each in OPERATIONS if not names or each.name in names)
