"""What docs/peers.md is made of, from peers.json; every sentence about who wins follows the figures.

Where peers.json is of a part of the set, peers_whole.json beside it, if there, gives a second part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.peers.environments import PEERS

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


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """Tables and sentences of each set and each number of cores."""
    record = results("peers")
    records = [record]
    if record["subset"] and (whole := results("peers_whole")):
        records.append(whole)
    return {
        "record": record,
        "records": [(one, measurements(one["peers"])) for one in records],
        "cost_heads": _HEAD,
        "query_heads": _QUERY,
        "remarks": remarks(record["peers"]),
    }


def measurements(peers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was measured on all cores and on one."""
    parts = []
    for part, title in (("all_cores", "all cores"), ("one_core", "one core")):
        figures = [peer[part] for peer in peers.values() if part in peer]
        if figures:
            loads = [own["load_average_before"] for own in figures]
            about = {"title": title, "quietest": min(loads), "busiest": max(loads)}
            about["niceness"] = max(own.get("niceness", 0) for own in figures)
            rows = {"costs": costs(peers, part), "queries": queries(peers, part), "wins": wins(peers, part)}
            parts.append(about | rows)
    return parts


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
