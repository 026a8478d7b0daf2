"""What a build embeds first, so that the new model is useful early: pairs for an adapter, most-searched documents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.collection.collection import Collection
from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import InvalidInput, StorageError
from gnomon.core.files import replacing, storage_errors, write_atomic
from gnomon.core.renamed import renamed_fields
from gnomon.migrate.adapter.files import adapter_file, load_adapter, save_adapter
from gnomon.migrate.adapter.fit import AdapterSettings, EmbeddingAdapter, is_good_enough
from gnomon.migrate.adapter.retriever import fit_adapter_for, sample_passages
from gnomon.migrate.query_log import QueryLog, most_searched_passages
from gnomon.migrate.state import FOLDER

_MIN_QUERIES, _MAX_QUERIES = 100, 500
"""Distinct queries by which an adapter is chosen and measured; with fewer, passages are used as queries."""


@renamed_fields(bridge="adapter", asked="query_log", least="min_recall", least_pairs="min_pairs")
@dataclass(frozen=True)
class Prefill:
    """What a build does before it embeds the documents in order. By default nothing.

    `hot_first`: the most-searched documents are embedded first. `adapter`: the new model's queries are answered
    during the build through an embedding adapter, fitted on `pairs` passages (on a quarter of all passages if
    that is fewer, but at least on `min_pairs`); an adapter with a recall below `min_recall` is refused.
    `query_log` is a file of past queries, one a line, for both.
    """

    hot_first: bool = False
    adapter: bool = False
    query_log: str | None = None
    pairs: int = 4000
    min_recall: float = 0.5
    min_pairs: int = 2000

    def __post_init__(self) -> None:
        self.adapter_settings()
        if self.query_log is not None and not (self.hot_first or self.adapter):
            raise InvalidInput(
                "a query log that nothing needs",
                expected="--hot-first, --adapter, or both",
                hint="leave --query-log out; judged queries are given with --queries",
            )

    def adapter_settings(self) -> AdapterSettings:
        """How the adapter is chosen. Raises InvalidInput."""
        return AdapterSettings(min_recall=self.min_recall, min_pairs=self.min_pairs)

    def require_possible(self, *, same_passages: bool, new_space: bool) -> None:
        """Raise InvalidInput unless the model changes and the passages stay."""
        if (same_passages and new_space) or not (self.hot_first or self.adapter):
            return
        options = " and ".join(
            name for name, is_on in (("--hot-first", self.hot_first), ("--adapter", self.adapter)) if is_on
        )
        change = "the same model" if not new_space else "new passages"
        raise InvalidInput(
            f"{options} with {change}",
            expected="another model for the same passages, which keep their old vectors until they have new ones",
            hint=f"leave {options} out",
        )


@dataclass(frozen=True)
class PrefillRun:
    """The prefill of one version. What an earlier run has done is not done again."""

    kb: Collection
    version: str
    encoder: Encoder
    settings: Prefill
    query_log: QueryLog

    def run(self, embed: Callable[[Array], None], update: Callable[..., object]) -> None:
        """Embed what comes first. `embed` embeds passages in the given order, `update` records the run's state."""
        if self.settings.adapter:
            embed(sample_passages(self.kb, self._pairs()))
            update(stage="fitting")
            update(adapter=self._adapter(), stage="building")
        if self.settings.hot_first:
            ids = self._order()
            update(order=self._order_description(ids))
            embed(ids)

    def clear(self) -> None:
        """Remove the files, which a version with all its vectors no longer needs."""
        adapter_file(self.kb, self.version).unlink(missing_ok=True)
        self._order_file().unlink(missing_ok=True)

    def _pairs(self) -> int:
        """On how many passages an adapter is fitted: it cannot serve before they are embedded."""
        settings = self.settings
        return min(settings.pairs, max(settings.min_pairs, self.kb.status().chunks // 4))

    def _adapter(self) -> dict[str, Any]:
        """Fit the adapter, or find a fitted one; returns its quality, or why none serves."""
        path = adapter_file(self.kb, self.version)
        adapter = self._fitted_before(path)
        if adapter is None:
            texts = self.query_log.most_frequent(_MAX_QUERIES)
            try:
                adapter = fit_adapter_for(
                    self.kb,
                    self.encoder,
                    pairs=self._pairs(),
                    queries=texts if len(texts) >= _MIN_QUERIES else None,
                    settings=self.settings.adapter_settings(),
                )
            except InvalidInput as error:
                path.unlink(missing_ok=True)
                return self._write_report({"serves": False, "why": error.message, "expected": error.expected})
            save_adapter(adapter, path)
        return self._write_report({"serves": True, "kind": adapter.kind, **asdict(adapter.quality)})

    def _fitted_before(self, path: Path) -> EmbeddingAdapter | None:
        """The adapter that an earlier run fitted between these two models, if it meets this run's settings."""
        try:
            adapter = load_adapter(path)
        except (StorageError, InvalidInput):
            return None
        is_between = (adapter.old, adapter.new) == (self.kb.version.space, self.encoder.space)
        is_enough = adapter.quality.pairs >= self.settings.min_pairs and is_good_enough(
            adapter.quality, self.settings.adapter_settings()
        )
        return adapter if is_between and is_enough else None

    def _write_report(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """Write adapter.json beside the gate's report."""
        report = {**report, "min_recall": self.settings.min_recall}
        folder = self.kb.internals.folder / "reports" / self.version
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / "adapter.json", json.dumps(report, indent=1))
        return report

    def _order(self) -> Array:
        """The order of the first run with this query log, so that resuming after writes does not change it."""
        if not self.query_log.counts:
            return np.zeros(0, dtype=np.int64)
        path, digest = self._order_file(), _digest(self.query_log)
        try:
            with np.load(path, allow_pickle=False) as file:
                if str(file["queries"]) == digest:
                    return np.asarray(file["ids"], dtype=np.int64)
        except (OSError, ValueError, KeyError, EOFError):  # no file, or a damaged one
            pass
        ids = most_searched_passages(self.kb, self.query_log)
        with storage_errors(path), replacing(path) as beside, beside.open("wb") as file:
            np.savez(file, allow_pickle=False, ids=ids, queries=np.array(digest))
        return ids

    def _order_description(self, ids: Array) -> str:
        if not self.query_log.counts:
            return "in the order in which documents were added: no queries tell which are searched most"
        count = sum(self.query_log.counts.values())
        return f"{len(ids):,} passages first, of the documents that {count:,} queries of {self.query_log.source} find"

    def _order_file(self) -> Path:
        return self.kb.internals.folder / FOLDER / f"{self.version}.order.npz"


def _digest(log: QueryLog) -> str:
    text = json.dumps(sorted(log.counts.items()), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
