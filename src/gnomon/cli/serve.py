"""gnomon serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.app import Json, app, example


@app.command(
    epilog=example(
        "gnomon serve kb",
        "gnomon serve kb docs=other/folder --port 9000 --workers 2",
        "gnomon serve --model all-MiniLM-L6-v2",
    )
)
def serve(
    collections: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COLLECTION]...",
            help="Collections' folders; NAME=FOLDER gives another name.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Serve this model's embeddings; may be given several times.")
    ] = None,
    reranker: Annotated[
        list[str] | None, typer.Option("--reranker", help="Serve this reranker; may be given several times.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the address.")] = 1,
    keys: Annotated[Path | None, typer.Option(help="The file of API keys.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Serve collections and models over HTTP: an API, a page to search, and tools for assistants.

    Listens on this machine alone, unless --host says otherwise. With --json the addresses are one line on stdout.
    """
    from gnomon.serve.server import serve as run
    from gnomon.serve.settings import ServeSettings, named_collections

    settings = ServeSettings(
        collections=named_collections(collections or ()),
        models=tuple(model or ()),
        rerankers=tuple(reranker or ()),
        host=host,
        port=port,
        workers=workers,
        keys=keys,
    )
    run(settings, started=_print_json if as_json else _print_addresses)


def _print_json(address: str) -> None:
    typer.echo(json.dumps({"page": f"{address}/", "api": f"{address}/docs"}))


def _print_addresses(address: str) -> None:
    from gnomon.cli.terminal import notes_console

    console = notes_console()
    console.print(f"page  {address}/", soft_wrap=True)
    console.print(f"API   {address}/docs", soft_wrap=True)
