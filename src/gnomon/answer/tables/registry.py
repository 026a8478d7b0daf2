"""Tables registered with a collection: taken in, listed, forgotten."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gnomon.answer.tables import source
from gnomon.answer.tables.sqlite_file import look_into, tables_of
from gnomon.answer.tables.types import TableInfo
from gnomon.collection import Collection
from gnomon.collection.tables import TableRegistration
from gnomon.core.errors import InvalidInput

_NAME = re.compile(r"[^\W\d]\w{0,63}")


def register(kb: Collection, path: str | Path, name: str | None = None, *, table: str | None = None) -> TableInfo:
    """Have a CSV, SQLite or Parquet file answer questions beside the documents.

    `name` is what its rows are cited by, by default the file's; a table of the same name and file is taken in
    anew. `table` is the one to take of a SQLite file with several. Raises InvalidInput for a name that will
    not do, UnreadableFile for a file that will not, with the table's name.
    """
    file = Path(path).expanduser().absolute()
    called = name or re.sub(r"\W+", "_", table or file.stem).strip("_")
    known = {info.name.casefold(): info for info in registered(kb)}
    before = known.get(called.casefold())
    _check_name(called, before, file)
    info = TableInfo(called, str(file), source.kind_of(called, file), (), 0)
    if info.kind == "sqlite":
        own = _chosen(called, file, table or "")
        place = look_into(called, file, own, count=True)
        info = replace(info, table=own)
    else:
        if table:
            raise InvalidInput(f"table {table!r} of {file}", expected="a SQLite file, which has several tables")
        place = source.derived(called, file, info.kind, kb.tables.folder)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    info = replace(info, columns=place.columns, rows=place.rows, added=now)
    try:
        source.place(info, kb.tables.folder)  # as every question will: an empty one is refused here
    except BaseException:
        if before is None:
            _drop_derived(kb, called)
        raise
    kb.tables.put(TableRegistration(called, str(file), _about(info)))
    return info


def registered(kb: Collection) -> tuple[TableInfo, ...]:
    """The collection's tables, by name."""
    return tuple(TableInfo.from_json(each.name, each.path, each.about) for each in kb.tables.all())


def unregister(kb: Collection, name: str) -> None:
    """Forget a table; its file stays as it is. Raises InvalidInput for a name that is not registered."""
    if not kb.tables.remove(name):
        names = ", ".join(info.name for info in registered(kb))
        raise InvalidInput(
            f"no table {name!r} is registered",
            expected=f"one of {names}" if names else "a registered table; there is none",
            hint="gnomon tables KB lists them",
        )
    _drop_derived(kb, name)


def _drop_derived(kb: Collection, name: str) -> None:
    with suppress(OSError):  # disposable, and not looked at again
        source.derived_file(name, kb.tables.folder).unlink(missing_ok=True)


def _check_name(name: str, before: TableInfo | None, file: Path) -> None:
    if not _NAME.fullmatch(name) or name.casefold().startswith("sqlite_"):
        raise InvalidInput(
            f"the name {name!r} for a table",
            expected="a letter, then letters, digits and _, 64 at most",
            hint="give it one with --name",
        )
    if before is not None and (before.path != str(file) or before.name != name):
        raise InvalidInput(
            f"the name {name!r}, which {before.path} is registered by as {before.name}",
            expected="a name that is free",
            hint=f"give it another with --name, or first: gnomon tables KB remove {before.name}",
        )


def _chosen(name: str, file: Path, table: str) -> str:
    tables = tables_of(name, file)
    wanted = table or name
    for one in tables:
        if one.casefold() == wanted.casefold():
            return one
    if len(tables) == 1 and not table:
        return tables[0]
    raise InvalidInput(
        f"{file} has {'no table ' + repr(table) if table else str(len(tables)) + ' tables'}",
        expected=f"one of its tables: {', '.join(tables)}" if tables else "a file with a table in it",
        hint="say which with --table, once for each that you want",
    )


def _about(info: TableInfo) -> dict[str, object]:
    about = info.to_json()
    return {key: about[key] for key in ("kind", "columns", "rows", "table", "added")}
