"""The types of metadata fields, in the catalog: inferred once or declared, and followed by what is stored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.dialect import upsert
from gnomon.collection.catalog.document_fields import document_fields, field_counts
from gnomon.core.conditions import Field, FieldType
from gnomon.core.documents import Document
from gnomon.text.field_types import column_types, convert_all, most_common, type_of, types_of

_REVISION = "fields_revision"
_UNTYPED = frozenset({"text/csv", "text/markdown"})
"""Media types of files whose numbers and dates the readers of gnomon 0.1 gave as texts."""
_SHOWN = 3

metadata_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """A metadata field. `known`: "declared" by a user, or "inferred" from the first values that came.

    `documents` have the field; `others` of them have a value of it that is not of the type, and stays as it was given.
    """

    name: str
    type: FieldType
    known: str
    documents: int = 0
    others: int = 0

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Misfits:
    """Values of a field, in what was written, that are none of its type: how many, with one and its document.

    They stay what they are, and only comparisons with their own type find them.
    """

    field: str
    type: FieldType
    count: int
    example: Any
    document: str


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What changing a field's type did: documents whose value was converted, and `others` that have one that cannot be.

    `examples`: some of these values with their documents' ids.
    """

    name: str
    type: FieldType
    converted: int
    others: int
    examples: tuple[tuple[Any, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FieldFacet:
    """A metadata field for filters: how many documents have it, its values, and how many have each.

    `values` are the most frequent ones; of lists each item counts. `lowest` and `highest` are of numbers and dates.
    """

    name: str
    type: FieldType
    documents: int
    distinct: int
    lowest: float | str | None
    highest: float | str | None
    values: tuple[FieldValue, ...]


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A value, and how many documents have it."""

    value: str | float | bool
    documents: int


def kept(connection: Connection) -> list[FieldInfo]:
    """Every field in order of name, without counts."""
    rows = connection.execute(select(schema.fields).order_by(schema.fields.c.name))
    return [FieldInfo(row.name, row.type, row.known) for row in rows]


def types(connection: Connection) -> dict[str, FieldType]:
    """The type of each field."""
    return {row.name: row.type for row in connection.execute(select(schema.fields.c.name, schema.fields.c.type))}


def revision(connection: Connection) -> int:
    """Rises whenever a type was changed and stored values with it, which the journal does not tell."""
    wanted = select(schema.meta.c.value).where(schema.meta.c.key == _REVISION)
    return int(connection.execute(wanted).scalar_one_or_none() or 0)


def infos(connection: Connection) -> list[FieldInfo]:
    """Every field of any document or that was declared, in order of name; counted in one pass over the documents."""
    counts = field_counts(connection)
    document = schema.documents.c
    found = []
    for field in kept(connection):
        if field.name in counts or field.known == "declared":
            others = document_fields(connection).has_other(Field(field.name), field.type)
            beside = len(connection.execute(select(document.id).where(others)).all())
            found.append(replace(field, documents=counts.get(field.name, 0), others=beside))
    return found


def facets(connection: Connection, most: int) -> tuple[FieldFacet, ...]:
    """Every field that a document has, in order of name, with its `most` frequent values."""
    known, having = types(connection), field_counts(connection)
    values: dict[str, list[FieldValue]] = {}
    ranges: dict[str, tuple[int, Any, Any]] = {}
    for each in document_fields(connection).value_counts(connection, max(most, 1)):
        ranges[each.name] = (each.distinct, each.lowest, each.highest)
        values.setdefault(each.name, []).append(FieldValue(each.value, each.documents))
    found = []
    for name in sorted(having):
        of, (distinct, low, high) = known.get(name, "text"), ranges.get(name, (0, None, None))
        low, high = (low, high) if of in ("number", "date") else (None, None)
        found.append(FieldFacet(name, of, having[name], distinct, low, high, tuple(values.get(name, ())[:most])))
    return tuple(found)


class FieldTypes:
    """Types of fields, and documents' metadata converted to them. `learn` makes it for what is to be written."""

    def __init__(self, types_by_name: Mapping[str, FieldType]) -> None:
        self._types = types_by_name

    def converted(self, document: Document) -> tuple[dict[str, Any], list[Misfits]]:
        """A document's metadata, each value as one of its field's type where it can be, and the fields where not."""
        metadata, found = dict(document.metadata), []
        for name, value in metadata.items():
            to = self._types.get(name)
            if to is not None:
                metadata[name], misfits = convert_all(value, to)
                found += [Misfits(name, to, len(misfits), misfits[0], document.id)] if misfits else []
        return metadata, found


def learn(connection: Connection, documents: Iterable[Document]) -> FieldTypes:
    """The types of the documents' fields. One that is new is of the type that most of its values here have."""
    known = types(connection)
    new: dict[str, Counter[FieldType]] = {}
    for document in documents:
        for name, value in document.metadata.items():
            if name not in known:
                new.setdefault(name, Counter()).update(types_of(value))
    inferred = {name: most_common(counts) for name, counts in new.items() if counts}
    _keep_inferred(connection, inferred)
    return FieldTypes(known | inferred)


def _keep_inferred(connection: Connection, inferred: Mapping[str, FieldType]) -> None:
    rows = [{"name": name, "type": of, "known": "inferred"} for name, of in inferred.items()]
    if rows:
        connection.execute(insert(schema.fields), rows)


def merged(misfits: Iterable[Misfits]) -> tuple[Misfits, ...]:
    """One a field, with the sum of the counts and the first example."""
    found: dict[str, Misfits] = {}
    for each in misfits:
        first = found.get(each.field)
        found[each.field] = each if first is None else replace(first, count=first.count + each.count)
    return tuple(found.values())


def set_type(connection: Connection, name: str, to: FieldType) -> FieldChange:
    """Declare a field's type, and convert what is stored of it. Nothing is embedded or indexed anew."""
    row = upsert(connection, schema.fields).values(name=name, type=to, known="declared")
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"type": to, "known": "declared"}))
    converted = others = 0
    examples: list[tuple[Any, str]] = []
    changed = []
    for row_id, key, metadata in _having(connection, name):
        value, misfits = convert_all(metadata[name], to)
        others += bool(misfits)
        examples += [(misfits[0], key)] if misfits and len(examples) < _SHOWN else []
        if metadata_json({"": value}) != metadata_json({"": metadata[name]}):
            converted += 1
            changed.append({"of": row_id, "now": metadata_json({**metadata, name: value})})
    _rewrite(connection, changed)
    return FieldChange(name, to, converted, others, tuple(examples))


def _having(connection: Connection, name: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    document = schema.documents.c
    wanted = select(document.id, document.key, document.metadata)
    for row in connection.execute(wanted.where(document_fields(connection).has_key(Field(name)))):
        yield row.id, row.key, json.loads(row.metadata)


def _rewrite(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Replace documents' metadata, and tell those who keep what conditions allow."""
    if rows:
        document = schema.documents
        statement = update(document).where(document.c.id == bindparam("of")).values(metadata=bindparam("now"))
        connection.execute(statement, rows)
    now = upsert(connection, schema.meta).values(key=_REVISION, value=str(revision(connection) + 1))
    connection.execute(now.on_conflict_do_update(index_elements=["key"], set_={"value": now.excluded.value}))


def infer_stored(connection: Connection) -> None:
    """Infer the types of the fields of a collection that kept none, and convert what is stored to them.

    The readers of gnomon 0.1 gave every number and date of CSV files and front matter as a text. A field of such
    files alone, all of whose values are numbers, dates or booleans, becomes one of these.
    """
    values: dict[str, list[list[str]]] = {}
    counts: dict[str, Counter[FieldType]] = {}
    typed: set[str] = set()
    document = schema.documents.c
    for row in connection.execute(select(document.media_type, document.metadata)):
        for name, value in json.loads(row.metadata).items():
            counts.setdefault(name, Counter()).update(types_of(value))
            texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
            if row.media_type not in _UNTYPED or any(type_of(each) in ("number", "boolean") for each in [value]):
                typed.add(name)
            elif name not in typed:
                values.setdefault(name, []).extend([each] for each in texts)
    inferred = {name: most_common(found) for name, found in counts.items() if found}
    for name, texts_of in values.items():
        if name not in typed and name in inferred:
            inferred[name] = (column_types(texts_of) or ["text"])[0]
    _keep_inferred(connection, inferred)
    changed = []
    for row in connection.execute(select(document.id, document.metadata)):
        before = json.loads(row.metadata)
        after = {
            name: convert_all(value or None if value == "" else value, inferred[name])[0]
            if inferred.get(name, "text") != "text"
            else value
            for name, value in before.items()
        }
        if after != before or metadata_json(after) != metadata_json(before):
            changed.append({"of": row.id, "now": metadata_json(after)})
    if changed:
        _rewrite(connection, changed)
