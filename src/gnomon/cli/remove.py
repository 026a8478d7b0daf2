"""gnomon remove."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import CollectionPlace

if TYPE_CHECKING:
    from gnomon.collection import Collection

_SHOWN = 10
Where = Annotated[
    str | None, typer.Option(help="Documents that meet a condition, as gnomon search takes it.", metavar="CONDITION")
]
Source = Annotated[
    str | None,
    typer.Option(help="Documents of a file, or of all files below a folder, also of one that is gone.", metavar="PATH"),
]


@app.command(
    epilog=example(
        "gnomon remove kb docs/old.md notes.csv#17",
        "gnomon remove kb --source docs/archive",
        """gnomon remove kb --where "id like 'docs/%' and year < 2020" --dry-run""",
    )
)
def remove(
    collection: CollectionPlace,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of documents.", metavar="ID")] = None,
    *,
    where: Where = None,
    source: Source = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before documents are removed.")] = False,
    as_json: Json = False,
) -> None:
    """Remove documents by id, by a condition, or by where they come from.

    Files stay as they are: what lies in a folder that is indexed comes back with the next run, unless it is excluded
    or named in a .gnomonignore file there. On a terminal, conditions ask first.
    """
    import gnomon
    from gnomon.cli.terminal import counted, data_console, notes_console, print_json
    from gnomon.core.errors import InvalidInput

    if bool(ids) == bool(where or source):
        raise InvalidInput(
            "ids and conditions" if ids else "nothing to remove",
            expected="ids, or --where, or --source",
            hint=f"gnomon remove {shlex.quote(str(collection))} --source PATH",
        )
    with gnomon.open(collection, create=False) as kb:
        found = [one.id for one in kb.get(ids)] if ids else kb.ids(where, source=source)
        lacking = [each for each in ids or () if each not in set(found)]
        asks = not (ids or yes or dry_run or as_json) and found and notes_console().is_terminal
        if asks and not typer.confirm(f"Remove {counted(len(found), 'document')}?", err=True):
            raise typer.Exit(1)
        passages = 0 if dry_run or not found else _remove(kb, ids, where=where, source=source)
    report = {"documents": len(found), "passages": passages, "ids": found, "unknown": lacking, "dry_run": dry_run}
    if as_json:
        print_json({"collection": str(collection), **report})
    else:
        print_removal(data_console(), report)
    raise typer.Exit(int(not found or bool(lacking)))


def _remove(kb: Collection, ids: list[str] | None, *, where: str | None, source: str | None) -> int:
    return kb.remove(ids) if ids else kb.remove(where=where, source=source)


def print_removal(console: Any, report: dict[str, Any]) -> None:
    """How many documents and passages were removed, or would be, and the first ids."""
    from gnomon.cli.terminal import clean, counted, print_line

    documents = counted(report["documents"], "document")
    passages = counted(report["passages"], "passage")
    said = f"{documents} would be removed" if report["dry_run"] else f"removed {documents}, {passages}"
    print_line(console, clean(said, style="bold"))
    for each in report["ids"][:_SHOWN]:
        print_line(console, clean(f"  {each}"))
    if len(report["ids"]) > _SHOWN:
        print_line(console, clean(f"  and {len(report['ids']) - _SHOWN:,} more"))
    for each in report["unknown"]:
        print_line(console, clean(f"there is no document {each}", style="yellow"))
