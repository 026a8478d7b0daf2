"""Reading and embedding by a cluster: the same catalog as by one process, whatever dies on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gnomon
from gnomon.collection import Collection, CollectionSettings
from gnomon.collection.settings import IndexOptions, RaySettings
from gnomon.core.errors import InvalidInput, ServerUnreachable
from support.counting_encoder import MODEL, counting_encoder, encoded

SETTINGS = CollectionSettings(model=MODEL, chunk_tokens=24, chunk_overlap=0)
RUN = """
import os, sys, threading, gnomon
from collections import Counter
from gnomon.collection import CollectionSettings
from gnomon.collection.settings import IndexOptions, RaySettings

kb_path, docs, address, moment, number, delay, keep = sys.argv[1:]
events = Counter()
def tell(progress):
    event = "commit" if progress.stage == "embedding" and progress.unit == "file" else progress.stage
    events[event] += 1
    if f"{event} {events[event]}" == moment:
        send = threading.Timer(float(delay), os.killpg, (0, int(number)))
        send.start() if float(delay) else os.killpg(0, int(number))

settings = CollectionSettings(model="counting:64", chunk_tokens=24, chunk_overlap=0)
with gnomon.open(kb_path, settings=settings) as kb:
    ray = RaySettings(address, keep_shards=bool(int(keep)))
    report = kb.index(docs, options=IndexOptions(ray=ray), progress=tell)
    print("interrupted" if report.interrupted else "finished", flush=True)
    said = [one.reason for one in report.problems if one.kind not in ("unknown tokens", "boilerplate")]
    print(report.embedded, report.cached, report.indexed, *said, sep="\\n")
"""


def write_folder(folder: Path, files: int = 60) -> None:
    folder.mkdir()
    words = ("blue", "green", "stone", "river", "wood")
    for number in range(files):
        lines = [f"Item {number} part {n} {words[(number + n) % 5]} of the long list {number * n}." for n in range(30)]
        lines.append("Item that every file has at its end, word for word, as a notice of copyright is wont to be here.")
        (folder / f"{number:03d}.txt").write_text("\n\n".join(lines))
    rows = [json.dumps({"_id": f"row{n}", "text": f"Item of the table, {words[n % 5]} {n}."}) for n in range(2000)]
    (folder / "rows.jsonl").write_text("\n".join(rows))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with counting_encoder(tmp_path_factory.mktemp("plugin")) as logs:
        yield logs


@pytest.fixture
def counted(logs: Path) -> Path:
    for log in logs.iterdir():
        log.unlink()
    return logs


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "docs"
    write_folder(folder)
    return folder


@pytest.fixture(scope="module")
def expected(docs: Path, logs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process makes of the documents."""
    with gnomon.open(tmp_path_factory.mktemp("one") / "kb", settings=SETTINGS) as kb:
        kb.index(docs)
        return contents(kb)


@pytest.fixture(scope="module")
def own_ray(logs: Path) -> Iterator[Path]:
    """No cluster of this machine is seen, and nothing of one that is started here is left."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # short, as the paths of sockets are
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": "local", "RAY_TMPDIR": str(folder)}
    os.environ |= {"COUNTED_SLEEP_S": "0.2", "RAY_worker_niceness": "0"}
    yield folder
    left = servers(folder)
    shutil.rmtree(folder, ignore_errors=True)
    assert left == []


@pytest.fixture(scope="module")
def cluster(own_ray: Path) -> Iterator[Any]:
    """Two nodes of one core."""
    from ray.cluster_utils import Cluster

    store = 100 << 20
    head = {"num_cpus": 1, "object_store_memory": store, "include_dashboard": False, "include_log_monitor": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(num_cpus=1, object_store_memory=store, include_log_monitor=False)
    made.wait_for_nodes(timeout=200)
    yield made
    made.shutdown()


def servers(folder: Path) -> list[str]:
    """The command lines of Ray's own servers that run in a folder, once they had the time to end."""
    over = time.monotonic() + 60
    while True:
        lines = []
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                lines.append(each.read_bytes().decode(errors="replace"))
        found = [line for line in lines if str(folder) in line and ("raylet" in line or "gcs_server" in line)]
        if not found or time.monotonic() > over:
            return found
        time.sleep(0.2)


def contents(kb: Collection) -> dict[str, Any]:
    """Every passage by document and place, with its vector."""
    table = kb.to_arrow("chunks", vectors=True).to_pylist()
    rows = {(row["document"], row["ordinal"]): (row["text"], np.array(row["vector"])) for row in table}
    assert len(rows) == len(table)
    return rows


def start(
    kb: Path,
    docs: Path,
    cluster: Any,
    *,
    moment: str = "never",
    send: signal.Signals = signal.SIGKILL,
    delay: float = 0.0,
    keep: bool = False,
) -> subprocess.Popen[str]:
    """A run that is sent a signal some seconds after the moment."""
    address = cluster.address if cluster else "auto"
    arguments = [str(kb), str(docs), address, moment, str(int(send)), str(delay), str(int(keep))]
    run = [sys.executable, "-c", RUN, *arguments]
    return subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finished(process: subprocess.Popen[str]) -> list[str]:
    """What a run that came to its end says: embedded, cached, files, problems."""
    out, said = process.communicate(timeout=290)
    assert "finished" in out, said[-3000:]
    return out.partition("finished\n")[2].splitlines()


def require_same(kb_path: Path, expected: dict[str, Any]) -> None:
    """The same passages, none lacking and none double, with vectors that are equal bit by bit."""
    with gnomon.open(kb_path, settings=SETTINGS) as kb:
        found = contents(kb)
        assert kb.search("Item 7 part 3 river", k=3)
    assert found.keys() == expected.keys()
    for key, (text, vector) in expected.items():
        assert found[key][0] == text
        assert np.array_equal(found[key][1], vector)


def shards(kb: Path) -> list[Path]:
    return sorted(kb.glob("shards/*/*.shard"))


@pytest.mark.slow
def test_a_cluster_makes_what_one_process_makes_and_each_text_once(
    tmp_path: Path, docs: Path, cluster: Any, counted: Path, expected: dict[str, Any]
) -> None:
    embedded, cached, files, *problems = finished(start(tmp_path / "kb", docs, cluster))
    require_same(tmp_path / "kb", expected)
    counts = encoded(counted)
    assert set(counts.values()) == {1}
    assert int(embedded) == len(counts) == len({text for text, _ in expected.values()})
    assert (int(embedded) + int(cached), int(files), problems) == (len(expected), 61, [])
    assert len(list(counted.glob("*.log"))) > 1  # several workers
    assert shards(tmp_path / "kb") == []


@pytest.mark.slow
def test_a_run_goes_on_where_its_driver_was_killed(
    tmp_path: Path, docs: Path, cluster: Any, counted: Path, expected: dict[str, Any]
) -> None:
    killed = start(tmp_path / "kb", docs, cluster, moment="commit 2")
    killed.communicate(timeout=290)
    assert killed.returncode == -signal.SIGKILL
    left, before = shards(tmp_path / "kb"), set(encoded(counted))
    assert left
    finished(start(tmp_path / "kb", docs, cluster))
    require_same(tmp_path / "kb", expected)
    twice = [text for text, times in encoded(counted).items() if times > 1]
    # Workers whose driver is gone are ended in the middle of a shard: what they had not written is lost.
    assert len(twice) <= 3 * 1024
    assert not before.difference(encoded(counted))
    assert shards(tmp_path / "kb") == []


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_batch_only(
    tmp_path: Path, docs: Path, cluster: Any, counted: Path, expected: dict[str, Any]
) -> None:
    (counted / "CRASH").touch()
    finished(start(tmp_path / "kb", docs, cluster))
    assert not (counted / "CRASH").exists()
    require_same(tmp_path / "kb", expected)
    assert set(encoded(counted).values()) == {1}  # what died had not come to its end


@pytest.mark.slow
def test_damaged_shards_are_named_and_made_again_alone(
    tmp_path: Path, docs: Path, cluster: Any, counted: Path, expected: dict[str, Any]
) -> None:
    kb = tmp_path / "kb"
    finished(start(kb, docs, cluster, keep=True))
    kept = shards(kb)
    kept[0].write_bytes(kept[0].read_bytes()[:-100])
    flipped = bytearray(kept[1].read_bytes())
    flipped[len(flipped) // 2] ^= 1
    kept[1].write_bytes(flipped)
    with gnomon.open(kb, settings=SETTINGS) as opened:
        opened.remove(opened.ids())
        with opened.internals.catalog.write() as connection:
            connection.exec_driver_sql("DELETE FROM vectors WHERE role = 'document'")
    before = encoded(counted)
    _, _, _, *problems = finished(start(kb, docs, cluster))
    assert len([said for said in problems if "cut short or changed" in said]) == 2
    assert all(any(path.name in said for said in problems) for path in kept[:2])
    require_same(kb, expected)
    again = encoded(counted) - before
    assert 0 < len(again) <= 2 * 1024
    assert len(again) < len(before) / 2


@pytest.mark.slow
def test_a_model_of_another_space_on_a_worker_ends_the_run(
    tmp_path: Path, docs: Path, cluster: Any, counted: Path
) -> None:
    (counted / "SALT").touch()
    process = start(tmp_path / "kb", docs, cluster)
    out, said = process.communicate(timeout=290)
    assert "finished" not in out
    assert "SpaceMismatch" in said
    assert "as on the machine that commits" in said
    (counted / "SALT").unlink()


@pytest.mark.slow
def test_a_node_that_is_killed_costs_its_batches_only(
    tmp_path: Path, docs: Path, cluster: Any, counted: Path, expected: dict[str, Any]
) -> None:
    process = start(tmp_path / "kb", docs, cluster)
    over = time.monotonic() + 200
    while len(encoded(counted)) < 600 and time.monotonic() < over:
        time.sleep(0.2)
    node = sorted(cluster.worker_nodes, key=lambda node: node.unique_id)[0]
    cluster.remove_node(node, allow_graceful=False)
    finished(process)
    require_same(tmp_path / "kb", expected)
    again = sum(times - 1 for times in encoded(counted).values())
    assert again <= 3 * 1024


def require_interrupted(process: subprocess.Popen[str]) -> None:
    out, said = process.communicate(timeout=290)
    assert "interrupted" in out, said[-2000:]
    assert process.returncode == 0
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "delay"), [("embedding 1", 0.5), ("commit 2", 0.0)])
def test_control_c_ends_a_run_and_the_next_one_goes_on(
    tmp_path: Path, docs: Path, cluster: Any, counted: Path, expected: dict[str, Any], moment: str, delay: float
) -> None:
    require_interrupted(start(tmp_path / "kb", docs, cluster, moment=moment, send=signal.SIGINT, delay=delay))
    with gnomon.open(tmp_path / "kb", settings=SETTINGS) as kb:
        kb.index(docs)
    require_same(tmp_path / "kb", expected)


@pytest.mark.slow
def test_control_c_while_a_cluster_starts_leaves_none(
    tmp_path: Path, docs: Path, own_ray: Path, counted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_ray / "2"
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    require_interrupted(start(tmp_path / "kb", docs, None, moment="connecting to Ray 1", send=signal.SIGINT, delay=1.0))
    assert list(folder.rglob("*.log"))
    assert servers(folder) == []


def test_what_a_cluster_cannot_do_is_said_before_anything_is_started(tmp_path: Path, logs: Path) -> None:
    (tmp_path / "a.txt").write_text("Item 1")
    with gnomon.open(tmp_path / "kb", settings=SETTINGS) as kb:
        for address, kind in (("127.0.0.1:1", ServerUnreachable), ("nonsense", InvalidInput)):
            with pytest.raises(kind, match="Ray"):
                kb.index(tmp_path / "a.txt", options=IndexOptions(ray=RaySettings(address)))
    with pytest.raises(InvalidInput, match="workers"):
        RaySettings(workers=0)
