"""The page docs/peers.md, from bench/results/peers.json; every sentence about who wins follows the figures.

Where peers.json is of a part of the set, peers_whole.json beside it, if there, gives a second part.

python -m bench peers_page
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.peers.environments import PEERS, ROOT

_OPENING = """# Beside other libraries

Written by `make bench-peers` from `bench/results/peers.json`; do not edit.

The same corpus, the same model ({model}, from one local folder) and the same machine ({cores} cores,
{memory_gib} GiB, no GPU), one library after the other, each in an environment of its own and a fresh process
a run. Runs of each: {runs} (medians where there are several).

- **Index**: from texts in memory to an index saved on disk, with the texts, model already loaded
  (gnomon loads its model within this time, and reads the texts from a file; words are indexed too where
  hybrid search is listed).
- **Query**: text in, ten hits out, one at a time, after 20 to warm up.
- **nDCG@10**: by ir-measures, from the order of the ten hits. **Peak RSS**: VmHWM. **CPU**: all threads.
- **Install**: site-packages without pip and compiled caches; torch is a build for CPUs only.
- "x" after a figure: as many times gnomon's.

Most of indexing is the encoder's work: the libraries that run the same torch model in fp32 differ by their
batches, by how much of a text they read and by what they do besides. gnomon encodes with OpenVINO, in bf16
where the CPU has it; how much of its lead is bf16 was not taken apart here. `bench/speed/encode.py` compares the
two encoders alone, vectors and speed, on one thread each.
"""
_CORPUS = """
## {set}: {documents} documents, {queries} judged queries
"""
_SUBSET = """
A part of the set only: its first documents, with some of the queries they answer and what is judged of them.
So few documents make nDCG@10 high and comparable with nothing outside this table, let what a library costs
once weigh more, and show nothing of how it grows. `make bench-peers` without options measures the whole set.
"""
_NOISE = """
The machine was shared with other work while this ran: the load average before each peer was {low} to {high}
on {cores} cores. Wall times and latencies are inflated by that, unevenly. CPU seconds are moved less, but
threads of torch may wait by spinning, which on a busy machine counts against all that encode with torch.
Compare CPU seconds of indexing first, and read differences of less than a third as none. Query times here
are no measure of the libraries, so no ratios are given: with a core taken by other work, each small operation
of torch on two threads was seen to take 5 ms (presumably waiting for its other half): half a second a query.
It comes and goes, and hit some libraries and not others; Qdrant Edge's own search, timed by itself on 20
documents, took 0.2 to 15 ms of such a query. `--one-core` should be free of it.
"""
_AHEAD = """
Other work ran on the machine meanwhile (load averages of {low} to {high} on {cores} cores) at a lower
priority: the processes measured had a niceness of {niceness}, so that the scheduler gave them nearly all of
the processor. Caches and memory bandwidth were shared. Read differences of less than a fifth as none.
"""
_HEAD = (
    "library",
    "index CPU s",
    "index wall s",
    "peak RSS MiB",
    "disk MiB",
    "install MB",
    "packages",
    "load",
)
_QUERY = ("library", "mode", "CPU ms a query", "p50 ms", "p99 ms", "nDCG@10")
_ORDER = {peer.name: peer for peer in PEERS}


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def ratio(value: float, base: float | None) -> str:
    """A figure with its ratio to gnomon's."""
    return f"{value:g}" if not base else f"{value:g} ({value / base:.1f}x)"


def costs(peers: Mapping[str, Any], part: str) -> list[list[str]]:
    """What indexing takes, a row a library."""
    ours = peers.get("gnomon", {}).get(part, {})
    rows = []
    for name, peer in peers.items():
        if part not in peer:
            continue
        own = {} if name == "gnomon" else ours
        figures = [
            ratio(peer[part][key], own.get(key)) for key in ("index_cpu_s", "index_wall_s", "peak_rss_mib", "disk_mib")
        ]
        install = peer["install"]
        size = [f"{install['mib'] * 1.048576:.0f}", str(install["packages"])]
        rows.append([peer["title"], *figures, *size, f"{peer[part]['load_average_before']:g}"])
    return rows


def undisturbed(figures: Mapping[str, Any]) -> bool:
    """Whether times can be believed: a quiet machine, or a priority well above that of all else."""
    return bool(figures["load_average_before"] <= 1 or figures.get("niceness", 0) <= -10)


def queries(peers: Mapping[str, Any], part: str) -> list[list[str]]:
    """What a query takes and finds, a row a library and mode."""
    rows = []
    for mode in ("dense", "hybrid"):
        base = peers.get("gnomon", {}).get(part, {})
        ours = base.get("query", {}).get(mode, {}) if base and undisturbed(base) else {}
        for name, peer in peers.items():
            if found := peer.get(part, {}).get("query", {}).get(mode):
                own = {} if name == "gnomon" else ours
                times = [ratio(found[key], own.get(key)) for key in ("cpu_ms", "p50_ms", "p99_ms")]
                rows.append([peer["title"], mode, *times, f"{found['ndcg_at_10']:.4f}"])
    return rows


def flat(peer: Mapping[str, Any], part: str) -> dict[str, float]:
    """The figures that can be won, less being better; quality turned round."""
    figures = peer[part]
    found = {
        "CPU seconds to index": figures["index_cpu_s"],
        "peak memory": figures["peak_rss_mib"],
        "disk": figures["disk_mib"],
        "size of the installation": peer["install"]["mib"],
    }
    for mode, query in figures["query"].items():
        if undisturbed(figures):
            found[f"CPU of a {mode} query"] = query["cpu_ms"]
            found[f"p50 of a {mode} query"] = query["p50_ms"]
        found[f"nDCG@10, {mode}"] = -query["ndcg_at_10"]
    return found


def wins(peers: Mapping[str, Any], part: str) -> list[str]:
    """Where each library does better than gnomon."""
    if part not in peers.get("gnomon", {}):
        return []
    ours = flat(peers["gnomon"], part)
    lines = []
    for name, peer in peers.items():
        if name == "gnomon" or part not in peer:
            continue
        better = [
            f"{what} ({abs(value):g} against {abs(ours[what]):g})"
            for what, value in flat(peer, part).items()
            if what in ours and value < ours[what]
        ]
        lines.append(f"- **{peer['title']}** beats gnomon in: {'; '.join(better) or 'nothing measured here'}.")
    return lines


def remarks(peers: Mapping[str, Any]) -> list[str]:
    """What each does by default, its versions, and why one has no figures."""
    lines = []
    for name, peer in peers.items():
        versions = ", ".join(f"{package} {version}" for package, version in peer.get("versions", {}).items())
        line = f"- **{peer['title']}**: {_ORDER[name].remark}. ({versions or 'no versions'})"
        if "could_not_be_run_here" in peer:
            line += f" Could not be run here: {peer['could_not_be_run_here']}."
        lines.append(line)
    return lines


def measurements(record: Mapping[str, Any]) -> list[str]:
    """The tables of one file of results."""
    peers, text = record["peers"], [_CORPUS.format(**record)]
    if record["subset"]:
        text.append(_SUBSET)
    for part, title in (("all_cores", "all cores"), ("one_core", "one core")):
        figures = [peer[part] for peer in peers.values() if part in peer]
        if not figures:
            continue
        loads = [own["load_average_before"] for own in figures]
        niceness = max(own.get("niceness", 0) for own in figures)
        noise = (_AHEAD if niceness <= -10 else _NOISE).format(
            low=min(loads), high=max(loads), cores=record["machine"]["cores"], niceness=niceness
        )
        text += [
            f"\n### On {title}\n",
            table(_HEAD, costs(peers, part)),
            "",
            table(_QUERY, queries(peers, part)),
        ]
        text += [noise if max(loads) > 1 else "", f"Where a peer wins, on {title}:\n"]
        text += ["\n".join(wins(peers, part)), ""]
    return text


def write_page(record: Mapping[str, Any], path: Path) -> None:
    """The whole page, in Markdown, with results of the whole set that have a file of their own."""
    text = [_OPENING.format(**{**record["machine"], **record}), *measurements(record)]
    more = ROOT / "bench" / "results" / "peers_whole.json"
    if record["subset"] and more.exists():
        text += measurements(json.loads(more.read_text()))
    text += ["\n## What each does by default\n", "\n".join(remarks(record["peers"])), ""]
    path.write_text(re.sub("\n{3,}", "\n\n", "\n".join(text)))


if __name__ == "__main__":
    write_page(json.loads((ROOT / "bench/results/peers.json").read_text()), ROOT / "docs" / "peers.md")
