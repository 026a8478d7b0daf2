"""Metrics that are read when they are asked for: of collections, of their monitoring, and of the worker processes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gnomon.collection.catalog import queries, schema
from gnomon.collection.collection import Collection
from gnomon.core.errors import GnomonError
from gnomon.monitor.baseline import load_history
from gnomon.serve.observability.metrics import FOLDER_VARIABLE, worker_ids

_CHECK_STATES = ("ok", "alarm")


class CollectionMetrics(Collector):
    """Counts, positions and the latest monitoring run of collections, by their names in addresses."""

    def __init__(self, collections: Iterable[tuple[str, Collection]]) -> None:
        self._collections = tuple(collections)

    def collect(self) -> Iterator[Metric]:
        """One family a figure. A collection that cannot be read has none but `gnomon_collection_up` 0."""
        families = _families()
        for name, kb in self._collections:
            try:
                _add_collection(families, name, kb)
                up = 1
            except GnomonError:
                up = 0
            families["up"].add_metric([name], up)
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    def family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"gnomon_{name}", text, labels=("collection", *labels))

    return {
        "up": family("collection_up", "1 where the collection can be read."),
        "documents": family("documents", "Documents."),
        "chunks": family("chunks", "Chunks of the live version."),
        "versions": family("versions", "Versions by state.", "state"),
        "live": family("live_version", "1 for the version that serves in this process.", "version", "space"),
        "position": family("journal_position", "The journal's last entry for the live version."),
        "lag": family("index_lag", "Journal entries that the indexes of this process are behind."),
        "monitored": family("monitor_timestamp_seconds", "When the latest monitoring run was, Unix time."),
        "alarm": family("monitor_alarm", "1 where a check of the latest monitoring run alarms.", "check"),
        "p": family("monitor_p_value", "The p-value of a test of the latest monitoring run.", "test"),
        "golden": family("monitor_golden_mean", "Mean of the golden queries: now, and in the baseline.", "of"),
        "recall": family("monitor_recall", "Recall of the index against exact search."),
        "latency": family("monitor_latency_ms", "Milliseconds of a timed search.", "quantile"),
    }


def _add_collection(families: dict[str, GaugeMetricFamily], name: str, kb: Collection) -> None:
    # What may fail comes first, so that a collection has all its figures or none.
    internals = kb.internals
    served, head = internals.serving.current()
    version, lag = served.version, served.derived.lag(head)
    states = Counter(each.state for each in kb.versions.list())
    with internals.catalog.read() as connection:
        documents = queries.count(connection, schema.documents)
        chunks = queries.count(connection, schema.chunks, schema.chunks.c.chunking_id == version.chunking_id)
    families["documents"].add_metric([name], documents)
    families["chunks"].add_metric([name], chunks)
    families["position"].add_metric([name], head.seq)
    families["live"].add_metric([name, version.name, version.space.fingerprint[:12]], 1)
    if lag is not None:
        families["lag"].add_metric([name], lag)
    for state, count in states.items():
        families["versions"].add_metric([name, state], count)
    _add_monitoring(families, name, internals.folder)


def _add_monitoring(families: dict[str, GaugeMetricFamily], name: str, folder: Path) -> None:
    history = load_history(folder)
    if not history:
        return
    run = history[-1]
    families["monitored"].add_metric([name], datetime.fromisoformat(run["at"]).timestamp())
    for check, state in run.get("states", {}).items():
        if state in _CHECK_STATES:
            families["alarm"].add_metric([name, check], state == "alarm")
    for test, value in run.get("p", {}).items():
        families["p"].add_metric([name, test], value)
    golden = run.get("golden") or {}
    for of in ("mean", "base"):
        if of in golden:
            families["golden"].add_metric([name, of], golden[of])
    if run.get("recall") is not None:
        families["recall"].add_metric([name], run["recall"])
    for quantile, value in (run.get("latency") or {}).items():
        families["latency"].add_metric([name, quantile], value)


class ProcessMetrics(Collector):
    """Memory, processor time and open files: of this process, or summed over the worker processes."""

    def collect(self) -> Iterator[Metric]:
        """The figures of prometheus_client's own collector that can be added up, and the number of processes."""
        folder = os.environ.get(FOLDER_VARIABLE)
        pids = [os.getpid(), *(worker_ids(Path(folder)) if folder else ())]
        sums: dict[str, Metric] = {}
        alive = 0
        for pid in dict.fromkeys(pids):
            figures = [each for each in _figures(pid) if each.name in _ADDED]
            alive += bool(figures)
            for each in figures:
                value = sums[each.name].samples[0].value if each.name in sums else 0.0
                family = CounterMetricFamily if each.type == "counter" else GaugeMetricFamily
                sums[each.name] = family(each.name, each.documentation, value=value + each.samples[0].value)
        yield GaugeMetricFamily("gnomon_processes", "Processes that serve.", value=alive)
        yield from sums.values()


_ADDED = frozenset(("process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"))


def _figures(pid: int) -> list[Metric]:
    return list(ProcessCollector(pid=lambda: pid, registry=None).collect())
