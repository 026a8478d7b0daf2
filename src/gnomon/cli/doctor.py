"""gnomon doctor."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from gnomon.cli.app import Json, app, example
from gnomon.cli.terminal import clean, counted, duration, print_hanging, print_rows
from gnomon.collection.address import is_database, names_collection, shown
from gnomon.core.errors import CollectionDamaged, InvalidInput

if TYPE_CHECKING:
    from gnomon.core.progress import ProgressCallback
    from gnomon.doctor.identify_model import ModelIdentification
    from gnomon.doctor.report import DoctorFinding, DoctorReport
    from gnomon.doctor.stores.examine import StorePart, StoreReport, StoreSettings


_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
_VERDICT_STYLES = {"one": "green", "partly": "red", "mixed": "red", "none": "yellow", "unknown": "yellow"}


def print_report(console: Console, found: DoctorReport) -> None:
    """Print what is in a collection, what is wrong, worst first, and what was checked."""
    head = [
        ("collection", clean(found.collection, style="bold")),
        ("holds", Text(f"{counted(found.documents, 'document')} of {counted(found.files, 'file')}")),
    ]
    for space in found.spaces:
        vectors = f"{counted(space.documents, 'vector')} of passages, {space.queries:,} of queries"
        users = ", ".join(space.versions) or "no version"
        head.append(("space", clean(f"{space.space}: {vectors}; {users}")))
    for info in found.versions:
        lacks = f", lacks {counted(info.behind, 'document')}" if info.behind else ""
        head.append(("version", clean(f"{info.name} {info.state}: {info.model}{lacks}")))
    print_rows(console, [(Text(label, style="dim"), body) for label, body in head])
    if found.findings:
        console.print()
    for finding in found.findings:
        _print_finding(console, finding)
    console.print()
    rows = [(Text("fixed", style="green"), clean(what)) for what in found.fixed]
    rows += [(Text("skipped", style="yellow"), clean(what)) for what in found.skipped]
    rows.append((Text("checked", style="dim"), clean(", ".join(found.checks) or "nothing")))
    rows.append((Text("result", style="bold"), _result(found.findings, found.seconds)))
    print_rows(console, rows)


def print_store(console: Console, found: StoreReport) -> None:
    """Print what is in another store, part by part."""
    print_rows(console, [(Text("store", style="dim"), clean(f"{found.place}, {found.kind}", style="bold"))])
    for part in found.parts:
        console.print()
        _print_part(console, part)
    console.print()
    findings = [finding for part in found.parts for finding in part.findings]
    print_rows(console, [(Text("result", style="bold"), _result(findings, found.seconds))])


def _print_part(console: Console, part: StorePart) -> None:
    rows = [
        ("part", clean(part.name, style="bold")),
        (
            "holds",
            Text(f"{counted(part.rows, 'row')}, {counted(part.vectors, 'vector')}, {part.dim} dimensions"),
        ),
    ]
    if part.lengths is not None:
        least, median, most = part.lengths
        lengths = "all 1: normalised" if part.is_normalised else f"{least:.4g} to {most:.4g}, median {median:.4g}"
        rows.append(("lengths", Text(lengths)))
    if part.model is not None:
        rows.append(("model", _model(part.model)))
    rows += [("note", clean(note)) for note in part.notes]
    print_rows(console, [(Text(label, style="dim"), body) for label, body in rows])
    for finding in part.findings:
        _print_finding(console, finding)


def _model(model: ModelIdentification) -> Text:
    line = clean(model.summary, style=_VERDICT_STYLES[model.verdict])
    if model.verdict != "one" and model.nearest:
        near = ", ".join(f"{name} {cosine:.2f}" for name, cosine in model.nearest[:3])
        line.append(f"\nmedian cosines of all {model.sampled}: {near}", style="dim")
    return line


def _print_finding(console: Console, finding: DoctorFinding) -> None:
    label = Text(f"{finding.severity:<9}", style=_STYLES[finding.severity])
    print_hanging(console, label, clean(finding.message, style="bold"))
    rows = [(Text("such as" if not at else "", style="dim"), clean(each)) for at, each in enumerate(finding.examples)]
    rows.append((Text("means", style="dim"), clean(finding.explanation)))
    rows.append((Text("next", style="bold"), clean(finding.advice)))
    print_rows(console, rows, indent=9)


def _result(findings: Sequence[DoctorFinding], seconds: float) -> Text:
    kinds = ("error", "warning", "note")
    counts = [sum(each.severity == kind for each in findings) for kind in kinds]
    counts_by_kind = [counted(count, kind) for count, kind in zip(counts, kinds, strict=True) if count]
    style = "red" if counts[0] else "yellow" if counts[1] else "green"
    return Text.assemble((", ".join(counts_by_kind) or "nothing is wrong", style), f", {duration(seconds)}")


# Options that apply to other stores only.
_STORE_OPTIONS = ("--model", "--texts", "--text", "--vector")

Examined = Annotated[
    str,
    typer.Argument(
        help="A collection: a folder or postgresql://host/database/collection; or another store.",
        metavar="PLACE",
        show_default=False,
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(help="Texts to encode again (200; of other stores 64).", metavar="N", show_default=False),
]
Models = Annotated[
    list[str] | None,
    typer.Option(help="Other stores: a model that may have made the vectors.", metavar="NAME"),
]
TextsFile = Annotated[
    Path | None,
    typer.Option(help="FAISS: the texts, one a line, or JSON lines.", metavar="FILE", show_default=False),
]


@app.command(
    epilog=example(
        "gnomon doctor kb",
        "gnomon doctor kb --fix",
        "gnomon doctor kb --save documents.jsonl",
        "gnomon doctor chroma/",
        "gnomon doctor index.faiss --texts texts.txt --model all-MiniLM-L6-v2",
        "gnomon doctor 'postgresql://user@host/db?table=items&vector=embedding&text=body'",
        "gnomon doctor http://localhost:6333/collections/items",
    )
)
def doctor(
    place: Examined,
    fix: Annotated[bool, typer.Option("--fix", help="Fix what can be fixed; documents are never changed.")] = False,
    sample: Sample = None,
    *,
    save: Annotated[
        Path | None,
        typer.Option(help="Write the documents that can be read to this file, as JSON lines.", metavar="FILE"),
    ] = None,
    model: Models = None,
    texts: TextsFile = None,
    text: Annotated[str, typer.Option(help="Other stores: the text's column.", metavar="COLUMN")] = "",
    vector: Annotated[str, typer.Option(help="Other stores: the vector's column.", metavar="COLUMN")] = "",
    as_json: Json = False,
) -> None:
    """Check what is in a collection and what is wrong with it, or which model made another store's vectors.

    Other stores are only read: a Chroma or LanceDB folder, a FAISS index file, a table of PostgreSQL, a
    collection of Qdrant. Exit code 1 where there are errors.
    """
    from gnomon.cli.terminal import print_message
    from gnomon.core.progress import no_progress
    from gnomon.doctor.stores.examine import StoreSettings, is_store

    progress = no_progress if as_json else print_message
    if is_store(place) and not names_collection(place):
        if fix:
            raise InvalidInput(
                f"--fix for {place}, which is no collection of gnomon's",
                expected="no fix: other stores are only read",
                hint="leave --fix out",
            )
        settings = StoreSettings(text=text, vector=vector, texts=texts, progress=progress)
        errors = _examine_store(place, model or [], _sampled(settings, sample), as_json=as_json)
    else:
        given = zip(_STORE_OPTIONS, (model, texts, text, vector), strict=True)
        if named := [name for name, value in given if value]:
            raise InvalidInput(
                f"{', '.join(named)} for {shown(place)}, which is no other store",
                expected="a place that is one, or no such option: a collection knows its models",
                hint=f"gnomon doctor {shlex.quote(shown(place))}",
            )
        if save is not None:
            _save(place, save)
        errors = _examine_collection(place, sample, progress, fix=fix, as_json=as_json)
    if errors:
        raise typer.Exit(1)


def _examine_collection(place: str, sample: int | None, progress: ProgressCallback, *, fix: bool, as_json: bool) -> int:
    import gnomon
    from gnomon.cli.terminal import data_console, print_json
    from gnomon.doctor.doctor import SAMPLE, examine

    try:
        with gnomon.open(place, create=False) as kb:
            found = examine(kb, sample=SAMPLE if sample is None else sample, fix=fix, progress=progress)
    except CollectionDamaged as error:
        raise (error if is_database(place) else _with_what_can_be_saved(error, place)) from error
    if as_json:
        print_json(found.to_json())
    else:
        print_report(data_console(), found)
    return found.errors


def _save(place: str, file: Path) -> None:
    """Write the readable documents, and say how many."""
    from gnomon.cli.terminal import notes_console
    from gnomon.doctor.salvage import salvage

    if is_database(place):
        raise InvalidInput(
            f"--save of {shown(place)}, which is in a database",
            expected="a folder: of a database its own tools save what can be read",
            hint="pg_dump --schema=NAME DATABASE",
        )
    found = salvage(Path(place), file)
    unread = f", {found.unreadable:,} cannot be read" if found.unreadable else ""
    notes_console().print(clean(f"saved {counted(found.readable, 'document')} to {file}{unread}"))


def _with_what_can_be_saved(error: CollectionDamaged, place: str) -> CollectionDamaged:
    """The error with what can be read of the catalog all the same, and how to save it."""
    from gnomon.doctor.salvage import salvage

    found = salvage(Path(place))
    if not found.readable:
        hint = "restore collection.db from a backup; none of its documents can be read"
    else:
        hint = (
            f"restore collection.db from a backup, or save what can be read, {found.readable:,} of "
            f"{found.readable + found.unreadable:,} documents: "
            f"gnomon doctor {shlex.quote(str(place))} --save documents.jsonl; "
            "then: gnomon index documents.jsonl --into NEW"
        )
    return CollectionDamaged(error.message, expected=error.expected, hint=hint)


def _examine_store(place: str, models: list[str], settings: StoreSettings, *, as_json: bool) -> int:
    from gnomon.cli.terminal import data_console, print_json
    from gnomon.doctor.stores.examine import examine_store

    found = examine_store(place, models, settings)
    if as_json:
        print_json(found.to_json())
    else:
        print_store(data_console(), found)
    return found.errors


def _sampled(settings: StoreSettings, sample: int | None) -> StoreSettings:
    from dataclasses import replace

    return settings if sample is None else replace(settings, sample=sample)
