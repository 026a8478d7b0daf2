"""What monitoring found so far: the last report and a summary of each run, to be shown without a new run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gnomon.collection import Collection
from gnomon.core.files import storage_errors, write_atomic
from gnomon.monitor.baseline import FOLDER, load_history
from gnomon.monitor.report import MonitorReport

_LATEST = "latest.json"


@dataclass(frozen=True)
class MonitorHistory:
    """The last run's report (as `MonitorReport.to_json`; None before the first) and the runs, oldest first.

    Each run has: `at` (ISO 8601, UTC), `version`, `baseline` (its id, another one after --set-baseline), `states` by
    check, `p` (p-values by test), `golden` (mean, base, n, fall and sum: the CUSUM of the falls), `latency` (p50 and
    p95 in ms), `recall` of the index, `bad_vectors` (their share), `causes` of alarms, and `rolled_back`. What was not
    measured is None.
    """

    latest: Mapping[str, Any] | None
    runs: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {"latest": self.latest, "runs": [dict(run) for run in self.runs]}


def monitor_history(kb: Collection) -> MonitorHistory:
    """What earlier runs of `monitor` found in a collection; nothing is measured and no model loaded."""
    folder = kb.internals.folder
    try:
        latest = json.loads((folder / FOLDER / _LATEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        latest = None
    return MonitorHistory(latest if isinstance(latest, dict) else None, load_history(folder))


def save_latest(collection: Path, report: MonitorReport) -> None:
    """Keep the last report, without texts of users' queries. Raises StorageError."""
    checks = tuple(replace(check, examples=()) if check.name == "queries" else check for check in report.checks)
    path = collection / FOLDER / _LATEST
    with storage_errors(path):
        write_atomic(path, json.dumps(replace(report, checks=checks).to_json(), ensure_ascii=False, default=str))
