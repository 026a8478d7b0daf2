"""What a migration will take: counted where it can be counted, measured where not. Changes nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gnomon.collection.collection import Collection
from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.migrate.change import Aim, Change, aimed
from gnomon.migrate.cost import Bytes, bytes_of
from gnomon.migrate.throttle import SLICE_TEXTS, Share, share_of
from gnomon.migrate.workload import Speed, Work, measure_speed, work_of

WRITING_S, INDEXING_S = 0.0003, 0.0002
"""A vector kept in the catalog, a passage in both indexes. Of 4,001 passages of SciFact in 384 dimensions, by
an encoder that takes no time: 0.25 to 0.34 ms, most of it the commits of slices of 32, and 0.22 to 0.30 ms,
on two cores that others were busy on. Small beside embedding, but for static models."""


@dataclass(frozen=True)
class Plan:
    """What it takes to build a version.

    `texts` are to be embedded, `tokens` in all, counted one by one by the new model's tokenizer; `cached`
    passages need no work. `too_long` texts would be cut by the model. `seconds` is for the build with `share`
    of the processor, from the `speed` on a sample, measured on this machine as busy as it was; loading the
    model and the gate are not in it. `cost` is None without a price.
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
    speed: Speed
    share: Share
    seconds: float
    cost: float | None
    bytes: Bytes
    commands: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        plain = asdict(self)
        plain["speed"]["tokens_per_second"] = self.speed.tokens_per_second
        plain["bytes"]["is_enough"] = self.bytes.is_enough
        return {**plain, "commands": list(self.commands)}


@dataclass(frozen=True)
class PlanSettings:
    """What of the processor the build is to have, and who hears what loading a model tries."""

    cpu_share: float = 0.5
    say: Callable[[str], None] = lambda _: None


def plan(
    kb: Collection,
    to: str | Path | Encoder | None = None,
    *,
    chunk_tokens: int | None = None,
    retrieval: Mapping[str, Any] | None = None,
    price: float | None = None,
    settings: PlanSettings | None = None,
) -> Plan:
    """What it takes to change a collection's model, its passages or its search; see `Plan`.

    `to` is a model's name, its folder or its encoder, None where it stays; `retrieval` is as in `Change`;
    `price` is money for a million tokens.
    Raises InvalidInput where nothing would change, and for passages that the model does not read whole.
    """
    settings = settings or PlanSettings()
    if price is not None and not price >= 0:
        raise InvalidInput(f"a price of {price:g}", expected="money for a million tokens: 0 or more")
    share = share_of(settings.cpu_share)
    given = None if to is None or isinstance(to, str | Path) else to
    name = str(to) if isinstance(to, str | Path) else None if given is None else given.space.name
    change = Change(name, chunk_tokens, retrieval)
    aim = aimed(kb, change, encoder=given, threads=share.threads, say=settings.say)
    work = work_of(kb.internals.catalog, aim)
    status = kb.status()
    folder = Path(status.path)
    speed = measure_speed(aim.encoder, work.sample, slice_texts=SLICE_TEXTS)
    return Plan(
        collection=str(folder),
        live=aim.live.name,
        live_model=aim.live.space.short,
        model=aim.model,
        space=aim.encoder.space.short,
        dim=aim.encoder.space.dim,
        chunking=aim.chunk_settings.to_json(),
        keeps_chunks=aim.chunking is None,
        retrieval=aim.retrieval.to_json(),
        documents=work.documents,
        chunks=work.chunks,
        cached=work.cached,
        texts=work.texts,
        tokens=work.tokens,
        too_long=work.too_long,
        speed=speed,
        share=share,
        seconds=predicted_s(work, speed, share),
        cost=None if price is None else work.tokens / 1e6 * price,
        bytes=bytes_of(folder, status, work, aim),
        commands=commands(folder, aim, change),
    )


def predicted_s(work: Work, speed: Speed, share: Share) -> float:
    """Seconds from the first text to indexes that are ready."""
    paced = speed.seconds_for(work.tokens) + WRITING_S * work.texts  # a pause follows each slice as a whole
    return paced / share.duty + work.seconds + INDEXING_S * work.chunks


def commands(folder: Path, aim: Aim, change: Change) -> tuple[str, ...]:
    """What to type: the migration, how it stands, the way back, and clearing away."""
    kb = shlex.quote(str(folder))
    given = [] if change.to is None else ["--to", shlex.quote(aim.model if aim.is_new_space else change.to)]
    given += [] if change.chunk_tokens is None else ["--chunk-tokens", str(change.chunk_tokens)]
    for name, value in (change.retrieval or {}).items():
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else _text(value)
        given += ["--set", shlex.quote(f"{name}={text}")]
    return (
        " ".join(["gnomon migrate", kb, *given, "--queries JUDGMENTS"]),
        f"gnomon migrate {kb} --status",
        f"gnomon rollback {kb}",
        f"gnomon versions {kb} --retire {aim.live.name} --prune --vacuum",
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
