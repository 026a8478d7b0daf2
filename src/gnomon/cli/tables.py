"""gnomon tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.app import Json, app, example
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.answer.tables import TableInfo
    from gnomon.collection import Collection

_FORMS = "COLLECTION; COLLECTION add FILE; COLLECTION remove NAME"


@app.command(
    epilog=example(
        "gnomon tables kb",
        "gnomon tables kb add orders.csv",
        "gnomon tables kb add shop.db --table customers --name people",
        "gnomon tables kb remove orders",
    )
)
def tables(
    collection: Annotated[Path, typer.Argument(help="The collection's folder.", metavar="COLLECTION")],
    action: Annotated[str | None, typer.Argument(help="Nothing, to list them.", metavar="[add|remove]")] = None,
    what: Annotated[
        str | None, typer.Argument(help="A file to add; the name of a table to remove.", metavar="[WHAT]")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="add: what its rows are cited by; by default the file's name.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="add: the table to take of a SQLite file with several.")] = None,
    as_json: Json = False,
) -> None:
    """Have CSV, SQLite and Parquet files answer questions beside a collection's documents, row by row.

    The files stay where they are and are never written. `gnomon ask` looks into them.
    """
    import gnomon

    if (action is None) != (what is None) or action not in (None, "add", "remove"):
        given = " ".join(part for part in (action, what) if part)
        raise InvalidInput(f"tables {collection} {given}", expected=_FORMS, hint="gnomon tables --help shows examples")
    if action != "add" and (name or table):
        raise InvalidInput("--name or --table without add", expected=_FORMS, hint="leave them out")
    with gnomon.open(collection, create=False) as kb:
        if action == "add":
            _add(kb, collection, str(what), name, table, as_json=as_json)
        elif action == "remove":
            _remove(kb, str(what), as_json=as_json)
        else:
            _list(kb, collection, as_json=as_json)


def _add(kb: Collection, collection: Path, file: str, name: str | None, table: str | None, *, as_json: bool) -> None:
    from gnomon.answer.tables import register
    from gnomon.cli.terminal import data_console, print_json

    info = register(kb, file, name, table=table)
    if as_json:
        print_json({"collection": str(collection), "added": info.to_json()})
    else:
        print_table(data_console(), info, collection)


def _remove(kb: Collection, name: str, *, as_json: bool) -> None:
    from gnomon.answer.tables import unregister
    from gnomon.cli.terminal import clean, data_console, print_json

    unregister(kb, name)
    if as_json:
        print_json({"removed": name})
    else:
        data_console().print(clean(f"{name} is forgotten; its file stays as it is"), soft_wrap=True)


def _list(kb: Collection, collection: Path, *, as_json: bool) -> None:
    from gnomon.answer.tables import registered
    from gnomon.answer.tables.source import file_state
    from gnomon.cli.terminal import data_console, print_json

    found = registered(kb)
    if as_json:
        listed = [{**info.to_json(), "state": file_state(info)} for info in found]
        print_json({"collection": str(collection), "tables": listed})
        return
    print_list(data_console(), [(info, file_state(info)) for info in found], collection)


def print_list(console: Console, found: list[tuple[TableInfo, str]], collection: Path) -> None:
    """One line a table, and what to do next."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, counted, near, print_hanging, print_rows, program

    rows = []
    for info, file_state in found:
        size = f"{counted(info.rows, 'row')}, {counted(len(info.columns), 'column')}"
        of = f", table {info.table}" if info.table not in ("", info.name) else ""
        body = clean(f"{size}, {info.kind} {near(info.path)}{of}")
        if file_state != "here":
            body.append_text(clean(f"\n{file_state}", style="yellow"))
        rows.append((clean(info.name, style="bold"), body))
    print_rows(console, rows)
    if not found:
        console.print("No tables.", soft_wrap=True)
    console.print()
    then = f'{program()} ask {collection} "your question"' if found else ""
    hint = then or f"{program()} tables {collection} add FILE"
    print_hanging(console, Text("next  ", style="bold"), clean(hint))


def print_table(console: Console, info: TableInfo, collection: Path) -> None:
    """A table that was taken in: its columns and what they hold, so that a wrong guess is seen."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, near, print_hanging, print_rows, program

    columns = ", ".join(f"{column.name} ({column.kind})" for column in info.columns)
    lines: list[tuple[str, Any]] = [
        ("table", clean(info.name, style="bold")),
        ("file", clean(near(info.path))),
        ("rows", Text(f"{count(info.rows)}, cited as {info.name}#NUMBER")),
        ("columns", clean(columns)),
    ]
    print_rows(console, [(Text(label, style="dim"), body) for label, body in lines])
    console.print()
    then = f'{program()} ask {collection} "your question"'
    print_hanging(console, Text("next  ", style="bold"), clean(then))
