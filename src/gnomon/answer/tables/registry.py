"""Tables registered with a collection: added, listed, removed."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gnomon.answer.tables.source import (
    derived_file,
    inspect_table,
    kind_of,
    list_tables,
    locate_derived,
    locate_table,
    seal_file,
)
from gnomon.answer.tables.types import TableInfo
from gnomon.collection import Collection
from gnomon.collection.tables import TableRegistration
from gnomon.core.errors import InvalidInput
from gnomon.core.files import is_file
from gnomon.core.serialize import from_plain

_NAME = re.compile(r"[^\W\d]\w{0,63}")


def register(kb: Collection, path: str | Path, name: str | None = None, *, table: str | None = None) -> TableInfo:
    """Registers a CSV, SQLite or Parquet file to answer questions beside the documents.

    `name` is what its rows are cited by, by default the file's; a table of the same name and file is registered
    anew. `table` is the one to use of a SQLite file with several. Raises InvalidInput for a name that will
    not do, UnreadableFile for a file that will not, with the table's name.
    """
    file = Path(path).expanduser().absolute()
    table_name = name or re.sub(r"\W+", "_", table or file.stem).strip("_")
    known = {info.name.casefold(): info for info in registered(kb)}
    previous = known.get(table_name.casefold())
    if not is_file(file):
        raise InvalidInput(
            f"there is no file {file}",
            expected="a CSV, TSV, SQLite or Parquet file",
            hint="look for a typing error; relative paths count from the working directory",
        )
    _check_name(table_name, previous, file)
    info = TableInfo(table_name, str(file), kind_of(table_name, file), (), 0)
    if info.kind == "sqlite":
        chosen = _choose_table(table_name, file, table or "")
        location = inspect_table(table_name, file, chosen, count=True)
        info = replace(info, table=chosen)
    else:
        if table:
            raise InvalidInput(f"table {table!r} of {file}", expected="a SQLite file, which has several tables")
        location = locate_derived(table_name, file, info.kind, folder=kb.tables.folder)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    info = replace(info, columns=location.columns, rows=location.rows, added=now)
    try:
        locate_table(info, kb.tables.folder)  # as every question will: an empty one is refused here
    except BaseException:
        if previous is None:
            _drop_derived(kb, table_name)
        raise
    about = {key: value for key, value in info.to_json().items() if key not in ("name", "path")}
    kb.tables.put(TableRegistration(table_name, str(file), about))
    return info


def registered(kb: Collection) -> tuple[TableInfo, ...]:
    """The collection's tables, by name."""
    rows = kb.tables.all()
    return tuple(from_plain(TableInfo, {"name": row.name, "path": row.path, **row.about}) for row in rows)


def unregister(kb: Collection, name: str) -> None:
    """Removes a table from the collection; its file stays. Raises InvalidInput for a name that is not registered."""
    if not kb.tables.remove(name):
        names = ", ".join(info.name for info in registered(kb))
        raise InvalidInput(
            f"no table {name!r} is registered",
            expected=f"one of {names}" if names else "a registered table; there is none",
            hint="gnomon tables list KB shows them",
        )
    _drop_derived(kb, name)


def _drop_derived(kb: Collection, name: str) -> None:
    with suppress(OSError):  # disposable, and not looked at again
        file = derived_file(name, kb.tables.folder)
        file.unlink(missing_ok=True)
        seal_file(file).unlink(missing_ok=True)


def _check_name(name: str, previous: TableInfo | None, file: Path) -> None:
    if not _NAME.fullmatch(name) or name.casefold().startswith("sqlite_"):
        raise InvalidInput(
            f"the name {name!r} for a table",
            expected="a letter, then letters, digits and _, 64 at most",
            hint="give it one with --name",
        )
    if previous is not None and (previous.path != str(file) or previous.name != name):
        raise InvalidInput(
            f"the name {name!r}, which {previous.path} is registered by as {previous.name}",
            expected="a name that is free",
            hint=f"give it another with --name, or first: gnomon tables remove KB {previous.name}",
        )


def _choose_table(name: str, file: Path, table: str) -> str:
    tables = list_tables(name, file)
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
