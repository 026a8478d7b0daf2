"""gnomon mcp."""

from __future__ import annotations

from typing import Annotated

import typer

from gnomon.cli.app import app, example
from gnomon.cli.ask import Llm, LlmModel


@app.command(
    epilog=example(
        "gnomon mcp kb",
        "gnomon mcp kb docs=other/folder",
        "gnomon mcp kb --llm http://localhost:11434 --llm-model llama3.2",
    )
)
def mcp(
    collections: Annotated[
        list[str],
        typer.Argument(
            metavar="COLLECTION...",
            help="Collections' folders; NAME=FOLDER gives another name. The first is meant where none is named.",
            show_default=False,
        ),
    ],
    llm: Llm = None,
    llm_model: LlmModel = None,
) -> None:
    """Give an assistant the tools search, fetch, ask and status (Model Context Protocol, over stdio).

    For the settings of an assistant, which starts it; by hand it waits for a client on standard input.
    """
    from gnomon.serve.mcp.stdio import serve_stdio
    from gnomon.serve.settings import ChatSettings, ServeSettings, named_collections

    chat = ChatSettings(llm, llm_model) if llm else None
    serve_stdio(ServeSettings(collections=named_collections(collections), chat=chat))
