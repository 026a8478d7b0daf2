"""docs/callers.md, from the figures of `callers.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = """# Many callers

A collection of SciFact ({chunks:,} chunks), hybrid search, text in and ten hits out.

## During an index run

A search takes both indexes as they stand at one journal position, and what is put in later does not reach it.
Where little has been committed since (up to 200 chunks), the search puts that in itself, and finds it. Where
it is more, an index run is under way: the search is served from the last state at once, and a thread beside
brings the next one, in small slices that give way to searches. What is found is then about a second old
("behind" is the greatest age that was seen), or as old as that work takes. A process always finds what it
has itself put in, and nobody is shown a document that was deleted. A document that is replaced in the run may
be missing until its new text is in.

Vectors go to disk when some 2,000 have changed, when an index run ends, and on closing. A crash in between
loses none: they are taken from the catalog again.

One caller asks as fast as it is answered. The index run puts InsuranceQA's answers into the same collection,
which takes what processor there is; it is not made to wait. With all its vectors cached it only writes,
and the journal moves as fast as it ever does.

| state | queries a second | p50 ms | p99 ms | p50 to idle | p99 to idle | chunks come or gone | behind s |
|---|---|---|---|---|---|---|---|
"""
_NAMES = {
    "idle": "idle",
    "run_in_another_process": "index run in another process",
    "run_in_a_thread": "index run in a thread of the same process",
    "cached_run_in_another_process": "the same from cached vectors, in another process",
}
_RATES = """
## Several threads

Threads that ask as fast as they are answered. Their queries are encoded together: whoever comes while an
encoding runs shares the next one. Beside it, each encoded by itself.

| threads | queries a second | p50 ms | p99 ms | each by itself: a second | p50 ms | p99 ms |
|---|---|---|---|---|---|---|
"""


def page(figures: Mapping[str, Any], circumstances: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [_HEAD.format(chunks=figures["chunks"])]
    for name, shown in _NAMES.items():
        found = figures["query_ms"][name]
        cells = [
            shown, f"{found['per_second']:.0f}", f"{found['p50']:.1f}", f"{found['p99']:.1f}",
            f"{found['p50_to_idle']:.1f}", f"{found['p99_to_idle']:.1f}", f"{found['journal_moved']:,}",
            f"{found['behind_s']:.1f}",
        ]  # fmt: skip
        parts.append(_row(cells))
    parts.append(_RATES)
    rates = figures["throughput"]
    for count, shared in rates["shared"].items():
        alone = rates["each_by_itself"][count]
        quantiles = [
            f"{value:.{digits}f}"
            for found in (shared, alone)
            for value, digits in ((found["per_second"], 0), (found["p50"], 1), (found["p99"], 1))
        ]
        parts.append(_row([count, *quantiles]))
    many = rates["search_many_of_32"]["per_second"]
    parts.append(f"\nOne thread that asks 32 at once (`search_many`): {many:.0f} queries a second.\n")
    load = circumstances["load_average_before"][0]
    parts.append(
        f"\nMeasured on {circumstances['cores']} cores; the load when it ended was {load:.1f}.\n"
        "Written by `bench/speed/callers.py` from `bench/results/callers.json`.\n"
    )
    return "".join(parts)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
