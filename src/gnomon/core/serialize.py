"""Frozen dataclasses to plain values (for JSON and TOML) and back, with strict types.

Plain values are None, bool, int, float, str, lists, and dicts with str keys. NaN and infinite floats stay what
they are: `json.dumps` writes them as NaN and Infinity, which Python reads back and strict JSON readers refuse.
"""

from __future__ import annotations

import difflib
import enum
import re
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")
_Hook = Callable[[Any, Any], Any]
_COLLECTIONS = (list, tuple, set, frozenset, Sequence)


def to_plain(value: Any) -> Any:
    """Dataclasses (by the names of their fields), and mappings and collections of them, as plain values.

    Tuples, sets (sorted) and arrays become lists; paths and keys of mappings become texts; numpy scalars become
    Python numbers. Raises InvalidInput for a value of another class.
    """
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, enum.Enum):
        return to_plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return to_plain(sorted(value))
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    raise InvalidInput(f"a value of the class {type(value).__name__}", expected="a dataclass, or plain values")


def from_plain(
    cls: type[T],
    data: Any,
    *,
    name: str = "",
    ignore_unknown: bool = False,
    key_aliases: Mapping[str, str] | None = None,
    suggest_value: Callable[[object], str | None] = lambda _: None,
) -> T:
    """The value of type `cls` of which `to_plain` made `data`; a missing field takes its default.

    Nothing is converted silently: neither "3" nor True is an int. An int is taken for a float, a list for a
    tuple, a text for a Path, and a text of digits for a mapping's int key.

    `name` is what messages call the top level, such as "the file"; by default the class's name. For hints only:
    `key_aliases` leads from the keys of other software ("learning_rate", or "model.name" for one table's) to
    the keys here ("optim.lr"), and `suggest_value` from a value to the one that may be meant.

    Raises InvalidInput, which says where the key is ("[optim]: batch_size = True"), for a key that is unknown
    (unless ignored) or missing, a value of another type, and whatever the dataclass itself refuses.
    """
    from cattrs import BaseValidationError

    try:
        return _converter(forbid_extra_keys=not ignore_unknown).structure(data, cls)
    except (BaseValidationError, _WrongValueError, InvalidInput) as error:
        messages = _Messages(cls, name or getattr(cls, "__name__", str(cls)), key_aliases or {}, suggest_value)
        raise messages.first_of(error) from error


class _WrongValueError(Exception):
    """A value that is not of the type that its key has."""

    def __init__(self, value: Any, hint: Any, expected: str, *, choices: Sequence[Any] = ()) -> None:
        self.value, self.hint, self.expected, self.choices = value, hint, expected, choices
        super().__init__(value, hint, expected)


@cache
def _converter(*, forbid_extra_keys: bool) -> Converter:
    """cattrs, made strict. Made once: it compiles a function for each class."""
    from cattrs import Converter
    from cattrs.cols import list_structure_factory, mapping_structure_factory
    from cattrs.gen import make_dict_structure_fn, make_hetero_tuple_structure_fn

    converter = Converter(forbid_extra_keys=forbid_extra_keys, structure_fallback_factory=lambda _: _instance)

    def dataclass_hook(hint: Any) -> _Hook:
        structure = make_dict_structure_fn(hint, converter, _cattrs_forbid_extra_keys=forbid_extra_keys)
        return lambda value, _: structure(_table(value, hint), hint)

    def mapping_hook(hint: Any) -> _Hook:
        structure = mapping_structure_factory(hint, converter, dict)
        read_key = _int_key if get_args(hint)[:1] == (int,) else str
        return lambda value, _: structure({read_key(key): item for key, item in _table(value, hint).items()}, hint)

    def collection_hook(hint: Any) -> _Hook:
        origin, inner = get_origin(hint) or hint, get_args(hint)
        if origin is tuple and inner and inner[-1] is not Ellipsis:
            fixed = make_hetero_tuple_structure_fn(hint, converter)
            return lambda value, _: fixed(_items(value, hint, length=len(inner)), hint)
        make = origin if origin in (list, set, frozenset) else tuple
        structure = list_structure_factory(cast(type, list[inner[0] if inner else Any]), converter)  # type: ignore[misc]
        return lambda value, _: make(structure(_items(value, hint), hint))

    def union_hook(hint: Any) -> _Hook:
        return lambda value, _: _first_that_fits(converter, value, get_args(hint))

    for kind in (str, int, bool, bytes, type(None)):
        converter.register_structure_hook(kind, _instance)
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_factory(lambda hint: is_dataclass(_class(hint)), dataclass_hook)
    converter.register_structure_hook_factory(lambda hint: issubclass(_class(hint), Mapping), mapping_hook)
    converter.register_structure_hook_factory(lambda hint: _class(hint) in _COLLECTIONS, collection_hook)
    converter.register_structure_hook_factory(_is_union, union_hook)
    converter.register_structure_hook_func(_is_literal, _choice)
    return converter


def _class(hint: Any) -> type:
    """The class of a type hint: dict for dict[str, int]; for what has none, NoneType."""
    origin = get_origin(hint) or hint
    return origin if isinstance(origin, type) else type(None)


def _is_union(hint: Any) -> bool:
    origin: Any = get_origin(hint)
    return origin in (Union, types.UnionType)


def _is_literal(hint: Any) -> bool:
    origin: Any = get_origin(hint)
    return origin is Literal


def _instance(value: Any, hint: Any) -> Any:
    names = {str: "a text", int: "a whole number", bool: "true or false", type(None): "nothing"}
    if not isinstance(value, _class(hint)) or (isinstance(value, bool) and hint is int):
        raise _WrongValueError(value, hint, names.get(hint, getattr(hint, "__name__", str(hint))))
    return value


def _float(value: Any, hint: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongValueError(value, hint, "a number")
    return float(value)


def _path(value: Any, _: Any) -> Path:
    return value if isinstance(value, Path) else Path(_instance(value, str))


def _int_key(key: Any) -> Any:
    return int(key) if isinstance(key, str) and re.fullmatch(r"-?\d+", key) else key


def _choice(value: Any, hint: Any) -> Any:
    choices = get_args(hint)
    for choice in choices:
        if value == choice and isinstance(value, bool) == isinstance(choice, bool):
            return choice
    raise _WrongValueError(value, hint, f"one of {', '.join(map(str, choices))}", choices=choices)


def _table(value: Any, hint: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise _WrongValueError(value, hint, "a table")
    return value


def _items(value: Any, hint: Any, *, length: int | None = None) -> Collection[Any]:
    if not isinstance(value, list | tuple | Set):
        raise _WrongValueError(value, hint, "a list")
    if length is not None and len(value) != length:
        raise _WrongValueError(value, hint, f"a list of {length}")
    return value


def _first_that_fits(converter: Converter, value: Any, hints: Sequence[Any]) -> Any:
    """The value by the first type of a union that takes it, or else the first type's error."""
    if value is None and type(None) in hints:
        return None
    first: Exception | None = None
    for hint in hints:
        if hint is type(None):
            continue
        try:
            return converter.structure(value, hint)
        except Exception as error:  # noqa: BLE001 what a dataclass raises goes on below
            first = first or error
    raise first or _WrongValueError(value, hints, "nothing")


@dataclass(frozen=True)
class _Failure:
    """An error inside cattrs' tree of errors. `path` is as "data.sources[0].weight"."""

    path: str
    error: BaseException
    hint: Any = None

    @property
    def is_missing_key(self) -> bool:
        return isinstance(self.error, KeyError) and self.hint is not None

    @property
    def urgency(self) -> int:
        """Unknown keys first: a missing key may be one of them, misspelt."""
        from cattrs.errors import ForbiddenExtraKeysError

        return 0 if isinstance(self.error, ForbiddenExtraKeysError) else 2 if self.is_missing_key else 1


def _failures(error: BaseException, path: str, hint: Any = None) -> Iterator[_Failure]:
    from cattrs import AttributeValidationNote, BaseValidationError, IterableValidationNote

    if not isinstance(error, BaseValidationError):
        yield _Failure(path, error, hint)
        return
    for inner in error.exceptions:
        step, of = "", None
        for note in getattr(inner, "__notes__", ()):  # the last is this level's
            if isinstance(note, AttributeValidationNote):
                step, of = f".{note.name}", note.type
            elif isinstance(note, IterableValidationNote):
                step = f"[{note.index}]" if isinstance(note.index, int) else f".{note.index}"
        yield from _failures(inner, f"{path}{step}".removeprefix("."), of)


@dataclass(frozen=True)
class _Messages:
    """What to tell the user of an error inside cattrs."""

    cls: Any
    name: str
    key_aliases: Mapping[str, str]
    suggest_value: Callable[[object], str | None]

    def first_of(self, error: BaseException) -> BaseException:
        from cattrs.errors import ForbiddenExtraKeysError

        failure = min(_failures(error, ""), key=lambda each: each.urgency)
        cause = failure.error
        if isinstance(cause, ForbiddenExtraKeysError):
            return self._unknown_key(failure.path, min(map(str, cause.extra_fields)), cause.cl)
        if isinstance(cause, _WrongValueError):
            return self._wrong_value(failure.path, cause)
        if failure.is_missing_key:
            return self._missing_key(failure)
        if isinstance(cause, InvalidInput):
            where = "" if cause.message.startswith("[") else f"{self._table(failure.path)}: "
            hint = cause.hint or "correct the value"
            return InvalidInput(f"{where}{cause.message}", expected=cause.expected, hint=hint)
        return cause

    def _table(self, path: str) -> str:
        return f"[{path}]" if path else self.name

    def _missing_key(self, failure: _Failure) -> InvalidInput:
        table, _, key = failure.path.rpartition(".")
        return InvalidInput(
            f"{self._table(table)} has no {key}",
            expected=f"{key} in {self._table(table)}",
            hint=f"add {_to_add(failure.hint, failure.path)}",
        )

    def _unknown_key(self, table: str, key: str, cls: type) -> InvalidInput:
        known = [field.name for field in fields(cls)]
        meant = self._meant_key(table, key, known)
        place, _, name = meant.rpartition(".")
        return InvalidInput(
            f"{self._table(table)} has the key {key!r}, which is unknown",
            expected=f"one of {', '.join(known)}",
            hint=f"did you mean {name!r} in {self._table(place)}?" if meant else "take it out",
        )

    def _meant_key(self, table: str, key: str, known: Sequence[str]) -> str:
        """The path of the key that may be meant: the alias's, one like it in this table, or one very like it."""
        everywhere = list(key_paths(self.cls))
        alias = self.key_aliases.get(f"{table}.{key}", self.key_aliases.get(key))
        if alias in everywhere:
            return str(alias)
        if here := difflib.get_close_matches(key, known, 1, 0.6):
            return f"{table}.{here[0]}".removeprefix(".")
        names = sorted({path.rpartition(".")[2] for path in everywhere})
        found = difflib.get_close_matches(key, names, 1, 0.75)
        return next((path for path in everywhere if found and path.rpartition(".")[2] == found[0]), "")

    def _wrong_value(self, path: str, wrong: _WrongValueError) -> InvalidInput:
        table, _, key = path.rpartition(".")
        expected, (item, *_) = wrong.expected, (*get_args(wrong.hint), None)
        if is_dataclass(_class(wrong.hint)) and path:
            expected += f", as in [[{path.rpartition('[')[0]}]]" if path.endswith("]") else f", as in [{path}]"
        elif is_dataclass(item):
            expected += f": [[{path}]]"
        choices = [str(one) for one in wrong.choices]
        other = self.suggest_value(wrong.value)
        near = [other] if other in choices else difflib.get_close_matches(str(wrong.value), choices, 1, 0.5)
        where = f"{self._table(table)}: {key} = " if path else f"{self.name}: "
        return InvalidInput(
            f"{where}{wrong.value!r:.80}",
            expected=expected,
            hint=f"did you mean {near[0]!r}?" if near else "correct the value",
        )


def key_paths(cls: Any, table: str = "") -> Iterator[str]:
    """The paths of all keys of a dataclass and of those within it, such as "optim.lr"; lists' without an index."""
    if not is_dataclass(cls):
        return
    for name, hint in get_type_hints(cls).items():
        path = f"{table}.{name}" if table else name
        yield path
        for inner in (hint, *get_args(hint)):
            yield from key_paths(inner, path)


def _to_add(hint: Any, path: str) -> str:
    """What to write for a missing key: its name, or the header of the table that has to be there."""
    inner = get_args(hint)
    if inner and is_dataclass(inner[0]):
        return f"[[{path}]]"
    if not is_dataclass(hint):
        return path.rpartition(".")[2]
    required = [field.name for field in fields(hint) if _is_required(field)]
    return _to_add(get_type_hints(hint)[required[0]], f"{path}.{required[0]}") if required else f"[{path}]"


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
