"""Judgments, metrics, significance and power: numbers with error bars, and a verdict.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.evaluate.breakage import found_by_kind
    from gnomon.evaluate.checks import check_dataset, require_clean
    from gnomon.evaluate.comparing import compare, compare_many
    from gnomon.evaluate.datasets import load_dataset
    from gnomon.evaluate.judgments import DataSet
    from gnomon.evaluate.metrics import Metric, Score, coverage, parse_metric, per_query, summary
    from gnomon.evaluate.plot import plot_differences
    from gnomon.evaluate.power import detectable, queries_needed
    from gnomon.evaluate.pseudo import PSEUDO_NOTE, pseudo_queries
    from gnomon.evaluate.run import Run
    from gnomon.evaluate.tasks import TaskReport, run_task
    from gnomon.evaluate.verdict import Verdict

_HOME = {
    "DataSet": "judgments",
    "Metric": "metrics",
    "PSEUDO_NOTE": "pseudo",
    "Run": "run",
    "Score": "metrics",
    "TaskReport": "tasks",
    "Verdict": "verdict",
    "check_dataset": "checks",
    "compare": "comparing",
    "compare_many": "comparing",
    "coverage": "metrics",
    "detectable": "power",
    "found_by_kind": "breakage",
    "load_dataset": "datasets",
    "parse_metric": "metrics",
    "per_query": "metrics",
    "plot_differences": "plot",
    "pseudo_queries": "pseudo",
    "queries_needed": "power",
    "require_clean": "checks",
    "run_task": "tasks",
    "summary": "metrics",
}

__all__ = [
    "PSEUDO_NOTE",
    "DataSet",
    "Metric",
    "Run",
    "Score",
    "TaskReport",
    "Verdict",
    "check_dataset",
    "compare",
    "compare_many",
    "coverage",
    "detectable",
    "found_by_kind",
    "load_dataset",
    "parse_metric",
    "per_query",
    "plot_differences",
    "pseudo_queries",
    "queries_needed",
    "require_clean",
    "run_task",
    "summary",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gnomon.evaluate.{_HOME[name]}"), name)
