from .adapter.files import load_adapter, save_adapter
from .adapter.fit import AdapterQuality, AdapterRefused, AdapterSettings, EmbeddingAdapter, fit_adapter
from .adapter.retriever import (
    DualIndexRetriever,
    EmbeddingCoverage,
    dual_index_retriever,
    embedding_coverage,
    fit_adapter_for,
    found_by,
)
from .change import Change
from .gate import GateReport, gate
from .interleaving import (
    InterleaveSettings,
    Interleaving,
    active_interleaving,
    begin_interleaving,
    interleaving_status,
    record_feedback,
    stop_interleaving,
)
from .judgments import GateSettings, keep_judged
from .migration import MigrateSettings, migrate
from .plan import IndexPlan, Plan, plan, plan_index, plan_update
from .prefill import Prefill
from .process import follow, start, wait_until_begun
from .report import SavedGateReport, read_gate_report
from .scale import EngineEstimate, ScalePlan, parse_count, plan_scale
from .state import Migration, log_tail, request_stop, status, stop

__all__ = [
    "AdapterQuality",
    "AdapterRefused",
    "AdapterSettings",
    "Change",
    "DualIndexRetriever",
    "EmbeddingAdapter",
    "EmbeddingCoverage",
    "EngineEstimate",
    "GateReport",
    "GateSettings",
    "IndexPlan",
    "InterleaveSettings",
    "Interleaving",
    "MigrateSettings",
    "Migration",
    "Plan",
    "Prefill",
    "SavedGateReport",
    "ScalePlan",
    "active_interleaving",
    "begin_interleaving",
    "dual_index_retriever",
    "embedding_coverage",
    "fit_adapter",
    "fit_adapter_for",
    "follow",
    "found_by",
    "gate",
    "interleaving_status",
    "keep_judged",
    "load_adapter",
    "log_tail",
    "migrate",
    "parse_count",
    "plan",
    "plan_index",
    "plan_scale",
    "plan_update",
    "read_gate_report",
    "record_feedback",
    "request_stop",
    "save_adapter",
    "start",
    "status",
    "stop",
    "stop_interleaving",
    "wait_until_begun",
]
