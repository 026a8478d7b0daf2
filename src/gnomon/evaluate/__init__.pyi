from .comparison import Verdict, compare, compare_many
from .datasets import load_dataset
from .judgments import DataSet, check_dataset, require_clean
from .metrics import Metric, Score, coverage, parse_metric, per_query, summary
from .plot import plot_differences
from .prediction_powered import PredictionPowered, WeightedPairs, precision_pairs, prediction_powered_mean
from .pseudo import PSEUDO_NOTE, pseudo_queries, recall_by_kind
from .run import Run
from .significance import detectable, queries_needed
from .tasks import TaskReport, run_task

__all__ = [
    "PSEUDO_NOTE",
    "DataSet",
    "Metric",
    "PredictionPowered",
    "Run",
    "Score",
    "TaskReport",
    "Verdict",
    "WeightedPairs",
    "check_dataset",
    "compare",
    "compare_many",
    "coverage",
    "detectable",
    "load_dataset",
    "parse_metric",
    "per_query",
    "plot_differences",
    "precision_pairs",
    "prediction_powered_mean",
    "pseudo_queries",
    "queries_needed",
    "recall_by_kind",
    "require_clean",
    "run_task",
    "summary",
]
