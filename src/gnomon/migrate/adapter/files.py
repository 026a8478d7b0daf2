"""Embedding adapters as files: numpy's npz without pickle, the arrays beside one JSON text.

The adapter of a version that is being built is kept with the migration's state, and removed when the build is done.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np

from gnomon.collection.catalog.versions import NotReady
from gnomon.collection.collection import Collection
from gnomon.core.errors import InvalidInput, StorageError
from gnomon.core.files import exists, replacing, storage_error
from gnomon.core.space import Space
from gnomon.migrate.adapter.fit import AdapterQuality, EmbeddingAdapter
from gnomon.migrate.adapter.maps import MapKind
from gnomon.migrate.state import FOLDER

_FORMAT, _FORMAT_0_1 = "gnomon-adapter-2", "gnomon-bridge-1"


def adapter_file(kb: Collection, version: str) -> Path:
    """The file of the adapter to a version that is being built; as gnomon 0.1 named it, where that one is there."""
    path, former = (kb.internals.folder / FOLDER / f"{version}.{end}" for end in ("adapter", "bridge"))
    return former if exists(former) and not exists(path) else path


def load_version_adapter(kb: Collection, version: str) -> EmbeddingAdapter:
    """The adapter that was fitted for a version's build. Raises NotReady if there is none."""
    path = adapter_file(kb, version)
    if not exists(path):
        raise NotReady(
            f"there is no adapter to {version}",
            expected="an unfinished build that was started with --adapter, and whose adapter's recall was high enough",
            hint="gnomon migrate COLLECTION --status shows its state; a version that is built is searched without one",
        )
    return load_adapter(path)


def save_adapter(adapter: EmbeddingAdapter, path: Path) -> None:
    """Write an adapter to a file, whole or not at all. Raises StorageError."""
    description = {
        "format": _FORMAT,
        "old": adapter.old.to_json(),
        "new": adapter.new.to_json(),
        "kind": adapter.kind,
        "calibration": adapter.calibration,
        "quality": asdict(adapter.quality),
    }
    try:
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez(file, allow_pickle=False, about=np.array(json.dumps(description)), **adapter.arrays)
    except OSError as error:
        raise storage_error(error, path) from error


def load_adapter(path: Path) -> EmbeddingAdapter:
    """Read an adapter, also one that gnomon 0.1 wrote.

    Raises InvalidInput for a file that is no adapter, StorageError for one that cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            description = _upgraded(json.loads(str(file["about"])))
            arrays = {name: np.asarray(file[name], np.float32) for name in file.files if name != "about"}
        if description["format"] != _FORMAT or description["kind"] not in get_args(MapKind):
            raise ValueError(f"format {description['format']}, kind {description['kind']}")
        slope, generic, constant = description["calibration"]
        adapter = EmbeddingAdapter(
            old=Space.from_json(description["old"]),
            new=Space.from_json(description["new"]),
            kind=description["kind"],
            arrays=arrays,
            calibration=(float(slope), float(generic), float(constant)),
            quality=AdapterQuality(**description["quality"]),
        )
        _check(adapter)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read: {error}", expected="an adapter's file", hint="fit the adapter again"
        ) from error
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise InvalidInput(
            f"{path} is no embedding adapter: {error}",
            expected="a file that save_adapter wrote",
            hint="fit the adapter again",
        ) from error
    return adapter


def _upgraded(description: Mapping[str, Any]) -> dict[str, Any]:
    """The description with today's keys, where gnomon 0.1 wrote it."""
    if description["format"] != _FORMAT_0_1:
        return dict(description)
    renamed = {"scale": "calibration", "measured": "quality"}
    return {**{renamed.get(key, key): value for key, value in description.items()}, "format": _FORMAT}


def _check(adapter: EmbeddingAdapter) -> None:
    arrays, old, new = adapter.arrays, adapter.old.dim, adapter.new.dim
    shapes: dict[str, tuple[int, ...]] = {"weights": (new, old), "offset": (old,), "mean": (new,)}
    if adapter.kind == "residual":
        width = arrays["bias"].size
        shapes |= {"into": (new, width), "bias": (width,), "out": (width, old)}
    if {name: array.shape for name, array in arrays.items()} != shapes:
        raise ValueError(f"arrays { ({name: array.shape for name, array in arrays.items()}) }")
    if not all(np.isfinite(array).all() for array in arrays.values()) or not np.isfinite(adapter.calibration).all():
        raise ValueError("values that are not finite")
    if adapter.calibration[0] <= 0:
        raise ValueError(f"a slope of {adapter.calibration[0]}")
