"""gnomon plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.versions import Folder
from gnomon.core.errors import InvalidInput
from gnomon.core.vector_types import VectorType

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gnomon.migrate import Plan

TOO_LITTLE_DISK = 3
To = Annotated[str | None, typer.Option(help="The model: a name from `gnomon models`, a hub id or a folder.")]
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
Dim = Annotated[int | None, typer.Option(help="Keep the first dimensions of each vector only (Matryoshka models).")]
Type = Annotated[
    VectorType | None,
    typer.Option(help="Store vectors in 4 (float32), 2 (float16), 1 (int8) or 1/8 (binary) bytes a dimension."),
]
CpuShare = Annotated[float, typer.Option(help="The share of the CPU for the build, up to 1.")]


@app.command(epilog=example("gnomon plan kb --to bge-small-en-v1.5", "gnomon plan kb --chunk-tokens 128"))
def plan(
    collection: Folder,
    to: To = None,
    chunk_tokens: ChunkTokens = None,
    *,
    dim: Dim = None,
    vector_type: Type = None,
    settings: Set = None,
    price: Annotated[float | None, typer.Option(help="The price of a million tokens.")] = None,
    cpu_share: CpuShare = 0.5,
    as_json: Json = False,
) -> None:
    """Estimate what a change of model costs: tokens, time, disk. Changes nothing."""
    import gnomon
    from gnomon.cli.terminal import data_console, noted, print_json, print_message, print_notes
    from gnomon.migrate import Change
    from gnomon.migrate import plan as planned

    retrieval = parsed_settings(settings)
    with noted() as notes, gnomon.open(collection, create=False, progress=print_message) as kb:
        found = planned(
            kb,
            Change(to, chunk_tokens, retrieval, dim, vector_type),
            price=price,
            cpu_share=cpu_share,
            progress=print_message,
        )
    if as_json:
        print_json({**found.to_json(), "warnings": notes})
    else:
        print_notes(notes)
        print_plan(data_console(), found)
    raise typer.Exit(0 if found.bytes.is_enough else TOO_LITTLE_DISK)


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
    if plan.speed.texts:
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
        (
            "to embed",
            Text.assemble((counted(plan.tokens, "token"), "bold"), f" in {counted(plan.texts, 'passage')}"),
        ),
        ("time", time),
        ("on disk", Text(on_disk)),
        ("free", room),
    ]
    if plan.cost is not None:
        rows.insert(5, ("cost", Text(f"{plan.cost:,.4g}")))
    if plan.too_long:
        said = f"{counted(plan.too_long, 'passage')} longer than the model reads: the end is not in the vector"
        rows.insert(3, ("note", Text(said, style="yellow")))
    return rows
