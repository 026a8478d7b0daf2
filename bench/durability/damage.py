"""Every file of a collection flipped, cut, zeroed and deleted: right answers, or an error or warning that says so.

    python -m bench damage --count 300

Each trial copies a collection (closed, or as a killed process left it, with its write-ahead log), harms one file,
and asks everything of it in a process of its own. An answer is right, or it is an error of gnomon's with a hint, or
a warning came with it; anything else is counted as silently wrong or as a traceback.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import record
from bench.durability.injection import Acknowledge, run
from bench.durability.operations import document, fill_table, fill_versions, opened, table_sum, watch, word
from gnomon.answer.tables.registry import register
from gnomon.collection import Collection
from gnomon.core.errors import CollectionDamaged, GnomonError
from gnomon.doctor.doctor import examine
from gnomon.migrate import state as migration_state
from gnomon.monitor.baseline import Baseline

SEED = 14
HARMS = ("flip", "cut", "zero", "delete")
QUERIES = ("kept3", "kept17", "late2")


def make(place: Path, *, closed: bool) -> None:
    """A collection with two versions, a table, a migration's state, a baseline and documents added last."""
    fill_versions(place)
    fill_table(place)
    watch(place, lambda _: None)
    kb = opened(place)
    register(kb, place / "sums.csv")
    kb.add([document(f"late{n}") for n in range(4)])
    kb.search("river")
    if closed:
        kb.close()
    else:
        os._exit(0)  # its log stays


def _made(place: Path, closed: bool, _: Acknowledge) -> None:
    make(place, closed=closed)


Question = Callable[[Collection, Path], Any]


def _hits(name: str, mode: str) -> Question:
    def ask(kb: Collection, _: Path) -> Any:
        hits = kb.search(word(name), k=5, mode=mode)  # type: ignore[arg-type]
        return [[h.document, h.text, h.start, h.end, h.title, dict(h.metadata), round(h.score, 4)] for h in hits]

    return ask


def _texts(kb: Collection, _: Path) -> Any:
    return [[d.id, d.text, d.title, dict(d.metadata)] for d in kb.get(kb.ids())]


def _baseline(_: Collection, place: Path) -> Any:
    found = Baseline.load(place / "kb")
    return None if found is None else [found.id, float(found.documents.sum())]


def _migration(_: Collection, place: Path) -> Any:
    found = migration_state.status(place / "kb")
    if found is not None and found.why:
        raise CollectionDamaged(found.why, hint=found.why)
    return None if found is None else [found.run, found.outcome]


def _conditions(kb: Collection, _: Path) -> Any:
    return sorted(kb.ids("n = 1"))


def _write(kb: Collection, _: Path) -> Any:
    kb.add(document("after"))
    found = kb.search(word("after"), k=1)[0].document
    kb.remove("after")
    return found


def _doctor(kb: Collection, _: Path) -> Any:
    examine(kb, sample=5, fix=True)
    return "examined"


QUESTIONS: dict[str, Question] = {
    **{f"{mode} {name}": _hits(name, mode) for mode in ("lexical", "dense", "hybrid") for name in QUERIES},
    "ids": lambda kb, _: sorted(kb.ids()),
    "texts": _texts,
    "conditions": _conditions,
    "status": lambda kb, _: [kb.status().documents, kb.status().chunks, kb.status().vectors],
    "table": lambda kb, _: table_sum(kb),
    "migration": _migration,
    "baseline": _baseline,
    "write": _write,
    "doctor": _doctor,
    "dense after the doctor": _hits("kept3", "dense"),
}


def answers(place: Path, say: Acknowledge) -> None:
    """Ask every question, and say what came: an answer and how many warnings, an error of gnomon's, a traceback."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            kb = opened(place)
        except GnomonError as error:
            kind = "refused" if error.hint else "no hint"
            say(json.dumps(["open", kind, f"{type(error).__name__}: {error.message}"]))
            return
        except Exception:  # noqa: BLE001 - all of them are what is counted
            say(json.dumps(["open", "traceback", traceback.format_exc()[-1200:]]))
            return
        for name, ask in QUESTIONS.items():
            try:
                found = ask(kb, place)
                say(json.dumps([name, "said" if caught else "answered", found]))
            except GnomonError as error:
                kind = "refused" if error.hint else "no hint"
                say(json.dumps([name, kind, f"{type(error).__name__}: {error.message}"]))
            except Exception:  # noqa: BLE001 - all of them are what is counted
                say(json.dumps([name, "traceback", traceback.format_exc()[-1200:]]))
        kb.close()


def harm(path: Path, how: str, chosen: random.Random) -> None:
    """Flip a bit, cut the file off, zero a stretch of it, or delete it."""
    size = path.stat().st_size
    if how == "delete" or not size:
        path.unlink()
        return
    at = chosen.randrange(size)
    if how == "cut":
        os.truncate(path, at)
        return
    data = bytearray(path.read_bytes())
    if how == "flip":
        data[at] ^= 1 << chosen.randrange(8)
    else:
        data[at : at + 512] = bytes(len(data[at : at + 512]))
    path.write_bytes(data)


_RECORDS = {"migration": "migration/state.json", "baseline": "watch/baseline.json"}
"""Where a file is deleted that says that something was done, "none" is the right answer."""


def judged(place: Path, right: dict[str, Any]) -> tuple[Counter[str], list[str]]:
    """How often each kind of answer came, "right" and "silently wrong" among them, and the bad ones."""
    outcome = run(lambda say: answers(place, say))
    kinds: Counter[str] = Counter()
    bad: list[str] = []
    if outcome.end != "done":
        return Counter({"traceback": 1}), [outcome.end]
    for line in outcome.acknowledged:
        name, kind, value = json.loads(line)
        is_gone = value is None and name in _RECORDS and not (place / "kb" / _RECORDS[name]).exists()
        if kind in ("answered", "said") and (value == right.get(name) or is_gone):
            kind = "right"
        elif kind == "answered":
            kind = "silently wrong"
        kinds[kind] += 1
        if kind in ("silently wrong", "traceback", "no hint"):
            bad.append(f"{kind}: {name}: {str(value)[-700:]}")
    return kinds, bad


def measure(count: int, only: str, share: tuple[int, int]) -> tuple[dict[str, Counter[str]], list[str]]:
    """So many harmed files, of which this process takes its share (which one of how many).

    The catalog, whose bytes differ most in what they are, is harmed four times as often as other files.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return _measured(count, only, share, scratch=Path(scratch))


def _measured(
    count: int, only: str, share: tuple[int, int], *, scratch: Path
) -> tuple[dict[str, Counter[str]], list[str]]:
    place = scratch / "trial"
    bases, rights, targets = [], [], []
    for at, closed in enumerate((True, False)):
        base = scratch / f"base{at}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        made = run(partial(_made, place, closed))
        if made.end.startswith(("failed", "refused")) and closed:
            raise RuntimeError(made.end)
        shutil.copytree(place, base)
        bases.append(base)
        whole = run(lambda say: answers(place, say))
        rights.append({name: value for name, kind, value in map(json.loads, whole.acknowledged) if kind == "answered"})
        files = [path.relative_to(base) for path in sorted((base / "kb").rglob(only)) if path.is_file()]
        weighed = [file for file in files for _ in range(4 if file.name == "collection.db" else 1)]
        targets += [(at, file, how) for file in weighed for how in HARMS]
    random.Random(SEED).shuffle(targets)
    trials = [targets[at % len(targets)] for at in range(count)]
    by_file: dict[str, Counter[str]] = {}
    examples: list[str] = []
    for number in range(share[0], count, share[1]):
        at, file, how = trials[number]
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(bases[at], place)
        harm(place / file, how, random.Random(f"{SEED} {number}"))
        kinds, bad = judged(place, rights[at])
        name = f"{Path(*file.parts[1:2])}" if len(file.parts) == 2 else f"{file.parts[1]}/"
        by_file.setdefault(name, Counter()).update({"files": 1, **kinds})
        print(number, file, how, dict(kinds), flush=True)
        examples += [f"{how} {file} ({'closed' if at == 0 else 'killed'}): {each}" for each in bad[:2]]
    return by_file, examples


def _figures(shares: Sequence[tuple[dict[str, Counter[str]], list[str]]]) -> dict[str, Any]:
    by_file: dict[str, Counter[str]] = {}
    for counted, _ in shares:
        for name, kinds in counted.items():
            by_file.setdefault(name, Counter()).update(kinds)
    total = sum(by_file.values(), Counter[str]())
    return {
        "seed": SEED,
        **{kind: total[kind] for kind in ("files", "right", "refused", "said", *_BAD)},
        "by file": {name: dict(kinds) for name, kinds in sorted(by_file.items())},
        "examples": [example for _, examples in shares for example in examples],
    }


_BAD = ("silently wrong", "traceback", "no hint")


def main() -> int:
    """Measure, write the figures, and fail where an answer is silently wrong or a traceback."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--to", type=Path, help="write the figures to this file instead of bench/results")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--only", default="*", help="files of this pattern")
    options = parser.parse_args()
    started = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        mine = [(options.count, options.only, (at, options.jobs)) for at in range(options.jobs)]
        figures = _figures(pool.starmap(measure, mine, chunksize=1))
    figures["seconds"] = round(time.perf_counter() - started, 1)
    if options.to:
        options.to.write_text(json.dumps(figures, indent=1))
    else:
        record.write("damage", figures)
    return int(any(figures[kind] for kind in _BAD))


if __name__ == "__main__":
    sys.exit(main())
