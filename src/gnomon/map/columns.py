"""Points as compact bytes for a browser: about 9 bytes a point.

Layout: the length of the header (uint32), the header (JSON, padded with spaces), then the columns one after another,
each from a multiple of 8 bytes on. All numbers are little-endian. The header names each column with its type, how
many values a point has, and its first byte, counted from the end of the header; and how positions are scaled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.map.colours import ColourColumn
from gnomon.map.layout import MapPoints

_ALIGNED = 8
_STEPS = 65_535
_TYPES = {"uint8": "u1", "uint16": "<u2", "uint32": "<u4", "float32": "<f4", "float64": "<f8"}


def points_bytes(points: MapPoints) -> bytes:
    """Ids (uint32; float64 beyond), positions (two uint16: x = left + value * scale, y alike), clusters (uint8)."""
    origin, scale = _frame(points.positions)
    scaled = np.zeros((len(points), 2), dtype=np.uint16)
    if len(points):
        scaled[:] = np.clip(np.rint((points.positions - origin) / scale), 0, _STEPS)
    few = not len(points) or int(points.ids[-1]) < 1 << 32
    columns = {
        "ids": points.ids.astype("<u4" if few else "<f8"),
        "positions": scaled,
        "clusters": points.clusters.astype(np.uint8),
    }
    frame = {"left": float(origin[0]), "bottom": float(origin[1]), "scale": float(scale)}
    return _packed(points, {"projection": points.projection, "placed": points.placed, **frame}, columns)


def colour_bytes(column: ColourColumn, points: MapPoints) -> bytes:
    """One value a point, in the order of these points."""
    header = {"field": column.name, "kind": column.kind, "categories": list(column.categories)}
    return _packed(points, header, {"values": column.values})


def _frame(positions: Float[np.ndarray, "n 2"]) -> tuple[Float[np.ndarray, " 2"], float]:
    """The left lower corner and the width of a step, the same for both axes."""
    if not len(positions):
        return np.zeros(2), 1.0
    low, high = positions.min(axis=0).astype(np.float64), positions.max(axis=0).astype(np.float64)
    return low, float((high - low).max()) / _STEPS or 1.0


def _packed(points: MapPoints, header: Mapping[str, Any], columns: Mapping[str, Int[np.ndarray, "..."]]) -> bytes:
    common = {"points": len(points), "version": points.version.name, "seq": points.seq}
    described, parts, at = [], [], 0
    for name, values in columns.items():
        kind = values.dtype.name
        data = values.astype(_TYPES[kind]).tobytes()
        width = 1 if values.ndim == 1 else values.shape[1]
        described.append({"name": name, "type": kind, "width": width, "offset": at})
        padding = -len(data) % _ALIGNED
        parts.append(data + b"\0" * padding)
        at += len(data) + padding
    text = json.dumps({**common, **header, "columns": described}, ensure_ascii=False).encode()
    text += b" " * (-(len(text) + 4) % _ALIGNED)
    return len(text).to_bytes(4, "little") + text + b"".join(parts)
