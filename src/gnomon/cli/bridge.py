"""gnomon bridge."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.versions import Folder

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.migrate.adapter.fit import Bridge, BridgeSettings

REFUSED = 1


@app.command(
    epilog=example(
        "gnomon bridge kb --to gte-small",
        "gnomon bridge kb --to gte-small --queries log.txt --out gte.bridge",
    )
)
def bridge(
    collection: Folder,
    to: Annotated[str, typer.Option(help="The model: a name from `gnomon models`, a hub id or a folder.")],
    pairs: Annotated[int, typer.Option(help="Passages to embed with it, drawn at random.")] = 4000,
    queries: Annotated[
        Path | None, typer.Option(help="A file of queries, one a line: they choose and measure the map.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to keep the bridge, if it is allowed.")] = None,
    as_json: Json = False,
) -> None:
    """Measure whether another model's queries can be answered from the vectors that are there.

    Exit code 1 where they cannot: the old version should serve until the new one is built.
    """
    import gnomon
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes, say
    from gnomon.encode import load_encoder
    from gnomon.migrate.adapter.files import save_bridge
    from gnomon.migrate.adapter.fit import BridgeSettings, is_allowed
    from gnomon.migrate.adapter.retriever import bridge_for
    from gnomon.migrate.query_log import read_queries

    texts = None if queries is None else read_queries(queries)
    settings = BridgeSettings()
    with noted() as notes, gnomon.open(collection, create=False, say=say) as kb:
        encoder = load_encoder(to, say=say)
        # Measured first and judged here: what is refused is shown all the same.
        found = bridge_for(kb, encoder, pairs=pairs, queries=texts, settings=BridgeSettings(least=0))
    allowed = is_allowed(found.measured, settings)
    if out is not None and allowed:
        save_bridge(found, out)
    if as_json:
        about = {"old": found.old.short, "new": found.new.short, "kind": found.kind, "allowed": allowed}
        print_json({**about, "least": settings.least, **asdict(found.measured), "warnings": notes})
    else:
        print_notes(notes)
        print_bridge(data_console(), found, settings, allowed)
    raise typer.Exit(0 if allowed else REFUSED)


def print_bridge(console: Console, found: Bridge, settings: BridgeSettings, allowed: bool) -> None:
    """What it finds, beside what the old model finds, and whether it may serve."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_rows

    about = found.measured
    asked = "passages as queries" if about.of_passages else "queries"
    tried = ", ".join(f"{kind} {share:.1%}" for kind, share in about.tried.items())
    rows = [
        ("from", clean(f"queries of {found.new.short}")),
        ("to", clean(f"vectors of {found.old.short}")),
        ("map", clean(f"{found.kind}, fitted on {about.pairs:,} passages")),
        (
            "finds",
            clean(
                f"{about.recall:.1%} of the new model's {about.at} nearest ({about.low:.1%} to "
                f"{about.high:.1%}, {about.queries} {asked}); the old model finds {about.old_model:.1%}"
            ),
        ),
        ("tried", clean(tried)),
        (
            "allowed",
            clean("yes", "bold green")
            if allowed
            else clean(f"no: {settings.least:.0%} is wanted, and more than the old model", "bold red"),
        ),
    ]
    print_rows(console, [(Text(label, style="dim"), body) for label, body in rows])
