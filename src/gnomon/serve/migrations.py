"""Migrations of served collections: each runs in a process of its own, which outlives the server's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gnomon.collection import Collection, logged_queries
from gnomon.core.errors import CollectionBusy, InvalidInput
from gnomon.migrate import (
    Change,
    GateSettings,
    InterleaveSettings,
    MigrateSettings,
    Migration,
    Prefill,
    keep_judged,
    request_stop,
    start,
    status,
    stop_interleaving,
    wait_until_begun,
)
from gnomon.serve.errors import Conflict, NotFound
from gnomon.serve.redaction import public_name, public_names, without_place
from gnomon.serve.schemas.migrations import MigrationRequest, MigrationState
from gnomon.serve.security.model_names import known_models, with_known_models


def begin(kb: Collection, wanted: MigrationRequest, served: Iterable[str]) -> Migration:
    """Start a migration and wait until it has begun. Raises Conflict while another one runs, InvalidInput."""
    folder = kb.internals.folder
    change = with_known_models(wanted.change(), known_models(kb, served))
    if change == Change():
        raise InvalidInput(
            "nothing that is to change",
            expected="one or more of to, add_models, remove_models, chunk_tokens, dim, vector_type and retrieval",
        )
    try:
        queries = None
        if wanted.judged is not None:
            queries = str(keep_judged(folder, [each.model_dump(exclude_none=True) for each in wanted.judged]))
        return wait_until_begun(start(kb.internals.catalog.place, change, _settings(kb, wanted, queries)))
    except CollectionBusy as error:
        raise Conflict(error.message, expected=error.expected, hint="wait for its end, or stop it") from error


def _settings(kb: Collection, wanted: MigrationRequest, queries: str | None) -> MigrateSettings:
    is_logged = next(logged_queries(kb.internals.folder), None) is not None
    log = str(kb.internals.folder) if is_logged and (wanted.hot_first or wanted.adapter) else None
    return MigrateSettings(
        gate=GateSettings(queries, metric=wanted.metric, margin=wanted.margin, segment=wanted.segment),
        switch_if=wanted.switch_if,
        without_proof=wanted.without_proof,
        cpu_share=wanted.cpu_share,
        prefill=Prefill(wanted.hot_first, wanted.adapter, log),
        max_cost=wanted.max_cost,
        interleave=None if wanted.interleave is None else InterleaveSettings(wanted.interleave),
    )


def current(kb: Collection) -> Migration:
    """The running or last migration. Raises NotFound before the first."""
    found = status(kb.internals.folder)
    if found is None:
        raise NotFound("no migration was begun", expected="one that POST migrations starts, or gnomon migrate")
    return found


def stop_current(kb: Collection) -> None:
    """Ask the running migration to stop, or end the interleaving that one began. Raises Conflict without either."""
    try:
        request_stop(kb.internals.folder)
    except InvalidInput as error:
        if stop_interleaving(kb) is None:
            raise Conflict("no migration is running", expected="one that runs") from error


def shown(kb: Collection, name: str, migration: Migration) -> MigrationState:
    """The state of a migration as it is answered."""
    plain: dict[str, Any] = public_names(without_place(migration.to_json(), kb.internals.address, name))
    if plain["report"] is not None:
        plain["report"] = f"/v1/collections/{name}/versions/{migration.version}/report"
    plain["model"] = migration.model and public_name(migration.model)
    return MigrationState.model_validate(plain)
