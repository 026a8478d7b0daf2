"""Opening a collection, or making a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from gnomon.collection import model as models
from gnomon.collection import version as versions
from gnomon.collection.catalog import FILE, Catalog, explained
from gnomon.collection.collection import Collection
from gnomon.collection.settings import DEFAULT_MODEL, CollectionSettings, RetrievalSettings
from gnomon.collection.version import Version
from gnomon.core.contracts import Encoder
from gnomon.core.errors import CollectionNotFound, InvalidInput
from gnomon.core.space import Space
from gnomon.text.chunk import ChunkSettings

_CHUNK_TOKENS = 256
Load = Callable[[str], Encoder]


def open_collection(
    path: str | Path,
    *,
    settings: CollectionSettings | None = None,
    encoder: Encoder | None = None,
    create: bool = True,
    say: Callable[[str], None] | None = None,
) -> Collection:
    """Open the collection in a folder, or make one there.

    `settings` decide how a new collection is made; an existing one must agree with what they name, and is
    opened with its own model when they name none. `encoder` stands in for loading a model. `say` is told what
    loading a model tries and does.
    Raises CollectionNotFound where there is none and `create` is False, SpaceMismatch for another model than
    the collection's, InvalidInput for other settings, CollectionDamaged, StorageError.
    """
    folder = Path(path).expanduser().absolute()
    settings = settings or CollectionSettings()
    name = settings.model or (DEFAULT_MODEL if encoder is None else encoder.space.name)
    load = partial(_loaded, threads=settings.threads, say=say or _silent)
    with explained(folder):
        is_new = create and not (folder / FILE).exists()
    if is_new:
        # Before anything is made, so that a model that is not there, or will not do, leaves nothing behind.
        encoder = encoder or load(name)
        models.require_single(encoder)
    catalog = Catalog(folder, create=create)
    try:
        with catalog.read() as connection:
            version = versions.live(connection)
        if version is None:
            if not create:
                raise CollectionNotFound(
                    f"the collection at {folder} was never finished: it has no version",
                    wanted="a collection with a model",
                    next_step=f"make it: gnomon index PATH --into {folder}",
                )
            encoder = encoder or load(name)
            version = _create(catalog, settings, encoder, _reference(name))
        _require_agreement(version, settings)
        load = partial(load, space=version.space)
        return Collection(folder, catalog, version, _opener(catalog, version, settings.model, encoder, load))
    except BaseException:
        catalog.close()
        raise


def _create(catalog: Catalog, settings: CollectionSettings, encoder: Encoder, model: str) -> Version:
    tokens = settings.chunk_tokens or min(_CHUNK_TOKENS, encoder.max_tokens)
    chunking = ChunkSettings(
        max_tokens=tokens,
        overlap=tokens // 8 if settings.chunk_overlap is None else settings.chunk_overlap,
        prepend_title=settings.prepend_title is not False,
    )
    if chunking.max_tokens > encoder.max_tokens:
        raise InvalidInput(
            f"chunks of {chunking.max_tokens} tokens for {encoder.space.short}",
            wanted=f"at most the {encoder.max_tokens} tokens that it reads whole",
            next_step="take smaller chunks, or a model that reads longer texts",
        )
    with catalog.write() as connection:
        made = versions.live(connection)  # another process may have been first
        if made is None:
            space_id = models.register(connection, encoder, model)
            versions.create_live(
                connection,
                chunking=chunking.to_json(),
                space_id=space_id,
                retrieval=_retrieval(settings),
            )
            made = versions.live(connection)
    if made is None:
        raise InvalidInput("a collection without a version", wanted="the one just written")
    return made


def _opener(
    catalog: Catalog, version: Version, named: str | None, given: Encoder | None, load: Load
) -> Callable[[], Encoder]:
    """What loads and checks the encoder when it is first needed; a given one is checked at once."""

    def check(encoder: Encoder) -> None:
        with catalog.read() as connection:
            models.check_canaries(connection, version.space_id, encoder)

    if given is not None:
        models.require_same(version.space, given.space, given.space.name)
        return lambda: models.open_encoder(version.space, version.model, lambda _: given, check)
    if named is not None and _reference(named) != version.model:
        other = load(named)
        models.require_same(version.space, other.space, named)
        return lambda: models.open_encoder(version.space, named, lambda _: other, check)
    return lambda: models.open_encoder(version.space, version.model, load, check)


def _require_agreement(version: Version, settings: CollectionSettings) -> None:
    """Raise InvalidInput where settings name something else than the collection was made with."""
    wanted: dict[str, Any] = {
        "max_tokens": settings.chunk_tokens,
        "overlap": settings.chunk_overlap,
        "prepend_title": settings.prepend_title,
    }
    other = {k: v for k, v in wanted.items() if v is not None and version.chunking[k] != v}
    held = {**version.chunking, **asdict(version.retrieval)}
    if settings.retrieval is not None:
        whole = asdict(_retrieval(settings))
        named = settings.retrieval if isinstance(settings.retrieval, Mapping) else whole
        other |= {name: whole[name] for name in named if held[name] != whole[name]}
    if other:
        raise InvalidInput(
            f"settings {other} for a collection made with { ({key: held[key] for key in other}) }",
            wanted="the collection's own settings",
            next_step="leave them out, or index into a new collection with the new ones",
        )


def _retrieval(settings: CollectionSettings) -> RetrievalSettings:
    given = settings.retrieval
    return RetrievalSettings(**given) if isinstance(given, Mapping) else given or RetrievalSettings()


def _reference(model: str) -> str:
    """What is kept to load the model from: a folder by its absolute path, a name as it is."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def _loaded(
    name: str, *, threads: int | None, say: Callable[[str], None], space: Space | None = None
) -> Encoder:
    """The model as it comes, or in the precision and with the dimensions that a space was made with."""
    from gnomon.encode import EncoderSettings, load_encoder

    settings = EncoderSettings(threads=threads)
    if space is not None and space.precision == "int8":
        settings = replace(settings, precision="int8")
    if space is not None and space.parent is not None:
        settings = replace(settings, dim=space.dim)
    return load_encoder(name, settings=settings, say=say)


def _silent(_: str) -> None:
    return None
