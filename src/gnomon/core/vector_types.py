"""The types in which vectors are stored: float32, and smaller ones that keep less of each number.

Documents' vectors are stored so, queries' never: a query keeps its full precision against rounded documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput

VectorType = Literal["float32", "float16", "int8", "binary"]
"""4, 2, 1 and 1/8 bytes a dimension. int8 and binary have one more number a vector, its scale."""
Records = np.ndarray[Any, np.dtype[Any]]
_LEVELS = 127
_SCALE_BITS = 16
_HALF_ROUNDING = 2.0**-11
"""Unit roundoff of float16."""


def require_vector_type(name: str) -> None:
    """Raise InvalidInput for a type that there is none of."""
    if name not in get_args(VectorType):
        raise InvalidInput(f"the vector type {name!r}", expected=f"one of {', '.join(get_args(VectorType))}")


def record_type(kind: VectorType, dim: int) -> np.dtype[Any]:
    """The little-endian numpy type of one stored vector: `dim` numbers, or a scale with codes or bits."""
    if kind == "int8":
        return np.dtype([("scale", "<f4"), ("codes", "i1", (dim,))])
    if kind == "binary":
        return np.dtype([("scale", "<f4"), ("bits", "u1", (-(-dim // 8),))])
    return np.dtype(("<f4" if kind == "float32" else "<f2", (dim,)))


def narrow(rows: Float[np.ndarray, "rows dim"], kind: VectorType) -> Records:
    """Rows as they are stored: [rows, dim] floats, or [rows] records of `record_type`.

    int8: round(x / scale) with scale = max |x| / 127 of each row, rounded up to 16 bits, so that narrowing what
    `widen` gave changes nothing. binary: the sign of each number, with the mean of |x| as the scale, which is the
    nearest such vector (Rastegari et al. 2016, arXiv:1603.05279, section 3.1).
    """
    if kind == "float32":
        return np.asarray(rows, dtype="<f4")
    if kind == "float16":
        return np.asarray(rows).astype("<f2")
    made = np.zeros(len(rows), dtype=record_type(kind, rows.shape[1]))
    if kind == "binary":
        made["scale"] = _rounded_up(np.abs(rows).mean(axis=1, dtype=np.float64))
        made["bits"] = np.packbits(rows > 0, axis=1, bitorder="little")
        return made
    made["scale"] = _rounded_up(np.abs(rows).max(axis=1, initial=0.0) / _LEVELS)
    steps = np.where(made["scale"] > 0, made["scale"], 1)[:, None]
    made["codes"] = np.clip(np.rint(rows / steps), -_LEVELS, _LEVELS)
    return made


def widen(records: Records, dim: int) -> Float[np.ndarray, "rows dim"]:
    """The float32 vectors of what `narrow` made; a view where they are float32 already."""
    if records.dtype.names is None:
        return records.astype(np.float32, copy=False)
    if "codes" in records.dtype.names:
        return np.asarray(records["codes"] * records["scale"][:, None], dtype=np.float32)
    signs = np.unpackbits(records["bits"], axis=1, count=dim, bitorder="little").astype(np.float32)
    return np.asarray((signs * 2 - 1) * records["scale"][:, None], dtype=np.float32)


def to_bytes(rows: Float[np.ndarray, "rows dim"], kind: VectorType) -> list[bytes]:
    """Each row as the bytes it is stored in."""
    return [record.tobytes() for record in narrow(rows, kind)]


def to_short_bytes(rows: Float[np.ndarray, "rows dim"]) -> list[bytes]:
    """Each row in half precision, float16, where that keeps it; else as float32, twice as long.

    Kept is a row that is off by at most 2**-11 of its length, as it is when its numbers are between 2**-14 and 65,504:
    half precision has no others.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        halves = narrow(rows, "float16")
        exact = rows.astype(np.float64)  # whose squares neither overflow nor vanish
        error = halves - exact
        kept = np.vecdot(error, error) <= _HALF_ROUNDING**2 * np.vecdot(exact, exact)
    return [
        half.tobytes() if is_kept else row.tobytes()
        for half, row, is_kept in zip(halves, narrow(rows, "float32"), kept.tolist(), strict=True)
    ]


def from_short_bytes(stored: Sequence[bytes], dim: int) -> list[Float[np.ndarray, " numbers"]]:
    """The float32 vectors in what `to_short_bytes` made: the length of each says which it is."""
    whole = record_type("float32", dim).itemsize
    if all(len(each) != whole for each in stored):
        return from_bytes(stored, "float16", dim)
    full = iter(from_bytes([each for each in stored if len(each) == whole], "float32", dim))
    halves = iter(from_bytes([each for each in stored if len(each) != whole], "float16", dim))
    return [next(full if len(each) == whole else halves) for each in stored]


def from_bytes(stored: Sequence[bytes], kind: VectorType, dim: int) -> list[Float[np.ndarray, " numbers"]]:
    """The float32 vectors in these bytes, views of one array where they all are vectors of `dim` numbers.

    Bytes of another length give a vector of another length than `dim`.
    """
    size = record_type(kind, dim).itemsize
    whole = [each for each in stored if len(each) == size]
    rows = iter(widen(_records(b"".join(whole), kind, dim), dim))
    return [next(rows) if len(each) == size else _misfit(each, kind) for each in stored]


def _records(joined: bytes, kind: VectorType, dim: int) -> Records:
    dtype = record_type(kind, dim)
    return np.frombuffer(joined, dtype if dtype.names else dtype.base).reshape((-1,) if dtype.names else (-1, dim))


def _misfit(stored: bytes, kind: VectorType) -> Float[np.ndarray, " numbers"]:
    size = {"float32": 4, "float16": 2}.get(kind, len(stored) + 1)
    numbers = np.frombuffer(stored[: len(stored) // size * size], "<f2" if kind == "float16" else "<f4")
    return numbers.astype(np.float32)


def rounding(kind: VectorType) -> Callable[[Float[np.ndarray, "rows dim"]], Float[np.ndarray, "rows dim"]]:
    """What storing as this type makes of rows."""
    return lambda rows: widen(narrow(rows, kind), rows.shape[1])


def _rounded_up(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """To 16 significant bits, so that a product with a code is exact in float32."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.ceil(mantissa * 2**_SCALE_BITS) / 2**_SCALE_BITS, exponent), dtype="<f4")
