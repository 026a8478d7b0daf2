"""Switches and rollbacks under load: their time, and whether any search of other processes fails or is mixed.

    python -m bench switching [--switches 300] [--rate 200]

Eight processes search a collection of 2,000 documents of SciFact at a fixed rate altogether, whatever the
answers take (open loop), while this one switches and goes back. All versions are of MiniLM: v2 has smaller
chunks, v3 the chunks of v1 and another fusion. Query vectors are remembered, since encoding 200 of them a
second would take a core by itself. Each answer has to be, to the last hit, what one version gives.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import beir
from bench.record import write
from gnomon.collection import CollectionSettings, RetrievalSettings
from gnomon.collection.catalog.canaries import CANARIES
from gnomon.core.contracts import Role
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.retrieve.fuse import FuseSettings
from gnomon.text.chunk import ChunkSettings

CALLERS, DOCUMENTS, K, PAUSE_S = 8, 2000, 10, 0.25
VERSIONS = ("v1", "v2", "v3")
TWO = (("switch", "v2"), ("rollback", "v1"))
THREE = (("switch", "v2"), ("switch", "v3"), ("rollback", "v2"), ("rollback", "v1"))
"""The first goes between two versions, which a process keeps both; of three it loads one anew each time."""
Answer = tuple[float, float, float, str]
"""When a search was due, began and ended, and the version that it was of; "mixed", or what it failed with."""


@dataclass(frozen=True)
class Table:
    """What a caller is given: the vectors of texts, and each query's hits by version."""

    space: dict[str, Any]
    vectors: dict[tuple[str, str], np.ndarray[Any, Any]]
    answers: dict[str, dict[tuple[int, ...], str]]


class Remembered:
    """An encoder that has seen every text before."""

    def __init__(self, table: Table) -> None:
        self.space, self._vectors = Space.from_json(table.space), table.vectors
        self.max_tokens, self.tokenizer_json = 256, None

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Words."""
        return [len(text.split()) for text in texts]

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """As they were. Raises KeyError for a text that is new."""
        return Vectors(np.stack([self._vectors[role, text] for text in texts]), self.space)


def main() -> None:
    """Measure and write results/switching.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--switches", type=int, default=300)
    arguments.add_argument("--rate", type=float, default=200.0, help="searches a second, of all callers")
    arguments.add_argument("--documents", type=int, default=DOCUMENTS)
    arguments.add_argument("--try-out", action="store_true", help="write nothing")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = built(given.folder / f"switching-{given.documents}", given.documents)
        folder = Path(shutil.copytree(base, Path(scratch) / "kb"))
        table = remembered(folder)
        figures: dict[str, Any] = {
            "documents": given.documents,
            "queries": len(table.answers),
            "asked_a_second": given.rate,
            "idle": {"between_two": summary(switches(folder, table, TWO, many=given.switches // 3), [], 0.0)},
        }
        for name, turns, many in (
            ("between_two", TWO, given.switches),
            ("of_three", THREE, given.switches // 3),
        ):
            figures[name] = under_load(folder, table, (turns, many), rate=given.rate)
    print(json.dumps(figures, indent=1)) if given.try_out else write("switching", figures)


def built(folder: Path, many: int) -> Path:
    """The collection with its three versions, made where it is not there yet."""
    if (folder / "whole").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    rows = beir("scifact", "test").documents[:many]
    with gnomon.open(folder, settings=CollectionSettings(chunk_tokens=256)) as kb:
        kb.add([{"id": row["_id"], "title": row["title"], "text": row["text"]} for row in rows])
        others: tuple[dict[str, Any], ...] = (
            {"chunking": ChunkSettings(max_tokens=96, overlap=0)},
            {"retrieval": RetrievalSettings(fuse=FuseSettings(weights=(0.2, 0.8)))},
        )
        for other in others:
            name = kb.versions.add(kb.encoder, **other).name
            kb.versions.backfill(name)
            kb.versions.mark_ready(name)
            kb.versions.build_indexes(name)
    (folder / "whole").touch()
    return folder


def remembered(folder: Path) -> Table:
    """Vectors of queries and canaries, and what every version answers; queries that tell them all apart."""
    queries = list(beir("scifact", "test").queries.values())
    found: dict[str, dict[tuple[int, ...], str]] = {query: {} for query in queries}
    with gnomon.open(folder) as kb:
        encoder = kb.encoder
        texts: dict[Role, list[str]] = {"query": list(queries), "document": []}
        for role, text in CANARIES:
            texts[role].append(text)
        vectors = {
            (str(role), text): row
            for role, own in texts.items()
            for text, row in zip(own, encoder.encode(own, role=role).data, strict=True)
        }
        table = Table(encoder.space.to_json(), vectors, found)
    for version in VERSIONS:
        with gnomon.open(folder, version=version, encoder=Remembered(table)) as kb:
            for query in queries:
                found[query][answer(kb, query)] = version
    return Table(table.space, vectors, {q: own for q, own in found.items() if len(own) == len(VERSIONS)})


def answer(kb: gnomon.Collection, query: str) -> tuple[int, ...]:
    """The hits of a query."""
    return tuple(hit.chunk_id for hit in kb.search(query, k=K))


def under_load(folder: Path, table: Table, what: tuple[Any, int], *, rate: float) -> dict[str, Any]:
    """Switches while the callers search."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(CALLERS)]
    every = CALLERS / rate
    callers = [
        context.Process(target=call, args=(folder, table, (number, every), theirs))
        for number, (_, theirs) in enumerate(pipes)
    ]
    for caller in callers:
        caller.start()
    for ours, _ in pipes:
        ours.recv()  # it has searched, and waits
    for ours, _ in pipes:
        ours.send(time.monotonic() + 0.5)
    time.sleep(1.5)
    done = switches(folder, table, what[0], many=what[1])
    time.sleep(1.0)
    answers: list[list[Answer]] = []
    for ours, _ in pipes:
        ours.send("stop")
    for (ours, _), caller in zip(pipes, callers, strict=True):
        answers.append(ours.recv())
        caller.join()
    return summary(done, answers, rate)


def call(folder: Path, table: Table, when: tuple[int, float], *, pipe: Connection) -> None:
    """Search each time that a search is due, until told to stop; late ones at once, none is left out."""
    warnings.simplefilter("error")  # that a version could not be loaded is a failure too
    number, every = when
    queries, taken = list(table.answers), list[Answer]()
    with gnomon.open(folder, encoder=Remembered(table)) as kb:
        for query in queries[:50]:
            kb.search(query)
        pipe.send("ready")
        due = pipe.recv() + every * number / CALLERS
        at = number * len(queries) // CALLERS
        while not pipe.poll():
            time.sleep(max(0.0, due - time.monotonic()))
            query, began = queries[at % len(queries)], time.monotonic()
            try:
                of = table.answers[query].get(answer(kb, query), "mixed")
            except Exception as error:  # noqa: BLE001 - counted
                of = f"{type(error).__name__}: {error}"
            taken.append((due, began, time.monotonic(), of))
            due, at = due + every, at + 1
        pipe.recv()
        pipe.send(taken)


@dataclass(frozen=True)
class Made:
    """A switch or rollback: to which version, when it was committed at the latest, and milliseconds."""

    kind: str
    to: str
    at: float
    transaction_ms: float
    call_ms: float


def switches(folder: Path, table: Table, turns: Sequence[tuple[str, str]], *, many: int) -> list[Made]:
    """So many of them by a process that searches too, a quarter of a second apart."""
    made: list[Made] = []
    with gnomon.open(folder, encoder=Remembered(table)) as kb:
        (query, *_) = table.answers
        for _, to in turns:  # what is loaded once: the first search, and the first switch to each
            kb.search(query)
            kb.switch(to)
        while len(made) < many:
            kind, to = turns[len(made) % len(turns)]
            started = time.perf_counter()
            done = kb.switch(to) if kind == "switch" else kb.rollback()
            seconds, at = time.perf_counter() - started, time.monotonic()
            if done.to != to or table.answers[query].get(answer(kb, query)) != to:
                raise SystemExit(f"{kind} to {done.to}, where {to} was to be")
            made.append(Made(kind, to, at, 1000 * done.seconds, 1000 * seconds))
            time.sleep(PAUSE_S)
    return made


def summary(made: Sequence[Made], answers: Sequence[Sequence[Answer]], rate: float) -> dict[str, Any]:
    """Times in milliseconds; of the searches what they took from when they were due."""
    found: dict[str, Any] = {}
    for kind in ("switch", "rollback"):
        own = [each for each in made if each.kind == kind]
        found[kind] = {
            "transaction_ms": spread([each.transaction_ms for each in own]),
            "call_ms": spread([each.call_ms for each in own]),
        }
    if not answers:
        return found
    every = [answer for own in answers for answer in own]
    failed = [of for *_, of in every if of not in (*VERSIONS, "mixed")]
    begun, over = min(began for _, began, *_ in every), max(ended for *_, ended, _ in every)
    return {
        **found,
        "searches": len(every),
        "failed": len(failed),
        "first_failures": failed[:3],
        "mixed": sum(of == "mixed" for *_, of in every),
        "by_version": {name: sum(of == name for *_, of in every) for name in VERSIONS},
        "asked_a_second": rate,
        "answered_a_second": round(len(every) / (over - begun), 1),
        "search_ms": spread([1000 * (ended - began) for _, began, ended, _ in every]),
        "search_ms_since_due": spread([1000 * (ended - due) for due, _, ended, _ in every]),
        "all_callers_follow_after_ms": spread([1000 * seconds for seconds in followed(made, answers)]),
    }


def followed(made: Sequence[Made], answers: Sequence[Sequence[Answer]]) -> list[float]:
    """Seconds from each switch until the last search began, of any caller, that another version answered."""
    found = []
    for each, end in zip(made, [*(later.at for later in made[1:]), float("inf")], strict=True):
        stale = [
            began - each.at
            for own in answers
            for _, began, ended, of in own
            if each.at <= began and ended < end and of != each.to
        ]
        found.append(max(stale, default=0.0))
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """How they are distributed."""
    return {
        "median": round(statistics.median(values), 2),
        **{f"p{at}": round(float(np.percentile(values, at)), 2) for at in (95, 99)},
        "max": round(max(values), 2),
        "count": len(values),
    }


if __name__ == "__main__":
    main()
