"""gnomon fields: the metadata's fields and their types."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import CollectionPlace, Place
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.collection import FieldChange, FieldInfo


@app.command(epilog=example("gnomon fields kb", "gnomon fields kb --set year=number --set published=date"))
def fields(
    collection: CollectionPlace,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Set a field's type: text, number, boolean or date. What is stored of it is converted.",
            metavar="FIELD=TYPE",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the fields of the documents' metadata, and the types that --where compares them as."""
    import gnomon
    from gnomon.cli.terminal import data_console, print_json

    wanted = [_assignment(each) for each in types or ()]
    with gnomon.open(collection, create=False) as kb:
        changes = [kb.fields.set_type(name, cast(Any, to)) for name, to in wanted]
        found = kb.fields.all()
    if as_json:
        print_json(
            {
                "collection": str(collection),
                "fields": [field.to_json() for field in found],
                "changed": [change.to_json() for change in changes],
            }
        )
        return
    console = data_console()
    for change in changes:
        _print_change(console, change)
    if not changes:
        _print_fields(console, found, collection)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, to = text.rpartition("=")
    if not equals or not name.strip():
        raise InvalidInput(f"--set {text}", expected="FIELD=TYPE", hint="for example: --set year=number")
    return name.strip(), to.strip()


def _print_change(console: Console, change: FieldChange) -> None:
    from gnomon.cli.terminal import clean, counted

    console.print(
        clean(f"{change.name}: {change.type}; converted in {counted(change.converted, 'document')}"), soft_wrap=True
    )
    if change.others:
        shown = ", ".join(f"{value!r} ({document})" for value, document in change.examples)
        kept = f"{counted(change.others, 'document')} with a value that is no {change.type}, kept as it is: {shown}"
        console.print(clean(kept, style="yellow"), soft_wrap=True)


def _print_fields(console: Console, found: Sequence[FieldInfo], collection: Place) -> None:
    """One line a field."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, counted, print_hanging, print_rows, program

    rows = []
    for field in found:
        body = clean(f"{field.type:<8} {field.known:<9} {counted(field.documents, 'document')}")
        if field.others:
            body.append_text(clean(f", {count(field.others)} with a value of another type", style="yellow"))
        rows.append((clean(field.name, style="bold"), body))
    print_rows(console, rows)
    if not found:
        console.print("No metadata.", soft_wrap=True)
        return
    console.print()
    hint = f"{program()} fields {shlex.quote(str(collection))} --set {found[0].name}=text"
    print_hanging(console, Text("next  ", style="bold"), clean(hint))
