"""Embedding by two workers of a Ray cluster beside one process with two threads; then with a node that is killed.

    python -m bench ray_run [--every 4] [--repeats 2]

Both index the same passages (SciFact and the Git manual) with the default model. The rate is that of the steady state:
passages committed between the first and the last commit. What comes before the first commit is start-up: of Ray, of its
workers, and of the model in each. The last run is on two nodes of one core, one of which is killed when a third is
done; its vectors are compared with those of the single process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.record import spread, write
from bench.speed.index_run import sources

RUN = """
import json, os, sys, time
import gnomon
from gnomon.collection import CollectionSettings, IndexOptions
from gnomon.collection.settings import RaySettings

source, target, how = sys.argv[1:]
cluster = node = None
if how == "killed":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 256 << 20})
    node = cluster.add_node(num_cpus=1, object_store_memory=256 << 20)
    cluster.wait_for_nodes()
address = cluster.address if cluster else "auto"
options = IndexOptions(ray=None if how == "single" else RaySettings(address, workers=2))
commits = []
started = time.perf_counter()

def tell(progress):
    global node
    chunks = progress.metrics.get("chunks", 0)
    if chunks and (not commits or chunks > commits[-1][1]):
        commits.append((time.perf_counter() - started, chunks))
    if node is not None and progress.total and progress.done > progress.total / 3:
        cluster.remove_node(node, allow_graceful=False)
        node = None

with gnomon.open(target, settings=CollectionSettings(threads=2)) as kb:
    kb.encoder  # loaded, as a server has it
    started = time.perf_counter()
    report = kb.index(source, options=options, progress=tell)
    seconds = time.perf_counter() - started
if cluster:
    cluster.shutdown()
(first, before), (last, after) = commits[0], commits[-1]
print(json.dumps({
    "passages": report.chunks_added, "embedded": report.embedded, "seconds": seconds, "start_up": first,
    "rate": (after - before) / max(last - first, 1e-9), "encoder_seconds": report.embed_seconds,
    "killed": how == "killed" and node is None,
}))
"""
COMPARE = """
import json, sys
import numpy as np
import gnomon

def contents(folder):
    with gnomon.open(folder) as kb:
        rows = kb.to_arrow("chunks", vectors=True).to_pylist()
    return {(row["document"], row["ordinal"]): np.array(row["vector"], dtype="f8") for row in rows}, len(rows)

(one, count), (other, of_other) = (contents(folder) for folder in sys.argv[1:])
same = one.keys() == other.keys() and count == of_other == len(one)
cosines = [float(one[key] @ other[key] / np.linalg.norm(one[key]) / np.linalg.norm(other[key])) for key in one]
exact = sum(bool(np.array_equal(one[key], other[key])) for key in one)
print(json.dumps({"same_passages": same, "bit_identical": exact, "of": count, "lowest_cosine": min(cosines)}))
"""
OWN_RAY = {"RAY_ADDRESS": "local", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
"""Of the clusters that run on the machine already, none is used; workers have the priority that one process has."""


def measured(script: str, *arguments: str) -> dict[str, Any]:
    """What a script prints, with the CPU seconds of all processes of its session, as they were last seen."""
    started = [sys.executable, "-c", script, *arguments]
    seconds: dict[int, float] = {}
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(started, stdout=out, env=os.environ | OWN_RAY, start_new_session=True)
        while process.poll() is None:
            seconds |= cpu_seconds(process.pid)
            time.sleep(0.2)
        if process.returncode:
            raise SystemExit(f"{arguments} ended with {process.returncode}")
        out.seek(0)
        return {**json.loads(out.read().splitlines()[-1]), "cpu_s": round(sum(seconds.values()), 1)}


def cpu_seconds(session: int) -> dict[int, float]:
    """By process. (The sums that the kernel keeps of children lack those of Ray's servers.)"""
    found = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = each.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[3]) == session:
            found[int(each.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--every", type=int, default=4, help="take every so many pages and rows")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources(folder / "docs", options.every)
        runs: dict[str, list[dict[str, Any]]] = {"single": [], "ray": []}
        for turn in range(options.repeats):
            for how, own in runs.items():
                own.append(measured(RUN, str(folder / "docs"), str(folder / f"{how}{turn}"), how))
                print(how, own[-1], flush=True)
        killed = measured(RUN, str(folder / "docs"), str(folder / "killed"), "killed")
        compared = measured(COMPARE, str(folder / "single0"), str(folder / "killed"))
        intact = measured(COMPARE, str(folder / "single0"), str(folder / "ray0"))
    figures = {
        how: {
            "passages_s": spread([one["rate"] for one in own], 1),
            "seconds": spread([one["seconds"] for one in own], 1),
            "start_up_s": spread([one["start_up"] for one in own], 1),
            "cpu_s": spread([one["cpu_s"] for one in own], 1),
        }
        for how, own in runs.items()
    }
    ratios = [ray["rate"] / one["rate"] for one, ray in zip(runs["single"], runs["ray"], strict=True)]
    about = {"every": options.every, "passages": runs["single"][0]["passages"]}
    write(
        "ray_run",
        {**about, "runs": figures, "ratio": spread(ratios), "vectors": intact, "killed": {**killed, **compared}},
    )


if __name__ == "__main__":
    main()
