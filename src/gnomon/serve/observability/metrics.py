"""Metrics of a server, as Prometheus reads them.

Labels take few values: templates of addresses, names of stages, the collections that are served. Several worker
processes keep theirs in files of one folder (prometheus_client's multiprocess mode), and whichever of them is asked
adds them up.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
UNKNOWN_ROUTE = "unmatched"
_METHODS = frozenset(("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"))
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class Metrics:
    """The metrics of this process. An `Observer`: stages and counts of the library go into it. Thread-safe."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "gnomon_http_requests", "Requests answered.", ("method", "route", "status"), registry=own
        )
        self._request_seconds = Histogram(
            "gnomon_http_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=own,
        )
        self._stage_seconds = Histogram(
            "gnomon_stage_seconds", "Seconds of a request's stages.", ("stage",), buckets=_SECONDS, registry=own
        )
        self._batches = {
            "texts": Histogram("gnomon_batch_texts", "Texts a model's batch.", buckets=_TEXTS, registry=own),
            "tokens": Histogram("gnomon_batch_tokens", "Tokens a model's batch.", buckets=_TOKENS, registry=own),
        }
        self._cache = Counter(
            "gnomon_cache_requests", "What was looked up in a cache.", ("cache", "result"), registry=own
        )
        self._queues = [
            Gauge(f"gnomon_queue_{name}", text, ("queue",), multiprocess_mode="livesum", registry=own)
            for name, text in (("waiting", "Requests that wait in a queue."), ("running", "Those of it that run."))
        ]

    def on_request(self, method: str, route: str, *, status: int, seconds: float) -> None:
        """A request was answered: its route's template, and its status."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def on_stage(self, name: str, started_ns: int, seconds: float) -> None:
        """See `Observer`."""
        self._stage_seconds.labels(name).observe(seconds)

    def on_count(self, name: str, amounts: Mapping[str, float]) -> None:
        """See `Observer`."""
        if name == "batch":
            for what, amount in amounts.items():
                self._batches[what].observe(amount)
        elif name.endswith(" cache"):
            for result, amount in amounts.items():
                if amount:
                    self._cache.labels(name.removesuffix(" cache"), result).inc(amount)

    def queue(self, name: str) -> Callable[[int, int], None]:
        """What a queue of this process is to tell: how many wait in it, and how many run."""
        waits, runs = (gauge.labels(name) for gauge in self._queues)

        def changed(waiting: int, running: int) -> None:
            waits.set(waiting)
            runs.set(running)

        return changed

    def text(self, collectors: Sequence[Collector] = ()) -> bytes:
        """All metrics in Prometheus' text format, of all worker processes, with those that `collectors` give."""
        shown = CollectorRegistry()
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder:
            forget_ended(Path(folder))
            MultiProcessCollector(shown, folder)  # type: ignore[no-untyped-call]
        else:
            shown.register(self._registry)
        return metrics_text(collectors, shown)


def metrics_text(collectors: Sequence[Collector], shown: CollectorRegistry | None = None) -> bytes:
    """What collectors give in Prometheus' text format, after what a registry has."""
    shown = shown or CollectorRegistry()
    for collector in collectors:
        shown.register(collector)
    return generate_latest(shown)


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Within it, processes that are started keep their metrics where each of them can add up all."""
    with tempfile.TemporaryDirectory(prefix="gnomon-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[FOLDER_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER_VARIABLE]


def worker_ids(folder: Path) -> list[int]:
    """The process ids of the workers that have written metrics into a folder, those that ended too."""
    return sorted({int(path.stem.rpartition("_")[2]) for path in folder.glob("*.db")})


def forget_ended(folder: Path) -> None:
    """Drop the gauges of workers that have ended: what they counted stays."""
    for pid in worker_ids(folder):
        if not _is_alive(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
