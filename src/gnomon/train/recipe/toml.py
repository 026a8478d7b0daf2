"""TOML tables to frozen dataclasses: every key known, every value of its type."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gnomon.core.errors import InvalidInput
from gnomon.train.recipe.other_names import KEYS, VALUES, plain

Made = TypeVar("Made")


def read_table(kind: type[Made], given: Mapping[str, Any], *, table: str = "", root: type | None = None) -> Made:
    """The dataclass of a table's keys and values.

    `root` is the dataclass of the whole file, whose other tables are searched for the key that an unknown one
    was meant to be. Raises InvalidInput for an unknown key (naming the nearest known one and its table), a
    missing one, a value of another type, and whatever the dataclass itself refuses.
    """
    root = root or kind
    types_of = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key in given:
        if key not in known:
            raise _unknown(key, table, list(known), root)
    values = {
        key: _value(types_of[key], value, f"{table}.{key}" if table else key, root) for key, value in given.items()
    }
    missing = [name for name, one in known.items() if name not in given and _is_required(one)]
    if missing:
        path = f"{table}.{missing[0]}" if table else missing[0]
        raise InvalidInput(
            f"{_table(table)} has no {missing[0]}",
            expected=f"{missing[0]} in {_table(table)}",
            hint=f"add {_to_add(types_of[missing[0]], path)}",
        )
    try:
        return kind(**values)
    except InvalidInput as error:
        where = "" if error.message.startswith("[") else f"{_table(table)}: "
        raise InvalidInput(
            f"{where}{error.message}", expected=error.expected, hint=error.hint or "correct the value"
        ) from error


def _is_required(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _to_add(hint: Any, path: str) -> str:
    """What to write for a missing key: its name, or the head of the table that has to be there."""
    inner = get_args(hint)
    if inner and is_dataclass(inner[0]):
        return f"[[{path}]]"
    if not (isinstance(hint, type) and is_dataclass(hint)):
        return path.rpartition(".")[2]
    needed = [one.name for one in fields(hint) if _is_required(one)]
    return _to_add(get_type_hints(hint)[needed[0]], f"{path}.{needed[0]}") if needed else f"[{path}]"


def _table(name: str) -> str:
    return f"[{name}]" if name else "the file"


def _unknown(key: str, table: str, known: list[str], root: type) -> InvalidInput:
    here = difflib.get_close_matches(key, known, 1, 0.6)
    everywhere = dict(_keys(root, ""))
    near = [f"{table}.{here[0]}" if table else here[0]] if here else []
    other = KEYS.get(f"{table}.{key}", KEYS.get(key))
    if other in everywhere:
        near = [other]
    if not near:
        names = sorted({path.rpartition(".")[2] for path in everywhere})
        found = difflib.get_close_matches(key, names, 1, 0.75)  # far from here, only what is very like it
        near = [path for path in everywhere if found and path.rpartition(".")[2] == found[0]][:1]
    place, _, name = near[0].rpartition(".") if near else ("", "", "")
    meant = f"{name!r} in {_table(place)}" if near else ""
    return InvalidInput(
        f"{_table(table)} has the key {key!r}, which is unknown",
        expected=f"one of {', '.join(known)}",
        hint=f"did you mean {meant}?" if meant else "take it out",
    )


def _keys(kind: type, table: str) -> list[tuple[str, Any]]:
    """All keys below a dataclass, with the way to them."""
    found: list[tuple[str, Any]] = []
    for name, hint in get_type_hints(kind).items():
        path = f"{table}.{name}" if table else name
        found.append((path, hint))
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner) and isinstance(inner, type):
                found += _keys(inner, path)
    return found


def _value(hint: Any, value: Any, where: str, root: type) -> Any:
    """A value of a type. TOML's whole numbers are taken for floats, its lists for tuples."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _one_of(inner, value, where, root)
    if origin is Literal:
        if value not in inner:
            raise _wrong(value, where, f"one of {', '.join(map(str, inner))}", inner)
        return value
    if origin is tuple:
        return _items(inner, value, where, root)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _wrong(value, where, "a table")
        return {str(key): _value(inner[1], one, f"{where}.{key}", root) for key, one in value.items()}
    if isinstance(hint, type) and is_dataclass(hint):
        if not isinstance(value, dict):
            listed = where.endswith("]")
            head = f"[[{where.rpartition('[')[0]}]]" if listed else f"[{where}]"
            raise _wrong(value, where, f"a table, as in {head}")
        return read_table(hint, value, table=where, root=root)
    return _plain(hint, value, where)


def _plain(hint: Any, value: Any, where: str) -> Any:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(value, where, names.get(hint, str(hint)))
    return value


def _one_of(kinds: tuple[Any, ...], value: Any, where: str, root: type) -> Any:
    if value is None and type(None) in kinds:
        return None
    first: InvalidInput | None = None
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return _value(kind, value, where, root)
        except InvalidInput as error:
            first = first or error
    raise first or _wrong(value, where, "nothing")


def _items(inner: tuple[Any, ...], value: Any, where: str, root: type) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(value, where, f"a list: [[{where}]]" if is_dataclass(inner[0]) else "a list")
    if inner[-1] is Ellipsis:
        return tuple(_value(inner[0], one, f"{where}[{at}]", root) for at, one in enumerate(value))
    if len(value) != len(inner):
        raise _wrong(value, where, f"a list of {len(inner)}")
    return tuple(_value(kind, one, where, root) for kind, one in zip(inner, value, strict=True))


def _wrong(value: Any, where: str, expected: str, known: tuple[Any, ...] = ()) -> InvalidInput:
    table, _, key = where.rpartition(".")
    names = [str(one) for one in known]
    other = VALUES.get(plain(value))
    near = [other] if other in names else difflib.get_close_matches(str(value), names, 1, 0.5)
    return InvalidInput(
        f"{_table(table)}: {key} = {value!r:.80}",
        expected=expected,
        hint=f"did you mean {near[0]!r}?" if near else "correct the value",
    )


def to_toml(tables: Mapping[str, Any]) -> str:
    """Plain tables as TOML: values first, then tables, lists of tables as [[…]]. None is left out."""
    return "\n".join(_lines(tables, "")).strip() + "\n"


def _lines(tables: Mapping[str, Any], path: str) -> list[str]:
    plain = {k: v for k, v in tables.items() if v is not None and not _is_table(v) and not _are_tables(v)}
    lines = [f"{_key(key)} = {_literal(value)}" for key, value in plain.items()]
    for key, value in tables.items():
        inner = f"{path}.{_key(key)}" if path else _key(key)
        if _is_table(value) and value:
            lines += ["", f"[{inner}]", *_lines(value, inner)]
        elif _are_tables(value):
            for one in value:
                lines += ["", f"[[{inner}]]", *_lines(one, inner)]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(_is_table(one) for one in value)


def _key(name: str) -> str:
    return name if name.replace("_", "a").replace("-", "a").isalnum() and name.isascii() else _literal(name)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(_escaped(one) for one in value)
        return f'"{escaped}"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(one) for one in value if one is not None) + "]"
    return repr(value)


def _escaped(character: str) -> str:
    named = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    if character in named:
        return named[character]
    return f"\\u{ord(character):04x}" if ord(character) < 32 or ord(character) == 127 else character
