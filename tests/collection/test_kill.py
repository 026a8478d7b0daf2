"""kill -9 at random moments of an index run: nothing is lost, and finishing gives the same hits."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection, CollectionSettings
from gnomon.collection.catalog.dialect import is_postgres
from gnomon.testing.toys import HashEncoder
from support.version_collections import catalog_at

ON_BOTH = True

encoder = partial(HashEncoder, 64, max_tokens=48)
RUN = """
import sys, time, gnomon
from gnomon.collection import CollectionSettings
from gnomon.testing.toys import HashEncoder

class Slow(HashEncoder):
    def encode(self, texts, *, role):
        time.sleep(0.0004 * len(texts))
        return super().encode(texts, role=role)

def tell(progress):
    print(progress.done, flush=True)

settings = CollectionSettings(chunk_tokens=24, chunk_overlap=0)
with gnomon.open(sys.argv[1], encoder=Slow(64, max_tokens=48), settings=settings) as kb:
    print("open", flush=True)
    kb.index([sys.argv[2]], progress=tell)
    print("finished", flush=True)
"""
QUERIES = ("item 7 of the list", "blue 12", "stone river 44", "green 3 wood")
SETTINGS = CollectionSettings(chunk_tokens=24, chunk_overlap=0)


def write_folder(folder: Path) -> None:
    folder.mkdir()
    words = ("blue", "green", "stone", "river", "wood")
    for number in range(500):
        lines = [f"Item {number} part {n} {words[(number + n) % 5]} of the long list {number * n}." for n in range(6)]
        (folder / f"{number:03d}.txt").write_text("\n\n".join(lines))
    rows = [json.dumps({"_id": f"row{n}", "text": f"Row {n} of the table {words[n % 5]} {n}."}) for n in range(1500)]
    (folder / "rows.jsonl").write_text("\n".join(rows))


def answers(kb: Collection) -> list[list[tuple[str, int, float]]]:
    return [[(h.document, h.start, round(h.score, 5)) for h in hits] for hits in kb.search_many(QUERIES, k=20)]


def check_consistent(place: str) -> int:
    """The catalog is sound, each chunk has its document, vector and journal entry. Returns its documents."""
    catalog = catalog_at(place)
    with catalog.read() as connection:

        def one(query: str) -> int:
            return int(connection.exec_driver_sql(query).scalar_one())

        if not is_postgres(connection):
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        lacking = "SELECT count(*) FROM chunks WHERE text_hash NOT IN (SELECT text_hash FROM vectors)"
        assert one(lacking) == 0
        net = "SELECT coalesce(sum(CASE op WHEN '+' THEN 1 ELSE -1 END), 0) FROM journal"
        assert one(net) == one("SELECT count(*) FROM chunks")
        documents = one("SELECT count(*) FROM documents")
    catalog.close()
    return documents


def killed_runs(kb: str, docs: Path, moments: int, seed: int) -> None:
    rng = random.Random(seed)
    acknowledged = 0
    for _ in range(moments):
        run = subprocess.Popen([sys.executable, "-c", RUN, kb, docs], stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        assert run.stdout.readline() == "open\n"
        time.sleep(rng.uniform(0.0, 0.45))
        run.send_signal(signal.SIGKILL)
        said = run.stdout.read().split()
        run.wait()
        done = [int(word) for word in said if word.isdigit()]
        acknowledged = max([acknowledged, *done])
        assert check_consistent(kb) >= acknowledged


@pytest.mark.parametrize("moments", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(new_place: Callable[[], str], tmp_path: Path, moments: int) -> None:
    write_folder(tmp_path / "docs")
    place = new_place()
    with gnomon.open(new_place(), encoder=encoder(), settings=SETTINGS) as calm:
        calm.index([tmp_path / "docs"])
        expected, status = answers(calm), calm.status()
    killed_runs(place, tmp_path / "docs", moments, seed=moments)
    with gnomon.open(place, encoder=encoder(), settings=SETTINGS) as kb:
        answers(kb)  # it can be searched as it is
        report = kb.index([tmp_path / "docs"])
        assert report.problems == ()
        assert answers(kb) == expected
        after = kb.status()
        assert (after.documents, after.chunks) == (status.documents, status.chunks)
    assert check_consistent(place) == status.documents
