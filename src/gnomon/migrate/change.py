"""How a new version differs from the live one: by its model, its chunks, its search settings, or all of these."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from gnomon.collection.catalog.versions import Version, chunk_tokenizer_of
from gnomon.collection.collection import Collection
from gnomon.collection.loading import VectorForm, load_in_form
from gnomon.collection.reports import VersionInfo
from gnomon.collection.serving.encoders import resolve_models
from gnomon.collection.serving.further_spaces import resolve_spaces
from gnomon.collection.serving.shared_space import resolve_query_encoder
from gnomon.collection.settings import RENAMED_SETTINGS, STAGES, RetrievalSettings, check_index_kind
from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.core.files import is_folder
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.core.serialize import to_plain
from gnomon.core.vector_types import VectorType
from gnomon.encode.stored import stored_as, unrounded
from gnomon.retrieve.fuse import FuseSettings
from gnomon.retrieve.spaces import SpacePlace, SpaceSettings, space_settings
from gnomon.text.chunk import ChunkSettings

_GROUPS = {"fuse": FuseSettings, **STAGES}


@dataclass(frozen=True)
class Change:
    """The wanted differences from the live version. What is None stays.

    `to` is a model's name or folder. `dim` keeps the first dimensions of its vectors only (another model has all of
    its own where this is None); `vector_type` is how they are stored. Where the model stays, vectors that are there
    are cut and rounded, and no text is embedded again. `retrieval` has settings such as {"fuse.weights": [0.3, 0.7],
    "mode": "dense"}; a search stage is added by {} and removed by None. `add_models` are models that search beside the
    others (with `second_stage`: score the first results), each in a space of its own; `remove_models` take such out.
    """

    to: str | None = None
    chunk_tokens: int | None = None
    retrieval: Mapping[str, Any] | None = None
    dim: int | None = None
    vector_type: VectorType | None = None
    add_models: tuple[str, ...] = ()
    remove_models: tuple[str, ...] = ()
    second_stage: bool = False

    @classmethod
    def of(
        cls,
        to: str | Path | Encoder | Change | None,
        chunk_tokens: int | None,
        retrieval: Mapping[str, Any] | None,
    ) -> tuple[Change, Encoder | None]:
        """The change that `migrate` and `plan` are called with, and the encoder where one was given."""
        if isinstance(to, Change):
            if chunk_tokens is not None or retrieval is not None:
                raise InvalidInput(
                    "a Change, and chunk_tokens or retrieval beside it", expected="all of it in the Change"
                )
            return to, None
        if to is None or isinstance(to, str | Path):
            return cls(None if to is None else str(to), chunk_tokens, retrieval), None
        return cls(to.space.name, chunk_tokens, retrieval), to


@dataclass(frozen=True)
class ResolvedChange:
    """A `Change` with its encoder loaded and its settings complete. `chunking` None: the chunks stay.

    `model` is the name or folder to load the encoder from later. `further` are the encoders of the spaces beside it, in
    the order of the settings.
    """

    live: Version
    encoder: Encoder
    model: str
    chunking: ChunkSettings | None
    retrieval: RetrievalSettings
    further: tuple[Encoder, ...] = ()

    @property
    def chunk_settings(self) -> ChunkSettings:
        """The chunk settings of the new version."""
        return self.chunking or ChunkSettings.from_json(self.live.chunking)

    @property
    def is_new_space(self) -> bool:
        """Whether the new version needs vectors of another space."""
        return self.encoder.space != self.live.space


def live_version(kb: Collection) -> Version:
    """The live version, also if this process serves another one."""
    name = next(info.name for info in kb.versions.list() if info.state == "live")
    return kb.versions.get(name)


def resolve_change(
    kb: Collection,
    change: Change,
    *,
    encoder: Encoder | None = None,
    threads: int | None = None,
    progress: ProgressCallback = no_progress,
) -> ResolvedChange:
    """Load the model (unless `encoder` is given) and complete the settings of a change.

    Raises InvalidInput if nothing would change, for unknown settings, and for chunks longer than the model's
    maximum; SpaceMismatch for a query encoder of another space; and the errors of loading a model.
    """
    live = live_version(kb)
    retrieval = resolve_models(_searched(live.retrieval, change), progress)
    if encoder is None:
        encoder = _loaded(kb, live, change, threads=threads, progress=progress)
    check_index_kind(encoder.space, retrieval)
    registry = kb.internals.encoders
    retrieval = resolve_spaces(retrieval, encoder.space, registry.kept)
    retrieval = resolve_query_encoder(retrieval, encoder, registry.named, again=encoder.space != live.space)
    chunking = _chunking(live, change.chunk_tokens, encoder)
    if encoder.space == live.space and chunking is None and retrieval == live.retrieval:
        raise InvalidInput(
            f"{encoder.space.short}, the same space that {live.name} serves with: nothing to do",
            expected="another model, other passages (--chunk-tokens), dimensions (--dim), vectors stored in another "
            "type (--vector-type) or other search settings (--set)",
            hint="gnomon models lists models; gnomon versions shows the live version",
        )
    model = live.model if encoder.space == live.space else model_reference(change.to or encoder.space.name)
    beside = (one for one in retrieval.spaces if one.place == "beside")
    further = tuple(registry.further(one, encoder.space) for one in beside)
    return ResolvedChange(live, encoder, model, chunking, retrieval, further)


def _searched(base: RetrievalSettings, change: Change) -> RetrievalSettings:
    """The search settings of a change. Raises InvalidInput, also for a second stage without a model for it."""
    if change.second_stage and not change.add_models:
        raise InvalidInput(
            "--second-stage without a further model", expected="--add-model MODEL, which scores the first results"
        )
    place: SpacePlace = "second-stage" if change.second_stage else "beside"
    added = [SpaceSettings(model_reference(model), place) for model in change.add_models]
    base = remove_spaces(add_spaces(base, added), [model_reference(model) for model in change.remove_models])
    return change_retrieval(base, change.retrieval or {})


def add_spaces(base: RetrievalSettings, added: Sequence[SpaceSettings]) -> RetrievalSettings:
    """Search settings with further spaces. Weights that are set keep their proportions, and a list gets its default."""
    weights, beside = base.fuse.weights, sum(one.place == "beside" for one in added)
    if weights is not None and beside:
        total, share = sum(weights), 0.3 / beside
        weights = (*(0.7 * weight / total for weight in weights), *([share] * beside))
    return replace(base, spaces=(*base.spaces, *added), fuse=replace(base.fuse, weights=weights))


def remove_spaces(base: RetrievalSettings, models: Sequence[str]) -> RetrievalSettings:
    """Search settings without some further spaces and their weights. Raises InvalidInput for unknown models."""
    for model in models:
        if all(model != one.model for one in base.spaces):
            raise InvalidInput(
                f"--remove-model {model}, which is no further model of the collection",
                expected=", ".join(one.model for one in base.spaces) or "a collection with further models",
                hint="gnomon status KB shows them; another first model is set by gnomon migrate KB --to MODEL",
            )
    left = tuple(one for one in base.spaces if one.model not in models)
    weights = base.fuse.weights
    if weights is not None:
        gone = {name for name, one in base.named_spaces if one.model in models}
        kept = tuple(weight for name, weight in zip(base.lists, weights, strict=False) if name not in gone)
        weights = kept if sum(kept) > 0 else None
    return replace(base, spaces=left, fuse=replace(base.fuse, weights=weights))


def find_ready_version(kb: Collection, change: ResolvedChange) -> VersionInfo | None:
    """A version with just these settings that is already built, so that only its gate has to run again."""
    for info in kb.versions.list():
        version = kb.versions.get(info.name)
        if change.chunking is None:
            same = version.chunking_id == change.live.chunking_id
        else:
            same = (version.chunking, version.chunk_tokenizer) == (
                change.chunking.to_json(),
                chunk_tokenizer_of(change.encoder),
            )
        alike = version.space == change.encoder.space and version.retrieval == change.retrieval
        if info.state == "ready" and same and alike:
            return info
    return None


def model_reference(model: str) -> str:
    """What the model is loaded from later: a folder's absolute path, a name as it is."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if is_folder(folder) else model


def change_retrieval(base: RetrievalSettings, changes: Mapping[str, Any]) -> RetrievalSettings:
    """Search settings with some changed, see `Change`. Raises InvalidInput for unknown settings."""
    plain = base.to_json()
    for path, value in changes.items():
        if path in RENAMED_SETTINGS:
            new = RENAMED_SETTINGS[path]
            # For users of the command line, to whom Python shows no DeprecationWarning.
            warnings.warn(f"{path} is now {new}; the old name will be removed in 0.3", FutureWarning, stacklevel=3)
            path = new
        group, dot, name = path.partition(".")
        known = _field_names(group)
        if group not in [field.name for field in fields(RetrievalSettings)] or (dot and name not in known):
            settings = sorted({f.name for f in fields(RetrievalSettings)} - _GROUPS.keys())
            inside = [f"{group}.{name}" for group in _GROUPS for name in _field_names(group)]
            raise InvalidInput(f"the search setting {path!r}", expected=", ".join([*settings, *inside]))
        if group in ("rerank", "sparse", "query_encoder") and name in ("", "model", "instruction"):
            plain[group] = {**(plain.get(group) or {}), "fingerprint": ""}  # the former model's
        if dot:
            plain[group] = {**(plain.get(group) or {}), name: value}
        elif value is None:
            plain.pop(group, None)
        elif group == "spaces":
            plain[group] = to_plain(space_settings(value))
        elif group in _GROUPS and not isinstance(value, Mapping):
            raise InvalidInput(
                f"the search setting {group} = {value!r}", expected=f"a table of {', '.join(_field_names(group))}"
            )
        else:
            plain[group] = value
    try:
        return RetrievalSettings.from_json(plain)
    except InvalidInput:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        values = ", ".join(f"{path}={value}" for path, value in changes.items())
        raise InvalidInput(
            f"{values}: {error}",
            expected="settings such as mode=dense, fuse.weights=0.3,0.7 or rm3={}",
            hint="gnomon versions --json shows the settings of each version",
        ) from error


def _field_names(group: str) -> list[str]:
    return [field.name for field in fields(_GROUPS[group])] if group in _GROUPS else []


def _loaded(
    kb: Collection, live: Version, change: Change, *, threads: int | None, progress: ProgressCallback
) -> Encoder:
    """The model of a change; the live one is the collection's own encoder, in the precision it has there."""
    stays = change.to is None or model_reference(change.to) == live.model
    form = VectorForm.of(live.space) if stays else VectorForm(vector_type=live.space.vector_type)
    form = replace(form, dim=change.dim or form.dim, vector_type=change.vector_type or form.vector_type)
    if stays and kb.encoder.space == live.space and form == VectorForm.of(live.space):
        return kb.encoder
    if stays and kb.encoder.space == live.space and form.dim == VectorForm.of(live.space).dim:
        own = unrounded(kb.encoder)  # the model is loaded already: only what is stored of it changes
        return stored_as(own, form.vector_type)
    return load_in_form(change.to or live.model, form, threads=threads, progress=progress)


def _chunking(live: Version, chunk_tokens: int | None, encoder: Encoder) -> ChunkSettings | None:
    """Chunks of another length with the same share of overlap; None if they are the live version's."""
    if chunk_tokens is None:
        return None
    overlap = chunk_tokens * live.chunking["overlap"] // live.chunking["max_tokens"]
    wanted = ChunkSettings(chunk_tokens, overlap, live.chunking["prepend_title"])
    if chunk_tokens > encoder.max_tokens:
        raise InvalidInput(
            f"--chunk-tokens {chunk_tokens} for {encoder.space.short}",
            expected=f"at most the {encoder.max_tokens} tokens that it reads",
            hint=f"--chunk-tokens {encoder.max_tokens} or less, or a model that reads longer texts",
        )
    same_tokenizer = encoder.space == live.space or (
        live.chunk_tokenizer is not None and live.chunk_tokenizer == chunk_tokenizer_of(encoder)
    )
    return None if same_tokenizer and wanted.to_json() == live.chunking else wanted
