"""gnomon adapter."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.versions import Folder

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.migrate.adapter.fit import AdapterSettings, EmbeddingAdapter

REFUSED = 1


@app.command(
    epilog=example(
        "gnomon adapter kb --to gte-small",
        "gnomon adapter kb --to gte-small --queries log.txt --out gte.adapter",
    )
)
def adapter(
    collection: Folder,
    to: Annotated[
        str, typer.Option(help="The model: a name from `gnomon models`, PROVIDER:MODEL, a hub id or a folder.")
    ],
    pairs: Annotated[int, typer.Option(help="Passages to embed with it, drawn at random.")] = 4000,
    *,
    queries: Annotated[
        Path | None, typer.Option(help="A file of queries, one a line: they choose and measure the adapter.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the adapter, if its recall is high enough.")] = None,
    as_json: Json = False,
) -> None:
    """Measure how well another model's queries are answered from the existing vectors, through an embedding adapter.

    Exit code 1 if the recall is too low: then the old version should serve until the new one is built.
    """
    import gnomon
    from gnomon.cli.terminal import data_console, noted, print_json, print_message, print_notes
    from gnomon.encode import load_encoder
    from gnomon.migrate.adapter.files import save_adapter
    from gnomon.migrate.adapter.fit import AdapterSettings, is_good_enough
    from gnomon.migrate.adapter.retriever import fit_adapter_for
    from gnomon.migrate.query_log import read_queries

    texts = None if queries is None else read_queries(queries)
    settings = AdapterSettings()
    with noted() as notes, gnomon.open(collection, create=False, progress=print_message) as kb:
        encoder = load_encoder(to, progress=print_message)
        # A refused adapter is shown too.
        found = fit_adapter_for(kb, encoder, pairs=pairs, queries=texts, settings=AdapterSettings(min_recall=0))
    allowed = is_good_enough(found.quality, settings)
    if out is not None and allowed:
        save_adapter(found, out)
    if as_json:
        about = {"old": found.old.short, "new": found.new.short, "kind": found.kind, "allowed": allowed}
        print_json({**about, "min_recall": settings.min_recall, **asdict(found.quality), "warnings": notes})
    else:
        print_notes(notes)
        print_adapter(data_console(), found, settings, allowed=allowed)
    raise typer.Exit(0 if allowed else REFUSED)


def print_adapter(console: Console, found: EmbeddingAdapter, settings: AdapterSettings, *, allowed: bool) -> None:
    """The adapter's recall, beside the old model's, and whether it may serve."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_rows

    quality = found.quality
    queries = "passages as queries" if quality.of_passages else "queries"
    tried = ", ".join(f"{kind} {recall:.1%}" for kind, recall in quality.tried.items())
    rows = [
        ("from", clean(f"queries of {found.new.short}")),
        ("to", clean(f"vectors of {found.old.short}")),
        ("map", clean(f"{found.kind}, fitted on {quality.pairs:,} passages")),
        (
            "finds",
            clean(
                f"{quality.recall:.1%} of the new model's {quality.at} nearest ({quality.low:.1%} to "
                f"{quality.high:.1%}, {quality.queries} {queries}); the old model finds {quality.old_model:.1%}"
            ),
        ),
        ("tried", clean(tried)),
        (
            "allowed",
            clean("yes", "bold green")
            if allowed
            else clean(f"no: {settings.min_recall:.0%} is required, and more than the old model", "bold red"),
        ),
    ]
    print_rows(console, [(Text(label, style="dim"), body) for label, body in rows])
