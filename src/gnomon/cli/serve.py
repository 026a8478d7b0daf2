"""gnomon serve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.app import Json, app, example
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from gnomon.serve.settings import BatchingSettings, Limits


Llm = Annotated[
    str | None,
    typer.Option(
        envvar="GNOMON_LLM",
        help="An OpenAI-compatible address (Ollama, vLLM, llama.cpp, OpenAI) to write answers; the key is "
        "OPENAI_API_KEY. Without it answers are quoted.",
        metavar="URL",
        rich_help_panel="Models",
    ),
]
LlmModel = Annotated[
    str | None,
    typer.Option(
        envvar="GNOMON_LLM_MODEL",
        help="Its model; may be left out where it has just one.",
        rich_help_panel="Models",
    ),
]
Collections = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[COLLECTION]...", help="Collections' folders; NAME=FOLDER gives another name.", show_default=False
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        help="The file of API keys, which clients need then. Beyond this machine they always do.",
        rich_help_panel="Security",
    ),
]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option(
        help="A name under which the server is reached; may be given several times.", rich_help_panel="Security"
    ),
]
CorsOrigins = Annotated[
    list[str] | None,
    typer.Option(
        help="A web site whose pages may use the API: https://example.org. May be given several times.",
        rich_help_panel="Security",
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes that share the address.", rich_help_panel="Process")]
ShutdownSeconds = Annotated[
    float,
    typer.Option(
        min=0,
        help="Seconds that requests under way have left when the server is told to end.",
        rich_help_panel="Process",
    ),
]
DrainSeconds = Annotated[
    float,
    typer.Option(
        min=0,
        help="Seconds before that in which it answers, and /ready says that it will end.",
        rich_help_panel="Process",
    ),
]
RequestLog = Annotated[
    bool,
    typer.Option(
        help="A line on stderr for each request, without texts; JSON unless it is a terminal.",
        rich_help_panel="Process",
    ),
]

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Serve this model's embeddings; NAME=FOLDER gives a name. May be given several times.",
        rich_help_panel="Models",
    ),
]
Rerankers = Annotated[
    list[str] | None,
    typer.Option(
        "--reranker",
        help="Serve this reranker; NAME=FOLDER gives a name. May be given several times.",
        rich_help_panel="Models",
    ),
]

Tuning = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A limit or how requests are joined: limits.body_bytes=67108864, batching.max_wait_ms=5.",
        metavar="NAME=VALUE",
        rich_help_panel="Process",
    ),
]
QueryLog = Annotated[
    bool,
    typer.Option(
        "--query-log",
        help="Keep searches and questions with their texts and what was shown, in the folder queries of their "
        "collection: for gnomon monitor --queries kb/queries and gnomon migrate --query-log kb/queries.",
    ),
]


@app.command(
    epilog=example(
        "gnomon serve kb",
        "gnomon serve kb docs=other/folder --port 9000 --workers 2",
        "gnomon serve --model all-MiniLM-L6-v2",
        "gnomon serve kb --llm http://localhost:11434 --llm-model llama3.2",
    )
)
def serve(
    collections: Collections = None,
    model: Models = None,
    reranker: Rerankers = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8080,
    workers: Workers = 1,
    keys: Keys = None,
    llm: Llm = None,
    llm_model: LlmModel = None,
    allowed_host: AllowedHosts = None,
    cors_origin: CorsOrigins = None,
    request_log: RequestLog = True,
    query_log: QueryLog = False,
    shutdown_seconds: ShutdownSeconds = 30.0,
    drain_seconds: DrainSeconds = 0.0,
    tuning: Tuning = None,
    as_json: Json = False,
) -> None:
    """Serve collections and models over HTTP: an API, a page to search, and tools for assistants.

    Listens on this machine alone, unless --host says otherwise: then clients need API keys, see gnomon keys.
    With --json the addresses are one line on stdout.
    """
    from gnomon.cli.terminal import print_message
    from gnomon.serve.security.exposure import is_exposed
    from gnomon.serve.security.keys import default_key_file
    from gnomon.serve.server import serve as run
    from gnomon.serve.settings import ChatSettings, ServeSettings, named_collections

    limits, batching = _tuned(tuning or (), shutdown_seconds=shutdown_seconds, drain_seconds=drain_seconds)
    settings = ServeSettings(
        collections=named_collections(collections or ()),
        models=tuple(model or ()),
        rerankers=tuple(reranker or ()),
        host=host,
        port=port,
        workers=workers,
        keys=keys or (default_key_file() if is_exposed(host) else None),
        allowed_hosts=tuple(allowed_host or ()),
        cors_origins=tuple(cors_origin or ()),
        request_log=request_log,
        query_log=query_log,
        limits=limits,
        batching=batching,
        chat=ChatSettings(llm, llm_model) if llm else None,
    )
    started = partial(_print_addresses, tools=bool(collections), as_json=as_json)
    run(settings, started=started, progress=print_message)


def _tuned(given: Sequence[str], **seconds: float) -> tuple[Limits, BatchingSettings]:
    """Limits and batching. Raises InvalidInput for a setting that there is not, or of another type."""
    from gnomon.cli.settings import settings_tables
    from gnomon.core.serialize import from_plain
    from gnomon.serve.settings import BatchingSettings, Limits

    tables = settings_tables(given, such_as="limits.body_bytes=67108864")
    limits, batching = tables.pop("limits", {}), tables.pop("batching", {})
    if tables:
        name = next(iter(tables))
        raise InvalidInput(
            f"--set {name}", expected="limits.NAME=VALUE or batching.NAME=VALUE", hint="docs/serving.md lists them"
        )
    limits = {**seconds, **limits} if isinstance(limits, dict) else limits
    return from_plain(Limits, limits, name="--set limits"), from_plain(
        BatchingSettings, batching, name="--set batching"
    )


def _print_addresses(address: str, *, tools: bool, as_json: bool) -> None:
    """Tell where the server is; `tools`: it has collections, and so tools for assistants."""
    from gnomon.cli.terminal import notes_console

    known = {"page": f"{address}/", "api": f"{address}/docs", **({"mcp": f"{address}/mcp"} if tools else {})}
    if as_json:
        typer.echo(json.dumps(known))
        return
    for name, each in known.items():
        notes_console().print(f"{name if name == 'page' else name.upper():6}{each}", soft_wrap=True)
