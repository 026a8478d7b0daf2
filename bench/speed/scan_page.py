"""docs/scan.md, from the figures of `scan.py` and `scan_costs.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench.record import RESULTS

_HEAD = """# Ways to scan, compared

{vectors:,} MiniLM vectors of {dimensions} numbers (public package summaries, glosses and captions), and the
same pushed along one direction into narrow cones, as some models give. {queries} held-out texts are asked one
at a time on one thread; indexes are built on all cores (turbovec on one), from the vectors as they are.
RaBitQ takes their mean away by itself. Recall@10 is against exact search. Methods with short codes have their
340 best candidates scored by the full vectors; "alone" is the recall without that. Bytes are
the method's own: those with codes need the full vectors besides (1,536 bytes, or 768 in half precision);
HNSW and IVF hold them.
{circumstances}
Written by `bench/speed/scan.py` from `bench/results/scan.json`.
"""

_COSTS = """
## Costs by number of vectors

![Cost curves](scan-costs.png)

Rows are mapped from disk: vectors are added {part:,} at a time, and the index is saved and loaded after each
part, so that building holds one part in memory. Building uses all cores, searching one thread. The first
{real_vectors:,} vectors are real; the others are random mixes of two real ones with noise. "Peak" counts
pages of mapped files, which the system takes back when memory is short; "own" is what it cannot take back.
One added vector is appended; at 10,000 there are no codes yet. The picture shows full precision.
{circumstances}
Written by `bench/speed/scan_costs.py` from `bench/results/scan_costs.json`.
"""

_COLUMNS = ("method", "recall@10", "alone", "p50 ms", "p99 ms", "build s", "bytes a vector")
_TABLE = f"\n| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n"


def page(figures: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [_HEAD.format(circumstances=_circumstances(figures), **figures)]
    if not figures["turbovec"]:
        parts.append("\nturbovec was not installed.\n")
    for found in figures["sets"]:
        parts.append(f"\n## Mean cosine {found['mean_cosine']}\n{_TABLE}")
        parts.extend(_row(method) for method in found["methods"])
    return "".join(parts)


def _circumstances(figures: Mapping[str, Any]) -> str:
    machine = figures["machine"]
    load = machine["load_average_before"][0]
    busy = ", shared with other work, which shows in p99 and in build times" if load > machine["cores"] else ""
    return f"Measured on {machine['cores']} cores at a load of {load:.1f}{busy}."


def _row(method: Mapping[str, Any]) -> str:
    alone, size = method["recall_at_10_unrescored"], method["bytes_a_vector"]
    cells = [
        method["method"],
        f"{method['recall_at_10']:.3f}",
        "" if alone is None else f"{alone:.3f}",
        f"{method['query_ms']['p50']:.2f}",
        f"{method['query_ms']['p99']:.2f}",
        f"{method['build_s']:.1f}",
        f"{size:,.0f}" if size else "",
    ]
    return f"| {' | '.join(cells)} |\n"


def write_page() -> None:
    """Write docs/scan.md from what results there are."""
    text = page(_results("scan"))
    if (RESULTS / "scan_costs.json").is_file():
        text += costs(_results("scan_costs"))
    (RESULTS.parent.parent / "docs" / "scan.md").write_text(text)


def _results(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def costs(figures: Mapping[str, Any]) -> str:
    """The section on costs: a column for each size."""
    sizes = figures["cases"]

    def row(title: str, cells: list[str]) -> str:
        return f"| {' | '.join([title, *cells])} |\n"

    def each(title: str, form: str, *path: str) -> str:
        return row(title, [form.format(_at(size, *path)) for size in sizes])

    return (
        _COSTS.format(circumstances=_circumstances(figures), **figures)
        + "\n"
        + row("", [f"{size['vectors']:,}, {size['rows']}" for size in sizes])
        + f"|{'---|' * (len(sizes) + 1)}\n"
        + each("build, s", "{:.1f}", "build_s")
        + each("recall@10", "{:.3f}", "recall_at_10")
        + each("query for 10, p50 ms", "{:.2f}", "query_ms", "k_10", "p50")
        + each("query for 10, p99 ms", "{:.2f}", "query_ms", "k_10", "p99")
        + each("query for 1,000, p50 ms", "{:.2f}", "query_ms", "k_1000", "p50")
        + each("disk, MiB", "{:,.0f}", "disk_mib")
        + each("memory building, peak, MiB", "{:,.0f}", "build_peak_mib")
        + each("memory searching, peak, MiB", "{:,.0f}", "search_peak_mib")
        + each("memory searching, own, MiB", "{:,.0f}", "search_own_mib")
        + each("open, ms", "{:.0f}", "open_ms")
        + each("add one, ms", "{:.1f}", "add_one", "add_ms")
        + each("save it, ms", "{:.1f}", "add_one", "save_ms")
        + each("bytes that wrote", "{:,}", "add_one", "bytes_appended")
    )


def _at(figures: Mapping[str, Any], *path: str) -> Any:
    found: Any = figures
    for name in path:
        found = found[name]
    return found


if __name__ == "__main__":
    write_page()
