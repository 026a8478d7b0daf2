"""Opening a collection, or making a new one."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gnomon.collection.address import PostgresAddress, collection_address
from gnomon.collection.catalog import queries, spaces, versions
from gnomon.collection.catalog.connection import Catalog, is_catalog
from gnomon.collection.catalog.sqlite import FILE, translated_errors
from gnomon.collection.catalog.versions import Version
from gnomon.collection.collection import Collection
from gnomon.collection.indexes.state import derived_folder, read_state
from gnomon.collection.indexes.store_index import require_store
from gnomon.collection.loading import VectorForm, load_in_form
from gnomon.collection.serving.encoders import EncoderRegistry, resolve_models
from gnomon.collection.serving.further_spaces import resolve_spaces, warn_of_long_chunks
from gnomon.collection.serving.serving import Serving
from gnomon.collection.serving.shared_space import resolve_query_encoder
from gnomon.collection.settings import DEFAULT_MODEL, CollectionSettings, RetrievalSettings, check_index_kind
from gnomon.core.contracts import Encoder, SparseTextEncoder
from gnomon.core.errors import CollectionDamaged, CollectionNotFound, DamagedCatalog, InvalidInput, LostChanges
from gnomon.core.files import is_folder
from gnomon.core.progress import ProgressCallback, accepts_say, no_progress
from gnomon.core.space import Space
from gnomon.retrieve.spaces import SpaceSettings, space_settings
from gnomon.retrieve.sparse import SparseSettings
from gnomon.text.chunk import ChunkSettings

_CHUNK_TOKENS = 256


Load = Callable[[str, VectorForm], Encoder]


@accepts_say
def open_collection(
    path: str | Path | PostgresAddress,
    *,
    settings: CollectionSettings | None = None,
    encoder: Encoder | Sequence[Encoder] | None = None,
    create: bool = True,
    progress: ProgressCallback = no_progress,
    version: str | None = None,
    sparse_encoder: SparseTextEncoder | None = None,
    store: str | None = None,
) -> Collection:
    """Open the collection in a folder or in a database (postgresql://…/database/collection), or make one there.

    `settings` decide how a new collection is made; an existing one must agree with those that are not None, and is
    opened with its own model where they name none. `encoder` is used instead of loading a model; several are used
    for the versions of their spaces, and for further spaces of the settings by the names of their spaces;
    `sparse_encoder` likewise for sparse vectors; `store` is that of the settings.
    `progress` is told of loading. The live version answers, also after later switches, or always `version` ("v2").

    Raises CollectionNotFound where there is none and `create` is False, SpaceMismatch for another model than
    the collection's, InvalidInput for other settings, NotReady for a version that cannot serve, CollectionDamaged,
    StorageError, and what loading a model raises.
    """
    place = collection_address(path)
    settings = replace(given := settings or CollectionSettings(), store=store or given.store)
    encoders = () if encoder is None else tuple(encoder) if isinstance(encoder, Sequence) else (encoder,)
    name = settings.model or (encoders[0].space.name if encoders else DEFAULT_MODEL)
    create = create and version is None  # a version is named of what is there
    is_new = create and not _is_there(place)
    here: dict[str, Any] = {"threads": settings.threads, "progress": progress}
    models = _Models(partial(load_in_form, **here), partial(_loaded_sparse, **here), encoders, sparse_encoder)
    if is_new:
        # Before anything is written, so that a missing or unsuitable model leaves nothing behind.
        models = models.loaded(name, settings)
    catalog = Catalog(place, create=create)
    try:
        serving = _serving_version(catalog, version)
        if serving is None:
            if not create:
                raise _unfinished(catalog.address)
            models = models.loaded(name, settings)
            serving = _create(catalog, settings, models, model=_reference(name))
        _warn_of_faults(catalog, serving)
        _require_agreement(serving, settings, sparse_encoder)
        registry = models.registry(catalog, serving, settings.model)
        return Collection(Serving(catalog.folder, catalog, registry, version=serving, fixed=version is not None))
    except BaseException:
        catalog.close()
        raise


@dataclass(frozen=True)
class _Models:
    """The encoders that were given, and how to load others by their names."""

    load: Load
    load_sparse: Callable[[str], SparseTextEncoder]
    encoders: tuple[Encoder, ...]
    sparse: SparseTextEncoder | None
    spaces: tuple[SpaceSettings, ...] = ()
    """Those of a new collection, whose encoders come after the first."""

    def loaded(self, name: str, settings: CollectionSettings) -> _Models:
        """With those of a new collection. Raises what loading raises, and InvalidInput for an unsuitable model."""
        form = VectorForm(settings.dim, settings.vector_type or "float32")
        encoders = self.encoders or (self.load(name, form),)
        check_index_kind(encoders[0].space, _unresolved(settings))
        own = settings.retrieval.get("sparse") if isinstance(settings.retrieval, Mapping) else None
        own = settings.retrieval.sparse if isinstance(settings.retrieval, RetrievalSettings) else own
        named = settings.sparse or (own.model if own is not None else None)
        sparse = self.load_sparse(named) if self.sparse is None and named is not None else self.sparse
        further: list[Encoder] = []

        def keep(model: str, like: Space) -> Encoder:
            further.append(replace(self, encoders=encoders).like(model, like))
            return further[-1]

        spaces = resolve_spaces(_unresolved(settings), encoders[0].space, keep).spaces
        return replace(self, encoders=tuple(dict.fromkeys((*encoders, *further))), sparse=sparse, spaces=spaces)

    def further(self) -> Iterator[tuple[SpaceSettings, Encoder]]:
        """The further spaces of a new collection with their encoders."""
        by_space = {encoder.space.fingerprint: encoder for encoder in self.encoders}
        return ((one, by_space[one.fingerprint]) for one in self.spaces)

    def like(self, model: str, space: Space) -> Encoder:
        """A model with its vectors in the form that those of a space have."""
        named = (each for each in self.encoders if each.space.name == model)
        return next(named, None) or self.load(model, VectorForm.of(space))

    def registry(self, catalog: Catalog, version: Version, named: str | None) -> EncoderRegistry:
        """The encoders of a collection's versions. Raises SpaceMismatch where none is of this version's space."""
        return EncoderRegistry(
            catalog,
            self.like,
            _checked_encoders(version, named, self.encoders, load=self.load),
            load_sparse=self.load_sparse,
            sparse=self.sparse,
        )


def _is_there(place: Path | PostgresAddress) -> bool:
    """Whether there is a collection. Raises CollectionDamaged where only the catalog of one is gone."""
    if isinstance(place, PostgresAddress):
        return is_catalog(place)
    with translated_errors(place):
        found = is_catalog(place)
    _require_no_remains(place)
    return found


def _require_no_remains(folder: Path) -> None:
    """Raise CollectionDamaged where the catalog is gone or empty, though its indexes or its log are there."""
    path = folder / FILE
    try:
        if path.exists() and path.stat().st_size:
            return
        log = path.with_name(f"{FILE}-wal")
        remains = [*(folder / "derived").glob("v*/state.json"), *([log] if log.exists() and log.stat().st_size else [])]
    except OSError:  # opening says what is wrong
        return
    if remains:  # beside an empty file SQLite would delete the log
        raise CollectionDamaged(
            f"{path} is {'empty' if path.exists() else 'gone'}, though {remains[0]} of its collection is there",
            expected="the catalog, which alone holds the documents",
            hint=f"restore {FILE} from a backup, or index into another folder",
        )


def _warn_of_faults(catalog: Catalog, version: Version) -> None:
    _warn_of_damage(catalog)
    _warn_of_lost_changes(catalog, version)


def _warn_of_damage(catalog: Catalog) -> None:
    """Warn where the database's own check finds faults, where that is quick. Else the doctor checks it."""
    found = catalog.backend.fault()
    if found is not None:
        warnings.warn(
            f"{catalog.address} is damaged ({found}): documents may be missing or wrong; restore it from a backup; "
            f"what is wrong, and what can be mended: gnomon doctor {shlex.quote(catalog.address)}",
            DamagedCatalog,
            stacklevel=4,
        )


def _warn_of_lost_changes(catalog: Catalog, version: Version) -> None:
    """Warn where the catalog is behind what its indexes have seen."""
    state = read_state(derived_folder(catalog.folder, version))
    with catalog.read() as connection:
        head = queries.chunking_head(connection, version.chunking_id)
    if state.collection == catalog.collection_id and state.seq > head.seq:
        warnings.warn(
            f"{catalog.address}: the last {state.seq - head.seq:,} changes of passages that were committed are not in "
            f"the catalog any more: an older copy was put back, or {catalog.backend.loses_by}; "
            "index the files again, and the documents since then are in",
            LostChanges,
            stacklevel=4,
        )


def _serving_version(catalog: Catalog, name: str | None) -> Version | None:
    """The version that answers, None in a new collection. Raises NotReady where a named one cannot serve."""
    with catalog.read() as connection:
        live = versions.live_version(connection)
        if name is None or live is None:
            return live
        return versions.complete_version(connection, name)


def _unfinished(address: str) -> CollectionNotFound:
    return CollectionNotFound(
        f"the collection at {address} was never finished: it has no version",
        expected="a collection with a model",
        hint=f"make it: gnomon index PATH --into {shlex.quote(address)}",
    )


def new_chunking(settings: CollectionSettings, encoder: Encoder) -> ChunkSettings:
    """The chunks of a new collection. Raises InvalidInput for longer ones than the encoder reads."""
    tokens = settings.chunk_tokens or min(_CHUNK_TOKENS, encoder.max_tokens)
    chunking = ChunkSettings(
        max_tokens=tokens,
        overlap=tokens // 8 if settings.chunk_overlap is None else settings.chunk_overlap,
        prepend_title=settings.prepend_title is not False,
    )
    if chunking.max_tokens > encoder.max_tokens:
        raise InvalidInput(
            f"chunks of {chunking.max_tokens} tokens for {encoder.space.short}",
            expected=f"at most the {encoder.max_tokens} tokens that it reads whole",
            hint="take smaller chunks, or a model that reads longer texts",
        )
    return chunking


def _create(catalog: Catalog, settings: CollectionSettings, models: _Models, *, model: str) -> Version:
    encoder, sparse = models.encoders[0], models.sparse
    chunking = new_chunking(settings, encoder)
    canaries = spaces.canaries_for(catalog, encoder)
    retrieval = resolve_query_encoder(_retrieval(settings, sparse), encoder, models.like)
    retrieval = replace(retrieval, spaces=models.spaces)
    further = [(one.model, each, spaces.canaries_for(catalog, each)) for one, each in models.further()]
    for _, each, _ in further:
        warn_of_long_chunks(each, chunking)
    require_store(catalog, encoder.space, address=retrieval.store)
    with catalog.write() as connection:
        made = versions.live_version(connection)  # another process may have been first
        if made is None:
            space = spaces.register(connection, encoder, model, canaries=canaries)
            if retrieval.sparse is not None and sparse is not None:
                spaces.register_sparse(connection, sparse, retrieval.sparse.model)
            for name, each, own in further:
                spaces.register(connection, each, name, canaries=own)
            chunking_row = versions.chunking_id(connection, chunking.to_json(), None)
            versions.create(connection, "live", chunking_row, space=space, retrieval=retrieval)
            made = versions.live_version(connection)
    if made is None:
        raise InvalidInput("a collection without a version", expected="the one just written")
    return made


def _checked_encoders(
    version: Version, named: str | None, encoders: tuple[Encoder, ...], *, load: Load
) -> tuple[Encoder, ...]:
    """The encoders that need not be loaded. Raises SpaceMismatch where none is of the version's space."""
    if not encoders and named is not None and _reference(named) != version.model:
        encoders = (load(named, VectorForm.of(version.space)),)
        spaces.require_same(version.space, encoders[0].space, named)
    if encoders and version.space not in [encoder.space for encoder in encoders]:
        spaces.require_same(version.space, encoders[0].space, encoders[0].space.name)
    return encoders


_CHUNKING_NAMES = {"max_tokens": "chunk_tokens", "overlap": "chunk_overlap", "prepend_title": "prepend_title"}


_OPTIONS = {"chunk_tokens": "--chunk-tokens", "dim": "--dim", "vector_type": "--vector-type"}


def _how_to_change(settings: Mapping[str, Any]) -> str:
    """The command that makes a version with other settings, where there is one."""
    options = [
        f"{_OPTIONS[name]} {value}" if name in _OPTIONS else f"--set {name}={value}"
        for name, value in settings.items()
        if name not in ("chunk_overlap", "prepend_title") and not isinstance(value, Mapping)
    ]
    if len(options) < len(settings):
        return "index into a new collection with the new ones"
    return f"make a version with the new ones: gnomon migrate KB {' '.join(options)}"


def _require_agreement(version: Version, settings: CollectionSettings, sparse: SparseTextEncoder | None) -> None:
    """Raise InvalidInput where settings differ from those that the collection was made with."""
    wanted: dict[str, Any] = {
        "max_tokens": settings.chunk_tokens,
        "overlap": settings.chunk_overlap,
        "prepend_title": settings.prepend_title,
    }
    wrong = {k: v for k, v in wanted.items() if v is not None and version.chunking[k] != v}
    other = {_CHUNKING_NAMES[name]: value for name, value in wrong.items()}
    stored = {**version.chunking, **asdict(version.retrieval)}
    stored |= {setting: version.chunking[name] for name, setting in _CHUNKING_NAMES.items()}
    if settings.retrieval is not None:
        whole_settings = _with_kept_fingerprint(
            _retrieval(replace(settings, sparse=None, spaces=()), sparse), version.retrieval
        )
        whole = asdict(whole_settings)
        named = settings.retrieval if isinstance(settings.retrieval, Mapping) else whole
        other |= {name: whole[name] for name in named if stored[name] != whole[name]}
    wanted_form = {"dim": settings.dim, "vector_type": settings.vector_type}
    held = {"dim": version.space.dim, "vector_type": version.space.vector_type}
    stored |= held
    other |= {name: value for name, value in wanted_form.items() if value is not None and held[name] != value}
    if settings.store is not None and settings.store != version.retrieval.store:
        raise InvalidInput(
            f"the collection was made with {version.retrieval.store or 'its vectors beside the catalog'}, not with the "
            f"store {settings.store}",
            expected="the collection's own settings",
            hint=f"make a version with the new one: gnomon migrate KB --store {settings.store}",
        )
    _require_same_spaces(version, settings)
    own = version.retrieval.sparse
    if settings.sparse is not None and (own is None or own.model != _reference(settings.sparse)):
        raise InvalidInput(
            f"the collection was made with {'no sparse encoder' if own is None else own.model}, not {settings.sparse}",
            expected="the collection's own settings",
            hint=f"make a version with the new one: gnomon migrate KB --set sparse.model={settings.sparse}",
        )
    if other:
        made_with = ", ".join(f"{key} {stored[key]}" for key in other)
        raise InvalidInput(
            f"the collection was made with {made_with}, not {', '.join(f'{k} {v}' for k, v in other.items())}",
            expected="the collection's own settings",
            hint=f"leave them out, or {_how_to_change(other)}",
        )


def _require_same_spaces(version: Version, settings: CollectionSettings) -> None:
    """Raise InvalidInput where settings name other further models than a version has, or give them another place."""
    if not settings.spaces:
        return
    named = {(_reference(one.model), one.place) for one in space_settings(settings.spaces)}
    own = version.retrieval.spaces
    if {(one.model, one.place) for one in own} == named:
        return
    names = " and ".join(sorted(f"{model} ({place})" for model, place in named))
    lacking = sorted(named - {(one.model, one.place) for one in own}) or sorted(named)
    raise InvalidInput(
        f"the collection was made with {', '.join(one.model for one in own) or 'no further model'}, not with {names}",
        expected="the collection's own models",
        hint=f"make a version with the new one: gnomon migrate KB --add-model {lacking[0][0]}"
        + (" --second-stage" if lacking[0][1] == "second-stage" else ""),
    )


def _retrieval(settings: CollectionSettings, sparse: SparseTextEncoder | None = None) -> RetrievalSettings:
    whole = _unresolved(settings)
    if whole.sparse is None and (settings.sparse or sparse is not None):
        whole = replace(whole, sparse=SparseSettings(settings.sparse or (sparse.space.name if sparse else "")))
    if whole.sparse is not None and sparse is not None:
        found = replace(whole.sparse, model=_reference(whole.sparse.model), fingerprint=sparse.space.fingerprint)
        whole = replace(whole, sparse=found)
    return resolve_models(whole)


def _with_kept_fingerprint(wanted: RetrievalSettings, kept: RetrievalSettings) -> RetrievalSettings:
    """The settings with the kept query encoder and further spaces, where they name the same models."""
    named = wanted.query_encoder and wanted.query_encoder.model
    same = kept.query_encoder is not None and kept.query_encoder.model == named
    known = {_reference(one.model): one.fingerprint for one in kept.spaces}
    spaces = (replace(one, model=(at := _reference(one.model)), fingerprint=known.get(at, "")) for one in wanted.spaces)
    wanted = replace(wanted, spaces=tuple(spaces))
    return replace(wanted, query_encoder=kept.query_encoder) if same else wanted


def _unresolved(settings: CollectionSettings) -> RetrievalSettings:
    named = settings.retrieval
    whole = RetrievalSettings(**named) if isinstance(named, Mapping) else named or RetrievalSettings()
    whole = replace(whole, spaces=space_settings(settings.spaces)) if settings.spaces else whole
    return whole if settings.store is None else replace(whole, store=settings.store)


def _reference(model: str) -> str:
    """What the catalog keeps to load the model from: a folder's absolute path, or a name as it is."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if is_folder(folder) else model


def _loaded_sparse(name: str, *, threads: int | None, progress: ProgressCallback) -> SparseTextEncoder:
    from gnomon.encode import EncoderSettings, load_sparse_encoder

    return load_sparse_encoder(name, settings=EncoderSettings(threads=threads), progress=progress)


open = open_collection  # noqa: A001 - `gnomon.open`
