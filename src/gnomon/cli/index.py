"""gnomon index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.plan import Dim, Type
from gnomon.core.files import exists

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gnomon.collection.reports import IndexReport, Problem
    from gnomon.collection.settings import CollectionSettings, IndexOptions

SHOWN_PROBLEMS = 10
INTERRUPTED = 130
Kind = Annotated[
    str | None,
    typer.Option(
        "--index",
        help="How similar vectors are found: auto (a scan of short codes), exact, hnsw or ivf. Up to 20,000 "
        "passages each of them compares all.",
    ),
]
NoTitles = Annotated[bool, typer.Option("--no-titles", help="Embed passages without title and headings before them.")]
NoIgnore = Annotated[
    bool, typer.Option("--no-ignore", help="Read what .gitignore and .gnomonignore files leave out, too.")
]
Verify = Annotated[bool, typer.Option("--verify", help="Compare every file by its SHA-256, not by its size and times.")]
Language = Annotated[
    str | None,
    typer.Option(help="The language of the words: auto (the default: each passage's own), de, …; none: no stems."),
]


Sparse = Annotated[
    str | None,
    typer.Option(
        help="A sparse encoder (such as SPLADE), a hub id or a folder, whose results are a third list beside meaning "
        "and words.",
        metavar="MODEL",
    ),
]


@app.command(
    epilog=example(
        "gnomon index docs/ notes.md --into kb",
        "gnomon index . --into kb --exclude '*.log' --model bge-small-en-v1.5",
        "gnomon index docs/ --into kb --sparse naver/splade-v3-distilbert",
    )
)
def index(
    paths: Annotated[list[str], typer.Argument(help="Files and folders.", metavar="PATH")],
    into: Annotated[Path, typer.Option(help="The collection's folder; made where there is none.")],
    model: Annotated[str | None, typer.Option(help="A name from `gnomon models`, a hub id or a folder.")] = None,
    *,
    dim: Dim = None,
    vector_type: Type = None,
    chunk_tokens: Annotated[int | None, typer.Option(help="The longest passage, in the model's tokens.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Tokens that neighbouring passages share.")] = None,
    no_titles: NoTitles = False,
    language: Language = None,
    kind: Kind = None,
    sparse: Sparse = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out what matches; may be repeated.")] = None,
    max_file_mb: Annotated[float, typer.Option(help="Skip files larger than this.")] = 50.0,
    max_file_s: Annotated[float, typer.Option(help="Give a file up that takes more seconds to read.")] = 60.0,
    max_memory_mb: Annotated[float, typer.Option(help="Give a file up that takes more memory to read.")] = 1000.0,
    no_ignore: NoIgnore = False,
    verify: Verify = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any file has a problem.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default all.")] = None,
    as_json: Json = False,
) -> None:
    """Index files and folders, or bring a collection up to date: only what changed is read again."""
    from gnomon.collection.settings import CollectionSettings, IndexOptions

    named: dict[str, Any] = {name: value for name, value in (("language", language), ("index", kind)) if value}
    settings = CollectionSettings(
        model=model,
        chunk_tokens=chunk_tokens,
        chunk_overlap=overlap,
        prepend_title=False if no_titles else None,
        retrieval=named or None,
        threads=threads,
        dim=dim,
        vector_type=vector_type,
        sparse=sparse,
    )
    bounds = {"max_file_mb": max_file_mb, "max_file_s": max_file_s, "max_memory_mb": max_memory_mb}
    options = IndexOptions(tuple(exclude or ()), ignore_files=not no_ignore, verify=verify, **bounds)
    report, nothing, notes = _run(paths, into, settings, options=options)
    _print(report, into, notes, nothing=nothing, as_json=as_json)
    raise typer.Exit(_exit_code(report, nothing=nothing, strict=strict))


def _run(
    paths: list[str], into: Path, settings: CollectionSettings, *, options: IndexOptions
) -> tuple[IndexReport, bool, list[str]]:
    """The report of the run, whether there is nothing to search after it, and the warnings."""
    import gnomon
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import noted, print_message
    from gnomon.core.progress import Progress
    from gnomon.text.discover import label_roots

    if not exists(into):
        label_roots([Path(path) for path in paths])  # a misspelled path makes no collection
    with noted() as notes, gnomon.open(into, settings=settings, progress=print_message) as kb:
        with ProgressBar() as bar:
            bar.update(Progress("finding files"))
            report = kb.index(paths, options=options, progress=bar.update)
        return report, _is_nothing(report, kb.status().chunks), notes


def _print(report: IndexReport, into: Path, notes: list[str], *, nothing: bool, as_json: bool) -> None:
    from gnomon.cli.terminal import data_console, print_json, print_notes

    if as_json:
        print_json({"collection": str(into), **report.to_json(), "warnings": notes})
    else:
        print_notes(notes)
        print_report(data_console(), report, into=into, nothing=nothing)


def _exit_code(report: IndexReport, *, nothing: bool, strict: bool) -> int:
    if report.interrupted:
        return INTERRUPTED
    return int(nothing or (strict and any(problem.kind != "boilerplate" for problem in report.problems)))


def _is_nothing(report: IndexReport, passages: int) -> bool:
    """Whether nothing of the files given is in the collection, and nothing was that is gone now."""
    return not report.removed and (passages == 0 or not (report.indexed or report.unchanged or report.moved))


def print_report(console: Console, report: IndexReport, *, into: Path, nothing: bool) -> None:
    """What a run did, what went wrong, and what to do next."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_hanging, print_rows, program

    print_rows(console, [(Text(label, style="dim"), body) for label, body in _rows(report)])
    if report.problems:
        console.print()
        print_problems(console, report.problems)
    console.print()
    then = f'{program()} search {into} "your question"'
    if report.interrupted:
        then = "the same command carries on where this one stopped; what is counted above is kept"
    elif nothing:
        then = "name files or folders with text in them"
    print_hanging(console, Text("next  ", style="bold"), clean(then))


def _rows(report: IndexReport) -> list[tuple[str, Text]]:
    from rich.text import Text

    from gnomon.cli.terminal import count, counted, duration, rate

    files = [f"{count(report.indexed)} new or changed", f"{count(report.unchanged)} unchanged"]
    files += [f"{count(report.moved)} moved"] if report.moved else []
    files += [f"{count(report.removed)} removed"] if report.removed else []
    files += [f"{count(report.ignored)} left out by ignore files"] if report.ignored else []
    chunks = [f"{count(report.chunks_added)} added"]
    chunks += [f"{count(report.chunks_removed)} removed"] if report.chunks_removed else []
    chunks += [f"{count(report.cached)} with vectors from the cache"] if report.cached else []
    chunks += [f"{count(report.truncated)} longer than the model reads"] if report.truncated else []
    rows = [("files", Text(f"{count(report.files)} found: {', '.join(files)}"))]
    if report.failed:
        rows[0][1].append(f", {count(report.failed)} failed", style="bold red")
    rows.append(("passages", Text(", ".join(chunks))))
    if report.embedded:
        speed = f"{rate(report.tokens, report.embed_seconds)} tokens/s"
        rows.append(("embedded", Text(f"{counted(report.tokens, 'token')}, {speed}")))
    ended = Text(duration(report.seconds))
    if report.interrupted:
        ended.append(", stopped by Ctrl-C", style="bold yellow")
    return [*rows, ("time", ended)]


def print_problems(console: Console, problems: tuple[Problem, ...]) -> None:
    """The first problems, each with its next step, and how many more there are."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, counted, near, print_hanging

    console.print(Text(counted(len(problems), "problem"), style="bold"))
    for problem in problems[:SHOWN_PROBLEMS]:
        print_hanging(console, Text("  "), clean(near(problem.path)))
        what = problem.reason.removeprefix(problem.path).lstrip(": ")
        what = what if problem.skipped or problem.kind == "kept" else f"{what} (indexed all the same)"
        print_hanging(console, Text("    "), clean(what, style="dim"))
        if problem.hint:
            print_hanging(console, Text("    next: ", style="dim"), clean(problem.hint, style="dim"))
    if len(problems) > SHOWN_PROBLEMS:
        console.print(f"  and {count(len(problems) - SHOWN_PROBLEMS)} more: --json lists them all")
