"""gnomon status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.app import Json, app, example

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.collection.reports import Status


@app.command(epilog=example("gnomon status kb"))
def status(
    collection: Annotated[Path, typer.Argument(help="The collection's folder.", metavar="COLLECTION")],
    as_json: Json = False,
) -> None:
    """Show what is in a collection and how it is made."""
    import gnomon
    from gnomon.cli.terminal import data_console, print_json

    with gnomon.open(collection, create=False) as kb:
        found = kb.status()
    if as_json:
        print_json(found.to_json())
    else:
        print_status(data_console(), found)


def print_status(console: Console, status: Status) -> None:
    """A collection in a dozen lines."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, print_rows, size

    space = status.space
    chunking = ", ".join(f"{key} {value}" for key, value in sorted(status.chunking.items()))
    precision = "" if space["precision"] == "float" else f", {space['precision']}"
    total = status.catalog_bytes + sum(derived.bytes for derived in status.derived)
    lines = [
        ("collection", clean(status.path, style="bold")),
        ("model", clean(f"{status.model}, {space['dim']} dimensions, {space['similarity']}{precision}")),
        ("space", Text(space["fingerprint"][:12])),
        ("version", clean(status.version)),
        ("chunking", clean(chunking)),
        ("search", clean(_retrieval(status.retrieval))),
        ("files", Text(count(status.sources))),
        ("documents", Text(count(status.documents))),
        ("passages", Text(f"{count(status.chunks)}, {count(status.tokens)} tokens")),
        ("vectors", Text(f"{count(status.vectors)} in the cache")),
        ("on disk", Text(f"{size(total)}, of which the catalog {size(status.catalog_bytes)}")),
    ]
    for derived in status.derived:
        stand = Text(derived.state, style="green" if derived.state == "current" else "yellow")
        figures = f", {derived.kind}, {count(derived.rows)} rows, {size(derived.bytes)}"
        lines.append((f"{derived.name} index", Text.assemble(stand, figures)))
    print_rows(console, [(Text(label, style="dim"), body) for label, body in lines])


def _retrieval(settings: dict[str, Any]) -> str:
    """The mode and the language, then what is not as it is by default."""
    from gnomon.collection.settings import STAGES

    stages = [name for name in STAGES if name in settings]
    parts = [settings["mode"], f"language {settings['language']}", *(f"with {name}" for name in stages)]
    return ", ".join([*parts, f"index {settings['index']}"] if "index" in settings else parts)
