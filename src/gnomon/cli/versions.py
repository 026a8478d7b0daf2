"""gnomon status, versions, switch and rollback."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import CollectionPlace, Place
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gnomon.collection import FieldInfo
    from gnomon.collection.catalog.spending import Spent
    from gnomon.collection.reports import PruneReport, SpaceStatus, Status, SwitchReport, VersionInfo


@app.command(epilog=example("gnomon status kb"))
def status(
    collection: CollectionPlace,
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
    textless = status.documents_without_passages
    without = f", {count(textless)} without a passage" if textless else ""
    lines = [
        ("collection", clean(status.path, style="bold")),
        ("model", clean(f"{status.model}, {space['dim']} dimensions, {space['similarity']}{precision}")),
        ("space", Text(space["fingerprint"][:12])),
        ("version", clean(status.version)),
        ("chunking", clean(chunking)),
        ("search", clean(_retrieval(status.retrieval, status.languages))),
        ("files", Text(count(status.sources))),
        ("documents", Text(count(status.documents) + without)),
        ("passages", Text(f"{count(status.chunks)}, {count(status.tokens)} tokens")),
        ("vectors", Text(f"{count(status.vectors)} in the cache")),
        *((f"{one.name}", clean(_space(one))) for one in status.spaces),
        *([("metadata", clean(_fields(status.fields)))] if status.fields else []),
        *([("spent", clean(_spent(status.spent)))] if status.spent else []),
        ("on disk", Text(f"{size(total)}, of which the catalog {size(status.catalog_bytes)}")),
    ]
    for derived in status.derived:
        stand = Text(derived.state, style="green" if derived.state == "current" else "yellow")
        figures = f", {derived.kind}, {count(derived.rows)} rows, {size(derived.bytes)}"
        if derived.place:
            recall = "" if derived.recall is None else f", recall@10 {derived.recall:.3f}"
            at = f", at {count(derived.position)} of {count(status.position)} changes{recall}"
            figures = f", {count(derived.rows)} passages{at}, {derived.place}"
            figures = f": {derived.fault}, {derived.place}" if derived.fault else figures
        name = "vector store" if derived.place else f"{derived.name} index"
        lines.append((name, Text.assemble(stand, figures)))
    print_rows(console, [(Text(label, style="dim"), body) for label, body in lines])


def _space(one: SpaceStatus) -> str:
    """A further space in a line."""
    from gnomon.cli.terminal import count, size

    how = "one more list" if one.place == "beside" else "scores the first results"
    return f"{one.model}, {one.space['dim']} dimensions, {how}, {count(one.vectors)} vectors, {size(one.bytes)}"


def _spent(spent: Sequence[Spent]) -> str:
    """What servers of models were sent and charged: a line a model and role."""
    from gnomon.cli.terminal import counted
    from gnomon.core.budget import dollars

    return "\n".join(
        f"{dollars(each.cost)} for {each.role} texts by {each.model}: {counted(each.tokens, 'token')} in "
        f"{counted(each.texts, 'text')}, {counted(each.requests, 'request')}, {each.since} to {each.until}"
        for each in spent
    )


_FIELDS = 12
"""Metadata fields that status names."""


def _fields(fields: Sequence[FieldInfo]) -> str:
    shown = [f"{field.name} ({field.type})" for field in fields[:_FIELDS]]
    return ", ".join([*shown, f"{len(fields) - _FIELDS} more"] if len(fields) > _FIELDS else shown)


def _shares(languages: dict[str, int]) -> str:
    """The most common languages with the percentage of passages in each; nothing before the first search."""
    total, most_first = sum(languages.values()), sorted(languages.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{name} {texts / total:.0%}" for name, texts in most_first[:5])
    return f" ({shares})" if languages else ""


def _retrieval(settings: dict[str, Any], languages: dict[str, int]) -> str:
    """The mode and the language, then what is not as it is by default."""
    from gnomon.collection.settings import STAGES

    language = settings["language"]
    if language == "auto":
        language += _shares(languages)
    stages = [name for name in STAGES if name in settings]
    parts = [settings["mode"], f"language {language}", *(f"with {name}" for name in stages)]
    return ", ".join([*parts, f"index {settings['index']}"] if "index" in settings else parts)


STYLES = {"live": "bold green", "ready": "green", "building": "yellow", "retired": "dim"}
Folder = CollectionPlace


@app.command(
    epilog=example(
        "gnomon versions kb",
        "gnomon versions kb --retire v1 --prune",
        "gnomon versions kb --prune --vacuum",
    )
)
def versions(
    collection: Folder,
    retire: Annotated[
        list[str] | None,
        typer.Option(help="Give a version up for good: it gets no documents any more.", metavar="NAME"),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Free what only retired versions need: chunks, vectors, indexes.")
    ] = False,
    *,
    vacuum: Annotated[
        bool,
        typer.Option("--vacuum", help="With --prune: make the catalog's file smaller too, which is slow."),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the versions of a collection: the live one and those to roll back to."""
    import gnomon
    from gnomon.cli.rendering.migration import print_interleaving
    from gnomon.cli.terminal import data_console, print_json
    from gnomon.migrate import interleaving_status

    if vacuum and not prune:
        raise InvalidInput(
            "--vacuum without --prune",
            expected="both: it gives back what pruning freed",
            hint="add --prune",
        )
    with gnomon.open(collection, create=False) as kb:
        for name in dict.fromkeys(retire or ()):
            kb.retire(name)
        freed = kb.prune(vacuum=vacuum) if prune else None
        found = kb.versions.list()
        mixed = interleaving_status(kb)
    if as_json:
        print_json(
            {
                "collection": str(collection),
                "versions": [info.to_json() for info in found],
                "interleaving": None if mixed is None else mixed.to_json(),
                "pruned": None if freed is None else freed.to_json(),
            }
        )
        return
    print_versions(data_console(), found)
    if mixed is not None:
        print_interleaving(data_console(), mixed)
    if freed is not None:
        print_freed(data_console(), freed)


@app.command(epilog=example("gnomon switch kb v3"))
def switch(
    collection: Folder,
    version: Annotated[str, typer.Argument(help="A version that is ready, such as v3.", metavar="VERSION")],
    as_json: Json = False,
) -> None:
    """Switch to another version, in all processes that have the collection open, without downtime."""
    import gnomon

    with gnomon.open(collection, create=False) as kb:
        done = kb.switch(version)
    _tell(done, collection, as_json=as_json)


@app.command(epilog=example("gnomon rollback kb"))
def rollback(collection: Folder, as_json: Json = False) -> None:
    """Roll back to the previous version; documents added since are in it too."""
    import gnomon

    with gnomon.open(collection, create=False) as kb:
        done = kb.rollback()
    _tell(done, collection, as_json=as_json)


def print_versions(console: Console, found: Sequence[VersionInfo]) -> None:
    """A version a line: the name, how it stands, its model and its chunks."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_line

    rows = [
        (
            Text(info.name, style="bold"),
            Text(info.state, style=STYLES[info.state]),
            clean(info.space),
            clean(_made(info)),
            Text(_standing(info)),
        )
        for info in found
    ]
    head = [Text(name, style="dim") for name in ("version", "state", "model", "chunks and search", "")]
    widths = [max(cells[at].cell_len for cells in (head, *rows)) for at in range(len(head))]
    for cells in (head, *rows):
        line = Text()
        for cell, width in zip(cells, widths, strict=True):
            line.append_text(Text.assemble(cell, " " * (width - cell.cell_len + 3)))
        line.rstrip()
        print_line(console, line)


def print_freed(console: Console, freed: PruneReport) -> None:
    """What pruning freed."""
    from rich.text import Text

    from gnomon.cli.terminal import counted, print_rows, size

    parts = [counted(freed.chunks, "chunk"), counted(freed.vectors, "vector")]
    parts += [f"the indexes in {', '.join(freed.folders)}"] if freed.folders else []
    parts += [f"{counted(freed.rewritten, 'row')} stored shorter"] if freed.rewritten else []
    said = f"{', '.join(parts)}; {size(freed.bytes)} given back to the disk"
    console.print()
    print_rows(console, [(Text("freed", style="dim"), Text(said))])


def _made(info: VersionInfo) -> str:
    """The chunks, and of the search what is not as it is by default."""
    from gnomon.collection.settings import STAGES

    chunks = f"{info.chunking['max_tokens']} tokens"
    if info.chunking.get("overlap"):
        chunks += f", overlap {info.chunking['overlap']}"
    weights = info.retrieval["fuse"].get("weights")
    search = info.retrieval["mode"]
    search += f" {'/'.join(f'{weight:g}' for weight in weights)}" if weights else ""
    stages = [Path(space["model"]).name for space in info.retrieval.get("spaces", ())]
    stages += [name for name in STAGES if name in info.retrieval]
    return f"{chunks}; {search}" + (f" with {', '.join(stages)}" if stages else "")


def _standing(info: VersionInfo) -> str:
    from gnomon.cli.terminal import counted

    if info.state == "live":
        return f"live since {info.live_since}"
    if info.state == "retired":
        return ""
    return f"{counted(info.behind, 'document')} behind" if info.behind else "up to date"


def _tell(done: SwitchReport, collection: Place, *, as_json: bool) -> None:
    from gnomon.cli.terminal import data_console, print_hanging, print_json

    if as_json:
        print_json({"collection": str(collection), **done.to_json()})
        return
    for label, body in _told(done, collection):
        print_hanging(data_console(), label, body)


def _told(done: SwitchReport, collection: Place) -> list[tuple[Text, Text]]:
    from rich.text import Text

    from gnomon.cli.terminal import clean, duration, program

    verb = "back to" if done.why == "rollback" else "switched to"
    body = Text.assemble((f"{verb} {done.to}", "bold green"), f" from {done.came_from} in {duration(done.seconds)}")
    then = f"{program()} rollback {shlex.quote(str(collection))}"
    if done.why == "rollback":
        then = f"{program()} versions {shlex.quote(str(collection))}"
    return [(Text("live  ", style="dim"), body), (Text("next  ", style="bold"), clean(then))]
