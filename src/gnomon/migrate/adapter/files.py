"""A bridge as a file: numpy's npz without pickle, its arrays beside one line of JSON.

While a version is built, the one that serves lies with what is known of the migration.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import numpy as np

from gnomon.collection.catalog.versions import NotReady
from gnomon.collection.collection import Collection
from gnomon.core.errors import InvalidInput, StorageError
from gnomon.core.space import Space
from gnomon.migrate.adapter.fit import Bridge, Measured
from gnomon.migrate.adapter.maps import Kind
from gnomon.migrate.state import FOLDER

_FORMAT = "gnomon-bridge-1"


def bridge_file(kb: Collection, version: str) -> Path:
    """Where the bridge to a version that is being built lies."""
    return kb.internals.folder / FOLDER / f"{version}.bridge"


def kept_bridge(kb: Collection, version: str) -> Bridge:
    """The bridge that a version's build was begun with. Raises NotReady where none serves."""
    path = bridge_file(kb, version)
    if not path.exists():
        raise NotReady(
            f"no bridge to {version} serves",
            expected="a build that was begun with --bridge, whose map finds enough, and that is not done yet",
            hint="gnomon migrate COLLECTION --status shows how it stands; what is built is searched by itself",
        )
    return load_bridge(path)


def save_bridge(bridge: Bridge, path: Path) -> None:
    """Write a bridge to a file, whole or not at all. Raises StorageError."""
    about = {
        "format": _FORMAT,
        "old": bridge.old.to_json(),
        "new": bridge.new.to_json(),
        "kind": bridge.kind,
        "scale": bridge.scale,
        "measured": asdict(bridge.measured),
    }
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, about=np.array(json.dumps(about)), **bridge.arrays)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StorageError(
            f"{path} cannot be written: {error}", expected="room and permission", hint="name another file"
        ) from error


def load_bridge(path: Path) -> Bridge:
    """The bridge of a file. Raises InvalidInput for what is none, StorageError for what cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            about = json.loads(str(kept["about"]))
            arrays = {name: np.asarray(kept[name], np.float32) for name in kept.files if name != "about"}
        if about["format"] != _FORMAT or about["kind"] not in get_args(Kind):
            raise ValueError(f"format {about['format']}, kind {about['kind']}")
        slope, generic, constant = about["scale"]
        bridge = Bridge(
            old=Space.from_json(about["old"]),
            new=Space.from_json(about["new"]),
            kind=about["kind"],
            arrays=arrays,
            scale=(float(slope), float(generic), float(constant)),
            measured=Measured(**about["measured"]),
        )
        _check(bridge)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read: {error}", expected="a bridge's file", hint="fit the bridge anew"
        ) from error
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise InvalidInput(
            f"{path} is no bridge: {error}",
            expected="a file that save_bridge wrote",
            hint="fit the bridge anew",
        ) from error
    return bridge


def _check(bridge: Bridge) -> None:
    arrays, old, new = bridge.arrays, bridge.old.dim, bridge.new.dim
    shapes: dict[str, tuple[int, ...]] = {"weights": (new, old), "offset": (old,), "mean": (new,)}
    if bridge.kind == "residual":
        wide = arrays["bias"].size
        shapes |= {"into": (new, wide), "bias": (wide,), "out": (wide, old)}
    if {name: array.shape for name, array in arrays.items()} != shapes:
        raise ValueError(f"arrays { ({name: array.shape for name, array in arrays.items()}) }")
    if not all(np.isfinite(array).all() for array in arrays.values()) or not np.isfinite(bridge.scale).all():
        raise ValueError("values that are not finite")
    if bridge.scale[0] <= 0:
        raise ValueError(f"a slope of {bridge.scale[0]}")
