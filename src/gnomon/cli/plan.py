"""gnomon plan."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import Place, place
from gnomon.cli.scale import Size, show_scale
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gnomon.migrate import IndexPlan, Plan

TOO_LITTLE_DISK = 3
To = Annotated[
    str | None, typer.Option(help="The model: a name from `gnomon models`, PROVIDER:MODEL, a hub id or a folder.")
]
ChunkTokens = Annotated[
    int | None, typer.Option(help="Re-chunk the documents into passages of at most so many tokens.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A setting of the search, such as fuse.weights=0.3,0.7; repeatable.",
        metavar="NAME=VALUE",
    ),
]
VectorType = Literal["float32", "float16", "int8", "binary"]
"""As core.vector_types, which loads numpy."""
Dim = Annotated[int | None, typer.Option(help="Keep the first dimensions of each vector only (Matryoshka models).")]
Type = Annotated[
    VectorType | None,
    typer.Option(help="Store vectors in 4 (float32), 2 (float16), 1 (int8) or 1/8 (binary) bytes a dimension."),
]
Store = Annotated[
    str | None,
    typer.Option(
        help="The engine that holds the vectors, such as pgvector or qdrant://localhost:6333; by default they are "
        "beside the catalog.",
        metavar="ADDRESS",
    ),
]
AddModel = Annotated[
    list[str] | None,
    typer.Option(
        help="Search by this model too, in a space of its own, its ranking fused with the others; may be repeated.",
        metavar="MODEL",
    ),
]
RemoveModel = Annotated[
    list[str] | None, typer.Option(help="Search without this further model; may be repeated.", metavar="MODEL")
]
SecondStage = Annotated[
    bool,
    typer.Option(
        "--second-stage",
        help="The further model only scores the first 200 results, and its vectors are made when first needed.",
    ),
]
Documents = Annotated[
    str | None,
    typer.Option(help="What the collection would take with so many documents like its own, such as 100M or 1B."),
]
StoreName = Annotated[
    str | None, typer.Option(help="The engine to search its vectors in (default: all of them), with --documents.")
]
Hours = Annotated[float, typer.Option(help="The hours in which all documents are to be embedded, with --documents.")]
CorePrice = Annotated[float | None, typer.Option(help="The price of a core for an hour, with --documents.")]
CpuShare = Annotated[float, typer.Option(help="The share of the CPU for the build, up to 1.")]


Places = Annotated[
    list[Place],
    typer.Argument(
        help="A collection, or files and folders to index into a new one.", metavar="COLLECTION|PATH", parser=place
    ),
]


@app.command(
    epilog=example(
        "gnomon plan kb --to bge-small-en-v1.5",
        "gnomon plan kb --chunk-tokens 128",
        "gnomon plan kb --add-model gte-small",
        "gnomon plan docs/ --to openai:text-embedding-3-small",
        "gnomon plan kb --documents 100M --store qdrant",
    )
)
def plan(
    places: Places,
    to: To = None,
    chunk_tokens: ChunkTokens = None,
    *,
    dim: Dim = None,
    vector_type: Type = None,
    settings: Set = None,
    add_model: AddModel = None,
    remove_model: RemoveModel = None,
    second_stage: SecondStage = False,
    price: Annotated[
        float | None, typer.Option(help="The price of a million tokens, where another one is known than yours.")
    ] = None,
    cpu_share: CpuShare = 0.5,
    documents: Documents = None,
    store: StoreName = None,
    hours: Hours = 24.0,
    core_price: CorePrice = None,
    as_json: Json = False,
) -> None:
    """Estimate what a model costs before it is used: tokens, time, money, disk. Changes and sends nothing.

    For a collection it is the change to another model, for files and folders a first index of them. With --documents
    it is the collection itself at another size: cores, hours, money, and bytes in memory and on disk.
    """
    size = Size(documents, store, hours, core_price, price)
    if size.is_asked_for:
        show_scale(places, size, others=(to, chunk_tokens, dim, vector_type, settings), as_json=as_json)
        return
    retrieval = parsed_settings(settings)
    if _is_collection(places):
        spaces = spaces_of(add_model, remove_model, second_stage=second_stage)
        form = {"dim": dim, "vector_type": vector_type, **spaces}
        _plan_change(places[0], (to, chunk_tokens, retrieval), form, price=price, cpu_share=cpu_share, as_json=as_json)
        return
    if retrieval or add_model or remove_model or second_stage:
        raise InvalidInput(
            "--set, --add-model or --remove-model for files",
            expected="a collection whose search is changed",
            hint="leave it out",
        )
    _plan_index(places, to, chunk_tokens, price=price, as_json=as_json)


def spaces_of(added: list[str] | None, removed: list[str] | None, *, second_stage: bool) -> dict[str, Any]:
    """What --add-model, --remove-model and --second-stage change."""
    return {"add_models": tuple(added or ()), "remove_models": tuple(removed or ()), "second_stage": second_stage}


def _plan_change(
    collection: Place,
    change: tuple[str | None, int | None, dict[str, Any]],
    form: dict[str, Any],
    *,
    price: float | None,
    cpu_share: float,
    as_json: bool,
) -> None:
    import gnomon
    from gnomon.cli.terminal import data_console, noted, print_json, print_message, print_notes
    from gnomon.migrate import Change
    from gnomon.migrate import plan as planned

    with noted() as notes, gnomon.open(collection, create=False, progress=print_message) as kb:
        wanted = Change(*change, **form)
        found = planned(kb, wanted, price=price, cpu_share=cpu_share, progress=print_message)
    if as_json:
        print_json({**found.to_json(), "warnings": notes})
    else:
        print_notes(notes)
        print_plan(data_console(), found)
    raise typer.Exit(0 if found.bytes.is_enough else TOO_LITTLE_DISK)


def _is_collection(places: Sequence[Place]) -> bool:
    """Whether a change of a collection is planned; else an index of files. A path of neither is said to be missing."""
    from gnomon.collection.catalog.connection import is_catalog
    from gnomon.core.files import exists

    kept = [each for each in places if is_catalog(each)]
    if kept and len(places) > 1:
        raise InvalidInput(
            f"the collection {kept[0]} beside other paths",
            expected="one collection, or files and folders",
            hint=f"what an update of it costs: gnomon index PATH --into {kept[0]} --dry-run",
        )
    return bool(kept) or (len(places) == 1 and not (isinstance(places[0], Path) and exists(places[0])))


def _plan_index(
    places: Sequence[Place], to: str | None, chunk_tokens: int | None, *, price: float | None, as_json: bool
) -> None:
    from gnomon.cli.terminal import noted, print_message
    from gnomon.collection.settings import CollectionSettings
    from gnomon.migrate import plan_index

    settings = CollectionSettings(model=to, chunk_tokens=chunk_tokens)
    with noted() as notes:
        found = plan_index([str(each) for each in places], settings=settings, price=price, progress=print_message)
    paths = " ".join(shlex.quote(str(place)) for place in places)
    command = f"gnomon index {paths} --into kb --model {shlex.quote(found.model)}"
    show_index_plan(
        found,
        notes,
        as_json=as_json,
        then=command if chunk_tokens is None else f"{command} --chunk-tokens {chunk_tokens}",
    )


def show_index_plan(plan: IndexPlan, notes: Sequence[str], *, as_json: bool, then: str) -> None:
    """What indexing files costs, and the command that does it."""
    from rich.text import Text

    from gnomon.cli.terminal import (
        clean,
        count,
        counted,
        data_console,
        print_hanging,
        print_json,
        print_notes,
        print_rows,
        program,
    )

    if as_json:
        print_json({**plan.to_json(), "warnings": notes})
        return
    print_notes(notes)
    passages = f"{counted(plan.chunks, 'passage')} of {counted(plan.documents, 'document')}"
    passages += f"; {count(plan.cached)} need no work" if plan.cached else ""
    rows = [
        ("model", clean(plan.space, style="bold")),
        ("passages", Text(passages)),
        ("to embed", _to_embed(plan)),
        *_server_rows(plan),
        ("time", _time(plan)),
    ]
    console = data_console()
    print_rows(console, [(Text(label, style="dim"), body) for label, body in rows])
    console.print()
    if plan.cost:
        then += f" --max-cost {1.1 * plan.cost:.2g}"
    print_hanging(console, Text("next  ", style="bold"), clean(then.replace("gnomon", program(), 1)))


def _to_embed(plan: Plan | IndexPlan) -> Text:
    from rich.text import Text

    from gnomon.cli.terminal import counted

    about = "" if plan.server is None or plan.server.exact else "at most about "
    return Text.assemble((about + counted(plan.tokens, "token"), "bold"), f" in {counted(plan.texts, 'passage')}")


def _server_rows(plan: Plan | IndexPlan) -> list[tuple[str, Text]]:
    """What a server charges, and in how many requests; a price alone where one was given."""
    from rich.text import Text

    from gnomon.cli.terminal import counted
    from gnomon.core.budget import dollars

    server = plan.server
    if server is None:
        return [] if plan.cost is None else [("cost", Text(f"{plan.cost:,.4g}"))]
    if server.cost is None:
        cost = Text("not known: --price says what a million tokens cost", style="yellow")
    else:
        about = "" if server.exact else "at most about "
        cost = Text.assemble((about + dollars(server.cost), "bold"), f", at {server.price:g} USD a million tokens")
    return [("cost", cost), ("requests", Text(counted(server.requests, "request")))]


def _time(plan: Plan | IndexPlan) -> Text:
    from rich.text import Text

    from gnomon.cli.terminal import count, duration, rate

    if plan.server is not None and plan.server.seconds is None:
        return Text("not known: the server says its rate limit with its first answer")
    if plan.server is not None:
        how = ", by the server's rate limit"
    else:
        speed, sample = rate(plan.speed.tokens, plan.speed.seconds), plan.speed.texts
        how = f": {speed} tokens/s on a sample of {count(sample)}" if sample else ""
    return Text.assemble((f"about {duration(plan.seconds)}", "bold"), how)


def parsed_settings(given: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE: the value as JSON, as numbers with commas between, or as it stands. Raises InvalidInput."""
    found: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InvalidInput(f"--set {text}", expected="NAME=VALUE", hint="for example --set fuse.weights=0.3,0.7")
        if name in found:
            raise InvalidInput(f"--set {name} twice", expected="each setting once")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    for form in (text, f"[{text}]"):
        try:
            return json.loads(form)
        except ValueError:
            continue
    return text


def print_plan(console: Console, plan: Plan) -> None:
    """A plan in a dozen lines, and what to type."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_hanging, print_rows, program

    print_rows(console, [(Text(label, style="dim"), body) for label, body in _rows(plan)])
    console.print()
    for number, command in enumerate(plan.commands):
        body = clean(command.replace("gnomon", program(), 1))
        print_hanging(console, Text("next  " if number == 0 else "      ", style="bold"), body)


def _rows(plan: Plan) -> list[tuple[str, Text]]:
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, counted, duration, rate, size

    kept = "kept as they are" if plan.keeps_chunks else f"cut anew, {plan.chunking['max_tokens']} tokens at most"
    passages = f"{count(plan.chunks)} of {counted(plan.documents, 'document')}, {kept}"
    passages += f"; {count(plan.cached)} need no work" if plan.cached else ""
    share = plan.share
    processor = counted(share.threads, "thread") + (f", {share.duty:.0%} of the time" if share.duty < 1 else "")
    time = Text.assemble(("about " + duration(plan.seconds), "bold"), f" with {processor}")
    if plan.server is not None:
        time = _time(plan)
    elif plan.speed.texts:
        speed = rate(plan.speed.tokens, plan.speed.seconds)
        time.append(f": {speed} tokens/s on a sample of {count(plan.speed.texts)}")
    disk = plan.bytes
    on_disk = f"{size(disk.before)} now, {size(disk.after)} with both, {size(disk.pruned)} once {plan.live} is gone"
    room = Text(f"{size(disk.free)}; {size(disk.needed)} are needed, the margin included")
    if not disk.is_enough:
        room = Text.assemble(("too little: ", "bold red"), room)
    rows = [
        ("from", clean(f"{plan.live}: {plan.live_model}")),
        ("to", clean(plan.space, style="bold")),
        ("passages", Text(passages)),
        ("to embed", _to_embed(plan)),
        *_server_rows(plan),
        ("time", time),
        ("on disk", Text(on_disk)),
        ("free", room),
    ]
    for each in plan.spaces:
        body = f"{each.model}: {counted(each.tokens, 'token')} in {counted(each.texts, 'passage')}, {size(each.bytes)}"
        long = f"; {count(each.too_long)} longer than it reads" if each.too_long else ""
        rows.insert(-3, ("to embed", clean(body + long)))
    if plan.too_long:
        said = f"{counted(plan.too_long, 'passage')} longer than the model reads: the end is not in the vector"
        rows.insert(3, ("note", Text(said, style="yellow")))
    return rows
