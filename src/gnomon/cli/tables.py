"""gnomon tables: list, add and remove."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.app import Json, example, tables_app
from gnomon.cli.places import CollectionPlace, Place

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.answer.tables import TableInfo

Collection = CollectionPlace


@tables_app.command("list", epilog=example("gnomon tables list kb"))
def list_tables(collection: Collection, as_json: Json = False) -> None:
    """List the tables of a collection, and whether their files are there."""
    import gnomon
    from gnomon.answer.tables import registered
    from gnomon.answer.tables.source import file_state
    from gnomon.cli.terminal import data_console, print_json

    with gnomon.open(collection, create=False) as kb:
        found = [(info, file_state(info)) for info in registered(kb)]
    if as_json:
        listed = [{**info.to_json(), "state": state} for info, state in found]
        print_json({"collection": str(collection), "tables": listed})
        return
    print_list(data_console(), found, collection)


@tables_app.command(
    epilog=example(
        "gnomon tables add kb orders.csv",
        "gnomon tables add kb shop.db --table customers --name people",
    )
)
def add(
    collection: Collection,
    file: Annotated[str, typer.Argument(help="A CSV, SQLite or Parquet file.", metavar="FILE")],
    name: Annotated[str | None, typer.Option(help="What its rows are cited by; by default the file's name.")] = None,
    *,
    table: Annotated[str | None, typer.Option(help="The table of a SQLite file that has several.")] = None,
    as_json: Json = False,
) -> None:
    """Register a file's table with a collection."""
    import gnomon
    from gnomon.answer.tables import register
    from gnomon.cli.terminal import data_console, print_json

    with gnomon.open(collection, create=False) as kb:
        info = register(kb, file, name, table=table)
    if as_json:
        print_json({"collection": str(collection), "added": info.to_json()})
    else:
        print_table(data_console(), info, collection)


@tables_app.command(epilog=example("gnomon tables remove kb orders"))
def remove(
    collection: Collection,
    name: Annotated[str, typer.Argument(help="A table that `gnomon tables list` shows.", metavar="NAME")],
    as_json: Json = False,
) -> None:
    """Remove a table from a collection; its file stays as it is."""
    import gnomon
    from gnomon.answer.tables import unregister
    from gnomon.cli.terminal import clean, data_console, print_json

    with gnomon.open(collection, create=False) as kb:
        unregister(kb, name)
    if as_json:
        print_json({"removed": name})
    else:
        data_console().print(clean(f"{name} is removed; its file stays as it is"), soft_wrap=True)


def print_list(console: Console, found: list[tuple[TableInfo, str]], collection: Place) -> None:
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
    then = f'{program()} ask {shlex.quote(str(collection))} "your question"' if found else ""
    hint = then or f"{program()} tables add {shlex.quote(str(collection))} FILE"
    print_hanging(console, Text("next  ", style="bold"), clean(hint))


def print_table(console: Console, info: TableInfo, collection: Place) -> None:
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
    then = f'{program()} ask {shlex.quote(str(collection))} "your question"'
    print_hanging(console, Text("next  ", style="bold"), clean(then))
