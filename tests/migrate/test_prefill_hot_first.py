"""The most-searched documents first: the order survives kills, nothing is embedded twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gnomon
from gnomon.collection import Collection, CollectionSettings
from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.encode.settings import available_cpus
from gnomon.migrate import Change, MigrateSettings, Migration, Prefill, follow, migrate, start, status
from gnomon.migrate.prefill import PrefillRun
from gnomon.migrate.query_log import load_query_log, most_searched_passages
from support.version_collections import WORDS, check_sound, documents, rows, text, two

DOCUMENTS, KILLS = 240, 4
HOT = list(range(DOCUMENTS - 1, 0, -4))
SETTINGS = MigrateSettings(without_proof=True, nice=0)


def unlike(number: int) -> str:
    """A text none of whose sentences is in another one."""
    words = random.Random(number)
    return ". ".join(f"Note n{number}t0 {' '.join(words.sample(WORDS, 7))}" for _ in range(6)) + "."


def asked(path: Path, often: dict[int, int]) -> str:
    """A log in which the texts of these numbers were asked for so often."""
    lines = [f"note n{number}t0" for number, times in often.items() for _ in range(times)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def settings(log: str, **more: float) -> MigrateSettings:
    return replace(SETTINGS, prefill=Prefill(hot_first=True, query_log=log), **more)


def embedded(kb: Collection, ids: list[int]) -> list[bool]:
    """Of the distinct texts of these passages, which ones have a vector of the second space."""
    found = rows(kb, "SELECT text_hash FROM vectors WHERE space_id = 2 AND role = 'document'")
    there, texts = {row[0] for row in found}, dict(rows(kb, "SELECT id, text_hash FROM chunks"))
    return [key in there for key in dict.fromkeys(texts[one] for one in ids if one in texts)]


def answers(folder: Path) -> list[object]:
    """What a new process finds."""
    queries = [unlike(number)[:60] for number in range(0, DOCUMENTS, 17)]
    with gnomon.open(folder) as kb:
        return [
            [(hit.document, hit.start, hit.end, round(hit.score, 5)) for hit in hits]
            for mode in ("dense", "lexical")
            for hits in kb.search_many(queries, k=20, mode=mode)
        ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_build_keeps_the_order(tmp_path: Path, static_model: Callable[..., Path]) -> None:
    made = CollectionSettings(model=str(static_model("one", seed=1)), chunk_tokens=16, chunk_overlap=0)
    with gnomon.open(tmp_path / "kb", settings=made) as kb:
        kb.add(documents({str(number): unlike(number) for number in range(DOCUMENTS)}))
        total = kb.status().chunks
    change = Change(str(static_model("two", seed=2)))
    copy = Path(shutil.copytree(tmp_path / "kb", tmp_path / "copy"))
    with gnomon.open(copy) as kb:
        assert migrate(kb, change.to, settings=SETTINGS).outcome == "switched"
    hot = settings(asked(tmp_path / "log.txt", {n: 1 + n % 5 for n in HOT}))
    slow = replace(hot, cpu_share=0.02 / available_cpus())
    order, there = list[int](), 0
    for _ in range(KILLS):
        started = start(tmp_path / "kb", change, slow)
        while (at := status(tmp_path / "kb")) is None or at.run != started.run or not at.texts_done:
            assert started.process.poll() is None
            time.sleep(0.01)
        os.kill(started.process.pid, signal.SIGKILL)
        started.process.wait()
        assert at.texts == total - there  # what was committed is not to be embedded again
        with np.load(tmp_path / "kb/migration/v2.order.npz") as kept:
            assert order in ([], kept["ids"].tolist())
            order = kept["ids"].tolist()
        with gnomon.open(tmp_path / "kb") as kb:
            done = embedded(kb, order)
            every = embedded(kb, [row[0] for row in rows(kb, "SELECT id FROM chunks")])
        there, before = sum(done), there
        assert before < there < len(order) < total
        assert done == sorted(done, reverse=True)  # from its beginning on
        assert sum(every) == there  # and nothing else
        check_sound(tmp_path / "kb")
    done_at_last = follow(start(tmp_path / "kb", change, hot), lambda _: None)
    assert (done_at_last.outcome, done_at_last.texts_done) == ("switched", total - there)
    assert answers(tmp_path / "kb") == answers(copy)
    assert not (tmp_path / "kb/migration/v2.order.npz").exists()


def test_an_interrupted_build_keeps_the_order(kb: Collection, tmp_path: Path) -> None:
    """Each run goes on in the order that the first one settled, whatever was written since."""
    kb.add(documents({f"more {number}": unlike(number) for number in range(200, 260)}))
    log = asked(tmp_path / "log.txt", {n: 1 + n % 3 for n in range(259, 200, -3)})
    encoder = two(salt="fresh")
    order = list[int]()
    for turn in range(3):
        stop_at = encoder.encoded + 1

        def interrupt(at: Migration, stop_at: int = stop_at) -> None:
            if encoder.encoded >= stop_at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            migrate(kb, encoder, settings=settings(log), on_state=interrupt)
        with np.load(tmp_path / "kb/migration/v2.order.npz") as kept:
            assert order in ([], kept["ids"].tolist())
            order = kept["ids"].tolist()
        done = embedded(kb, order)
        assert 0 < sum(done) == encoder.encoded < len(order)
        assert done == sorted(done, reverse=True)
        kb.add(documents({f"written in turn {turn}": unlike(300 + turn)}))
    kb.remove([hit.document for hit in kb.search("note n259t0", k=1)])  # one that waits, or not: it is gone
    done_at_last = migrate(kb, encoder, settings=settings(log))
    assert done_at_last.outcome == "switched"
    assert encoder.encoded <= kb.status().chunks + 6  # those of the document that went
    assert not (tmp_path / "kb/migration/v2.order.npz").exists()


def test_the_most_searched_document_comes_first(kb: Collection, tmp_path: Path) -> None:
    log = asked(tmp_path / "log.txt", {3: 1, 28: 5, 17: 2})
    ids = most_searched_passages(kb, load_query_log(log, None)).tolist()
    owners = dict(rows(kb, "SELECT c.id, d.key FROM chunks c JOIN documents d ON d.id = c.document_id"))
    documents_in_order = list(dict.fromkeys(owners[one] for one in ids))
    assert documents_in_order.index("28") < documents_in_order.index("3")
    assert len(ids) == len(set(ids))
    together = [owners[one] for one in ids]
    assert together == [key for key in documents_in_order for _ in range(together.count(key))]
    counts: dict[str, int] = {}
    for number, times in {3: 1, 28: 5, 17: 2}.items():  # against a slow twin
        for key in {hit.document for hit in kb.search(f"note n{number}t0", k=10)}:
            counts[key] = counts.get(key, 0) + times
    assert [counts[key] for key in documents_in_order] == sorted(counts.values(), reverse=True)


def test_the_state_describes_the_order(kb: Collection, tmp_path: Path) -> None:
    log = asked(tmp_path / "log.txt", dict.fromkeys(range(5), 2))
    heard: list[Migration] = []
    encoder = two(salt="fresh")
    done = migrate(kb, encoder, settings=settings(log), on_state=heard.append)
    assert done.outcome == "switched"
    assert done.order.endswith(f"passages first, of the documents that 10 queries of {log} find")
    assert done.texts_done == encoder.encoded  # nothing twice
    again = migrate(kb, two(salt="other"), settings=replace(SETTINGS, prefill=Prefill(hot_first=True)))
    assert again.order == "in the order in which documents were added: no queries tell which are searched most"


def test_judged_queries_give_the_order_without_changing_the_verdict(kb: Collection, tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text(
        "".join(f'{{"id": "q{n}", "query": "note n{n}t0 {text(n)[12:40]}", "relevant": ["{n}"]}}\n' for n in range(30))
    )
    gate = replace(SETTINGS.gate, queries=str(path), margin=0.2)
    how = replace(SETTINGS, gate=gate, without_proof=False, prefill=Prefill(hot_first=True))
    done = migrate(kb, two(), settings=how)
    assert done.outcome == "switched"
    assert "30 queries of the judged queries of queries" in done.order


def test_another_query_log_gives_another_order(kb: Collection, tmp_path: Path) -> None:
    kb.versions.add(two())
    (tmp_path / "kb/migration").mkdir()
    first, other = (dict.fromkeys(some, 1) for some in (range(3), range(20, 23)))
    orders = []
    for often in (first, other, other):
        log = asked(tmp_path / "log.txt", often)
        how, found = Prefill(hot_first=True, query_log=log), load_query_log(log, None)
        PrefillRun(kb, "v2", two(), how, found).run(lambda ids: orders.append(ids.tolist()), dict)
    assert orders[0] != orders[1] == orders[2]
    (tmp_path / "kb/migration/v2.order.npz").write_bytes(b"cut off")
    PrefillRun(kb, "v2", two(), how, found).run(lambda ids: orders.append(ids.tolist()), dict)
    assert orders[3] == orders[2]


def test_an_unreadable_query_log_fails_before_anything_is_built(kb: Collection, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile):
        migrate(kb, two(), settings=settings(str(tmp_path / "none")))
    (tmp_path / "empty").write_text("\n\n")
    with pytest.raises(InvalidInput, match="holds no query"):
        migrate(kb, two(), settings=settings(str(tmp_path / "empty")))
    assert [info.name for info in kb.versions.list()] == ["v1"]
