"""gnomon search."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from gnomon.cli.app import Json, app, example

Mode = Literal["hybrid", "dense", "lexical"]
By = Literal["chunk", "document"]


@app.command(
    epilog=example(
        'gnomon search kb "how do I rotate the keys?"',
        "gnomon search kb rotate_keys --mode lexical --by document -k 3 --json",
        """gnomon search kb backups --where "id like 'docs/%' and year >= 2020\"""",
    )
)
def search(
    collection: Annotated[Path, typer.Argument(help="The collection's folder.", metavar="COLLECTION")],
    query: Annotated[str, typer.Argument(help="A question, or words.", metavar="QUESTION")],
    k: Annotated[int, typer.Option("--k", "-k", help="How many hits.")] = 10,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="By meaning (dense), by word (lexical) or both; by default as the collection is set."
        ),
    ] = None,
    by: Annotated[By, typer.Option(help="Rank passages, or each document by its best one.")] = "chunk",
    where: Annotated[
        str | None,
        typer.Option(
            help="Only documents that meet a condition: = != < <= > >= like in, is null, and, or, not. "
            "Fields: id, source (the path), title, media_type and what is in the metadata.",
            metavar="CONDITION",
        ),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show each stage's score.")] = False,
    as_json: Json = False,
) -> None:
    """Search a collection."""
    import gnomon
    from gnomon.cli.figures import counted, duration
    from gnomon.cli.show import hit_json, print_hits
    from gnomon.cli.terminal import data_console, noted, notes_console, print_json, print_notes, say

    started = time.perf_counter()
    with noted() as notes, gnomon.open(collection, create=False, say=say) as kb:
        kb.retriever(mode, where=where)  # loads what is needed, so that the two times can be told apart
        loaded = time.perf_counter()
        hits = kb.search(query, k=k, mode=mode, by=by, where=where)
        ended = time.perf_counter()
    if as_json:
        found = [hit_json(hit, rank) for rank, hit in enumerate(hits, 1)]
        asked = {"query": query, "k": k, "mode": mode, "by": by, "where": where}
        times = {"seconds": round(ended - loaded, 6), "load_seconds": round(loaded - started, 6)}
        print_json({**asked, **times, "hits": found, "warnings": notes})
        return
    print_notes(notes)
    console = data_console()
    if not hits:
        console.print("Nothing found.", soft_wrap=True)
        return
    print_hits(console, hits, explain=explain)
    if console.is_terminal:
        took = f"{duration(ended - loaded)}, after {duration(loaded - started)} to load"
        notes_console().print(f"\n[dim]{counted(len(hits), 'hit')} in {took}[/dim]")
