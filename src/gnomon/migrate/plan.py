"""The cost of a migration before it starts: tokens counted, seconds from a measured sample, bytes estimated."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gnomon.collection.catalog.versions import own_chunker
from gnomon.collection.collection import Collection
from gnomon.collection.ingest.estimate import estimate_run
from gnomon.collection.ingest.workload import Workload
from gnomon.collection.inputs import checked_paths
from gnomon.collection.opening import new_chunking
from gnomon.collection.settings import DEFAULT_MODEL, CollectionSettings, IndexOptions
from gnomon.core.budget import ServerCost
from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.core.serialize import to_plain
from gnomon.migrate.change import Change, ResolvedChange, resolve_change
from gnomon.migrate.cost import (
    DiskEstimate,
    EncodingSpeed,
    count_workloads,
    estimate_disk,
    measure_speed,
    vector_bytes,
)
from gnomon.migrate.throttle import SLICE_TEXTS, Throttle, throttle_for

WRITE_S_PER_TEXT, INDEX_S_PER_CHUNK = 0.0003, 0.0002
"""Seconds to commit a vector and to index a passage in both indexes. Measured with 4,001 passages of SciFact in
384 dimensions and an encoder that takes no time, on two busy cores: 0.25 to 0.34 ms, mostly the commits of
slices of 32, and 0.22 to 0.30 ms. Small compared to embedding, except for static models."""


@dataclass(frozen=True)
class SpacePlan:
    """What a further space beside the first costs: as in `Plan`, `bytes` are those of its vectors in the catalog."""

    model: str
    space: str
    dim: int
    cached: int
    texts: int
    tokens: int
    too_long: int
    speed: EncodingSpeed
    seconds: float
    cost: float | None
    bytes: int


@dataclass(frozen=True)
class Plan:
    """The cost of building a version.

    `texts` are to be embedded, `tokens` in all, counted with the new model's tokenizer; `cached` passages
    already have a vector. `too_long` texts would be truncated by the model. `seconds` is the build's time with
    the processor `share`, from the `speed` measured on a sample; loading the model and the gate are not
    included. `cost` is None without a price. For a model of a server, `server` says what it charges and how long its
    rate limit makes it take, and nothing is sent to it. `spaces` are further spaces, whose texts are not counted among
    `texts`; `seconds`, `cost` and `bytes` include them.
    """

    collection: str
    live: str
    live_model: str
    model: str
    space: str
    dim: int
    chunking: dict[str, Any]
    keeps_chunks: bool
    retrieval: dict[str, Any]
    documents: int
    chunks: int
    cached: int
    texts: int
    tokens: int
    too_long: int
    speed: EncodingSpeed
    share: Throttle
    seconds: float
    cost: float | None
    bytes: DiskEstimate
    commands: tuple[str, ...]
    server: ServerCost | None = None
    spaces: tuple[SpacePlan, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON."""
        plain: dict[str, Any] = to_plain(self)
        plain["speed"]["tokens_per_second"] = self.speed.tokens_per_second
        plain["bytes"]["is_enough"] = self.bytes.is_enough
        return plain


def plan(
    kb: Collection,
    to: str | Path | Encoder | Change | None = None,
    *,
    chunk_tokens: int | None = None,
    retrieval: Mapping[str, Any] | None = None,
    price: float | None = None,
    cpu_share: float = 0.5,
    progress: ProgressCallback = no_progress,
) -> Plan:
    """Estimate the cost of changing a collection's model, passages or search settings; changes nothing.

    `to` is a model's name, folder or encoder (None: it stays), or a whole `Change`, also of dimensions and of the
    type of stored vectors; `retrieval` is as in `Change`; `price` is money per million tokens (by default a server's
    own); `cpu_share` is the build's share of the processor; `progress` gets messages of loading the model. Raises
    InvalidInput if nothing would change, and for passages longer than it reads.
    """
    _require_price(price)
    share = throttle_for(cpu_share)
    change, encoder = Change.of(to, chunk_tokens, retrieval)
    resolved = resolve_change(kb, change, encoder=encoder, threads=share.threads, progress=progress)
    first, *others = count_workloads(kb.internals.catalog, resolved)
    workload = _priced(first, price)
    spaces = _further_plans(resolved, others, share)
    speed = _speed(resolved.encoder, workload)
    return Plan(
        collection=kb.internals.address,
        live=resolved.live.name,
        live_model=resolved.live.space.short,
        model=resolved.model,
        space=resolved.encoder.space.short,
        dim=resolved.encoder.space.dim,
        chunking=resolved.chunk_settings.to_json(),
        keeps_chunks=resolved.chunking is None,
        retrieval=resolved.retrieval.to_json(),
        documents=workload.documents,
        chunks=workload.chunks,
        cached=workload.cached,
        texts=workload.texts,
        tokens=workload.tokens,
        too_long=workload.too_long,
        speed=speed,
        share=share,
        seconds=predict_seconds(workload, speed, share) + sum(each.seconds for each in spaces),
        cost=_total([_cost(workload, price), *(each.cost for each in spaces)]),
        server=workload.server,
        bytes=estimate_disk(kb.internals.folder, kb.status(), workload, change=resolved, further=others),
        spaces=spaces,
        commands=commands(kb.internals.address, resolved, change),
    )


def _further_plans(resolved: ResolvedChange, workloads: Sequence[Workload], share: Throttle) -> tuple[SpacePlan, ...]:
    found = []
    models = [one.model for one in resolved.retrieval.spaces if one.place == "beside"]
    for model, encoder, workload in zip(models, resolved.further, workloads, strict=True):
        speed = _speed(encoder, workload)
        found.append(
            SpacePlan(
                model=model,
                space=encoder.space.short,
                dim=encoder.space.dim,
                cached=workload.cached,
                texts=workload.texts,
                tokens=workload.tokens,
                too_long=workload.too_long,
                speed=speed,
                seconds=predict_seconds(workload, speed, share),
                cost=_cost(workload, None),
                bytes=round(workload.texts * vector_bytes(encoder.space)),
            )
        )
    return tuple(found)


def _total(costs: Sequence[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def predict_seconds(workload: Workload, speed: EncodingSpeed, throttle: Throttle) -> float:
    """Seconds from the first text to finished indexes."""
    rest = workload.seconds + INDEX_S_PER_CHUNK * workload.chunks
    if workload.server is not None:
        return (workload.server.seconds or 0.0) + WRITE_S_PER_TEXT * workload.texts + rest
    throttled = speed.seconds_for(workload.tokens) + WRITE_S_PER_TEXT * workload.texts  # each slice, with its commit
    return throttled / throttle.duty + rest


@dataclass(frozen=True)
class IndexPlan:
    """The cost of indexing files into a new collection. The fields are as in `Plan`."""

    model: str
    space: str
    dim: int
    chunking: dict[str, Any]
    documents: int
    chunks: int
    cached: int
    texts: int
    tokens: int
    speed: EncodingSpeed
    seconds: float
    cost: float | None
    server: ServerCost | None

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON."""
        plain: dict[str, Any] = to_plain(self)
        return plain


def plan_index(
    paths: str | Path | Sequence[str | Path],
    model: str | Path | Encoder | None = None,
    *,
    settings: CollectionSettings | None = None,
    options: IndexOptions | None = None,
    price: float | None = None,
    progress: ProgressCallback = no_progress,
) -> IndexPlan:
    """Estimate the cost of a new collection of these files; reads them, and writes and sends nothing.

    `model` is a name, folder or encoder (None: that of `settings`, or the default one), `price` as in `plan`. Raises
    InvalidInput for paths that do not exist, and what loading a model raises.
    """
    _require_price(price)
    settings, options = settings or CollectionSettings(), options or IndexOptions()
    if model is None or isinstance(model, str | Path):
        from gnomon.encode import EncoderSettings, load_encoder

        name = str(model or settings.model or DEFAULT_MODEL)
        encoder: Encoder = load_encoder(name, settings=EncoderSettings(), progress=progress)
    else:
        encoder, name = model, model.space.name
    chunking = new_chunking(settings, encoder)
    chunker = own_chunker(chunking, encoder)
    workload = estimate_run(checked_paths(paths), options.reading, chunker, encoder=encoder)
    return index_plan(workload, name, encoder, chunking=chunking.to_json(), price=price)


def plan_update(
    kb: Collection, paths: str | Path | Sequence[str | Path], *, options: IndexOptions | None = None
) -> IndexPlan:
    """Estimate the cost of indexing these files into a collection; reads what changed, and writes and sends nothing."""
    return index_plan(kb.estimate(paths, options=options), kb.version.model, kb.encoder, chunking=kb.version.chunking)


def index_plan(
    workload: Workload, model: str, encoder: Encoder, *, chunking: dict[str, Any], price: float | None = None
) -> IndexPlan:
    """The plan of a workload that was counted."""
    workload = _priced(workload, price)
    speed = _speed(encoder, workload)
    return IndexPlan(
        model=model,
        space=encoder.space.short,
        dim=encoder.space.dim,
        chunking=chunking,
        documents=workload.documents,
        chunks=workload.chunks,
        cached=workload.cached,
        texts=workload.texts,
        tokens=workload.tokens,
        speed=speed,
        seconds=predict_seconds(workload, speed, throttle_for(1.0)),
        cost=_cost(workload, price),
        server=workload.server,
    )


def _speed(encoder: Encoder, workload: Workload) -> EncodingSpeed:
    """Measured on a sample; a server, which charges for each text, is sent nothing."""
    if workload.server is not None:
        return EncodingSpeed(0, 0, 0.0)
    return measure_speed(encoder, workload.sample, batch_size=SLICE_TEXTS)


def _priced(workload: Workload, price: float | None) -> Workload:
    """The workload at another price than the server's own."""
    if workload.server is None or price is None:
        return workload
    return replace(workload, server=replace(workload.server, price=price, cost=workload.tokens / 1e6 * price))


def _cost(workload: Workload, price: float | None) -> float | None:
    if workload.server is not None:
        return workload.server.cost
    return None if price is None else workload.tokens / 1e6 * price


def _require_price(price: float | None) -> None:
    if price is not None and not price >= 0:
        raise InvalidInput(f"a price of {price:g}", expected="money per million tokens: 0 or more")


def commands(collection: str, resolved: ResolvedChange, change: Change) -> tuple[str, ...]:
    """The commands for the migration, its status, the rollback, and removing the old version."""
    kb = shlex.quote(collection)
    options = [] if change.to is None else ["--to", shlex.quote(resolved.model if resolved.is_new_space else change.to)]
    named = {"--chunk-tokens": change.chunk_tokens, "--dim": change.dim, "--vector-type": change.vector_type}
    options += [part for name, value in named.items() if value is not None for part in (name, str(value))]
    options += [part for model in change.add_models for part in ("--add-model", shlex.quote(model))]
    options += [part for model in change.remove_models for part in ("--remove-model", shlex.quote(model))]
    options += ["--second-stage"] if change.second_stage else []
    for name, value in (change.retrieval or {}).items():
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else _text(value)
        options += ["--set", shlex.quote(f"{name}={text}")]
    return (
        " ".join(["gnomon migrate", kb, *options, "--queries JUDGMENTS"]),
        f"gnomon migrate {kb} --status",
        f"gnomon rollback {kb}",
        f"gnomon versions {kb} --retire {resolved.live.name} --prune --vacuum",
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
