"""What a build does so that the new model is of use before the build is done: a bridge, and an order."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.collection.catalog.connection import explained
from gnomon.collection.collection import Collection
from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import InvalidInput, StorageError
from gnomon.migrate.adapter.files import bridge_file, load_bridge, save_bridge
from gnomon.migrate.adapter.fit import Bridge, BridgeSettings, is_allowed
from gnomon.migrate.adapter.retriever import bridge_for, drawn_passages
from gnomon.migrate.query_log import Asked, searched_most
from gnomon.migrate.state import FOLDER, write_whole

_ASKED_LEAST, _ASKED_MOST = 100, 500
"""Distinct queries by which a bridge is chosen and measured; with fewer, passages stand for them."""


@dataclass(frozen=True)
class Meanwhile:
    """What a migration is to do besides. By default nothing.

    `hot_first`: the documents that are searched most are embedded first. `bridge`: queries of the new model
    are answered during the build, by a map that is fitted on `pairs` passages (a quarter of all, where that
    is fewer, but `least_pairs`); one that finds less than `least` of what re-embedding finds is refused.
    `asked` is a file of queries that were asked, one a line, for both.
    """

    hot_first: bool = False
    bridge: bool = False
    asked: str | None = None
    pairs: int = 4000
    least: float = 0.5
    least_pairs: int = 2000

    def __post_init__(self) -> None:
        self.bridge_settings()
        if self.asked is not None and not (self.hot_first or self.bridge):
            raise InvalidInput(
                "queries that were asked, and nothing that needs them",
                expected="--hot-first, --bridge, or both",
                hint="leave --asked out; judged queries are given with --queries",
            )

    def bridge_settings(self) -> BridgeSettings:
        """How the bridge is chosen. Raises InvalidInput."""
        return BridgeSettings(least=self.least, least_pairs=self.least_pairs)

    def require_fits(self, *, same_passages: bool, new_space: bool) -> None:
        """Raise InvalidInput where neither can be: what changes is not the model, or not it alone."""
        if (same_passages and new_space) or not (self.hot_first or self.bridge):
            return
        named = " and ".join(
            name for name, is_on in (("--hot-first", self.hot_first), ("--bridge", self.bridge)) if is_on
        )
        what = "the same model" if not new_space else "passages that are cut anew"
        raise InvalidInput(
            f"{named} with {what}",
            expected="another model for the same passages: each has an old vector until it has its new one",
            hint=f"leave {named} out",
        )


@dataclass(frozen=True)
class Built:
    """A version that is being built, and what its build is begun with."""

    kb: Collection
    version: str
    encoder: Encoder
    settings: Meanwhile
    asked: Asked

    def embed_ahead(self, embed: Callable[[Array], None], tell: Callable[..., object]) -> None:
        """What comes before the order of the documents. `embed` makes vectors of passages, in their order;
        `tell` takes note of what is known of a migration. What was done before a kill is found done.
        """
        if self.settings.bridge:
            embed(drawn_passages(self.kb, self._pairs()))
            tell(stage="bridging")
            tell(bridge=self._bridge(), stage="building")
        if self.settings.hot_first:
            ids = self._order()
            tell(order=self._said(ids))
            embed(ids)

    def _pairs(self) -> int:
        """On how many passages a bridge is fitted: until they are embedded it does not serve."""
        settings = self.settings
        return min(settings.pairs, max(settings.least_pairs, self.kb.status().chunks // 4))

    def clear(self) -> None:
        """Once the version has all its vectors, neither is needed."""
        for path in (bridge_file(self.kb, self.version), self._order_file()):
            path.unlink(missing_ok=True)

    def _bridge(self) -> dict[str, Any]:
        """Fit it, or find it, and say what it is: whether it serves, and if not, why."""
        path = bridge_file(self.kb, self.version)
        found = self._kept(path)
        if found is None:
            texts = self.asked.most(_ASKED_MOST)
            queries = texts if len(texts) >= _ASKED_LEAST else None
            try:
                found = bridge_for(
                    self.kb,
                    self.encoder,
                    pairs=self._pairs(),
                    queries=queries,
                    settings=self.settings.bridge_settings(),
                )
            except InvalidInput as error:
                path.unlink(missing_ok=True)
                about = {"serves": False, "why": error.message, "expected": error.expected}
                return self._reported(about)
            save_bridge(found, path)
        return self._reported({"serves": True, "kind": found.kind, **asdict(found.measured)})

    def _kept(self, path: Path) -> Bridge | None:
        """What an earlier run fitted between these two models, if it is good enough for this one."""
        try:
            found = load_bridge(path)
        except (StorageError, InvalidInput):
            return None
        is_between = (found.old, found.new) == (self.kb.version.space, self.encoder.space)
        is_enough = found.measured.pairs >= self.settings.least_pairs and is_allowed(
            found.measured, self.settings.bridge_settings()
        )
        return found if is_between and is_enough else None

    def _reported(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Beside what the gate will find."""
        about = {**about, "least": self.settings.least}
        place = self.kb.internals.folder / "reports" / self.version
        with explained(place):
            place.mkdir(parents=True, exist_ok=True)
            write_whole(place / "bridge.json", json.dumps(about, indent=1))
        return about

    def _order(self) -> Array:
        """As it was settled when these queries were first given; what has gone since is passed over."""
        if not self.asked.times:
            return np.zeros(0, dtype=np.int64)
        path, queries = self._order_file(), _digest(self.asked)
        try:
            with np.load(path, allow_pickle=False) as kept:
                if str(kept["queries"]) == queries:
                    return np.asarray(kept["ids"], dtype=np.int64)
        except (OSError, ValueError, KeyError, EOFError):  # there is none, or it is of something else
            pass
        ids = searched_most(self.kb, self.asked)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with explained(path):
            with beside.open("wb") as file:
                np.savez(file, allow_pickle=False, ids=ids, queries=np.array(queries))
            beside.replace(path)
        return ids

    def _said(self, ids: Array) -> str:
        if not self.asked.times:
            return "as the documents were put in: no queries say what is searched most"
        asked = f"{sum(self.asked.times.values()):,} queries of {self.asked.source}"
        return f"{len(ids):,} passages first, of the documents that {asked} find"

    def _order_file(self) -> Path:
        return self.kb.internals.folder / FOLDER / f"{self.version}.order.npz"


def _digest(asked: Asked) -> str:
    text = json.dumps(sorted(asked.times.items()), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
