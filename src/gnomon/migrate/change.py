"""What a new version is to be: of another model, of other chunks, with another search, or all of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gnomon.collection.catalog.chunkers import chunk_tokenizer_of
from gnomon.collection.catalog.spaces import require_single
from gnomon.collection.catalog.versions import Version
from gnomon.collection.collection import Collection
from gnomon.collection.reports import VersionInfo
from gnomon.collection.serving.encoders import resolve_reranker
from gnomon.collection.settings import STAGES, RetrievalSettings
from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.retrieve.fuse import FuseSettings
from gnomon.text.chunk import ChunkSettings

_GROUPS = {"fuse": FuseSettings, **STAGES}


@dataclass(frozen=True)
class Change:
    """How a version is to differ from the live one. What is None stays.

    `to` is a model's name or folder. `retrieval` names settings as {"fuse.weights": [0.3, 0.7], "mode":
    "dense"}; a stage of search is put in by {} and taken out by None.
    """

    to: str | None = None
    chunk_tokens: int | None = None
    retrieval: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Aim:
    """The same, settled: the encoder, what to load it by later, the chunks (None: they stay), the search."""

    live: Version
    encoder: Encoder
    model: str
    chunking: ChunkSettings | None
    retrieval: RetrievalSettings

    @property
    def chunk_settings(self) -> ChunkSettings:
        """How its passages are cut."""
        return self.chunking or ChunkSettings.from_json(self.live.chunking)

    @property
    def is_new_space(self) -> bool:
        """Whether vectors of another space than the live one's are needed."""
        return self.encoder.space != self.live.space


def live_version(kb: Collection) -> Version:
    """The version that is live, whatever this process serves."""
    name = next(info.name for info in kb.versions.list() if info.state == "live")
    return kb.versions.get(name)


def aimed(
    kb: Collection,
    change: Change,
    *,
    encoder: Encoder | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Aim:
    """What a change comes to. Loads the model, unless `encoder` stands for it.

    Raises InvalidInput where nothing would change, for settings that are not there, and for chunks that the
    model does not read whole; as loading a model does.
    """
    live = live_version(kb)
    retrieval = resolve_reranker(changed_retrieval(live.retrieval, change.retrieval or {}), say)
    if encoder is None:
        encoder = _loaded(kb, live, change.to, threads, say)
    require_single(encoder)
    chunking = _chunking(live, change.chunk_tokens, encoder)
    if encoder.space == live.space and chunking is None and retrieval == live.retrieval:
        raise InvalidInput(
            f"{encoder.space.short}, the same space that {live.name} serves with: nothing to do",
            expected="another model, other passages (--chunk-tokens) or other settings of the search (--set)",
            hint="gnomon models lists models; gnomon versions shows what serves",
        )
    model = live.model if encoder.space == live.space else reference(change.to or encoder.space.name)
    return Aim(live, encoder, model, chunking, retrieval)


def ready_twin(kb: Collection, aim: Aim) -> VersionInfo | None:
    """A version that is ready of just these: its gate is asked again, and nothing is built twice."""
    for info in kb.versions.list():
        version = kb.versions.get(info.name)
        if aim.chunking is None:
            same = version.chunking_id == aim.live.chunking_id
        else:
            same = (version.chunking, version.chunk_tokenizer) == (
                aim.chunking.to_json(),
                chunk_tokenizer_of(aim.encoder),
            )
        alike = version.space == aim.encoder.space and version.retrieval == aim.retrieval
        if info.state == "ready" and same and alike:
            return info
    return None


def reference(model: str) -> str:
    """What is kept to load a model by: a folder's absolute path, a name as it is."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def changed_retrieval(base: RetrievalSettings, named: Mapping[str, Any]) -> RetrievalSettings:
    """Settings with some of them changed; see `Change`. Raises InvalidInput for what is not a setting."""
    plain = base.to_json()
    for path, value in named.items():
        group, dot, name = path.partition(".")
        known = _known(group)
        if group not in [field.name for field in fields(RetrievalSettings)] or (dot and name not in known):
            settings = sorted({f.name for f in fields(RetrievalSettings)} - _GROUPS.keys())
            inside = [f"{group}.{name}" for group in _GROUPS for name in _known(group)]
            raise InvalidInput(f"the setting {path!r} of the search", expected=", ".join([*settings, *inside]))
        if group == "rerank" and name in ("", "model"):
            plain[group] = {**(plain.get(group) or {}), "fingerprint": ""}  # that of the model before
        if dot:
            plain[group] = {**(plain.get(group) or {}), name: value}
        elif value is None:
            plain.pop(group, None)
        else:
            plain[group] = value
    try:
        return RetrievalSettings.from_json(plain)
    except InvalidInput:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        given = ", ".join(f"{path}={value}" for path, value in named.items())
        raise InvalidInput(
            f"{given}: {error}",
            expected="settings such as mode=dense, fuse.weights=0.3,0.7 or rm3={}",
            hint="gnomon versions --json shows the settings of each version",
        ) from error


def _known(group: str) -> list[str]:
    return [field.name for field in fields(_GROUPS[group])] if group in _GROUPS else []


def _loaded(kb: Collection, live: Version, to: str | None, threads: int | None, say: Callable[[str], None]) -> Encoder:
    """The model by its name. The live one is the collection's own, in the precision that it has there."""
    if to is None or reference(to) == live.model:
        own = kb.encoder
        if own.space == live.space:
            return own
    from gnomon.encode import EncoderSettings, load_encoder

    return load_encoder(to or live.model, settings=EncoderSettings(threads=threads), say=say)


def _chunking(live: Version, chunk_tokens: int | None, encoder: Encoder) -> ChunkSettings | None:
    """Chunks of another length with as large a share of overlap; None where they come out the same."""
    if chunk_tokens is None:
        return None
    overlap = chunk_tokens * live.chunking["overlap"] // live.chunking["max_tokens"]
    wanted = ChunkSettings(chunk_tokens, overlap, live.chunking["prepend_title"])
    if chunk_tokens > encoder.max_tokens:
        raise InvalidInput(
            f"--chunk-tokens {chunk_tokens} for {encoder.space.short}",
            expected=f"at most the {encoder.max_tokens} tokens that it reads whole",
            hint=f"--chunk-tokens {encoder.max_tokens} or less, or a model that reads longer texts",
        )
    same_tokenizer = encoder.space == live.space or (
        live.chunk_tokenizer is not None and live.chunk_tokenizer == chunk_tokenizer_of(encoder)
    )
    return None if same_tokenizer and wanted.to_json() == live.chunking else wanted
