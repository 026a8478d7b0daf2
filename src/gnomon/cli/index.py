"""gnomon index."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import Place, place
from gnomon.cli.plan import Dim, SecondStage, Store, Type
from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gnomon.collection.reports import IndexReport, Problem
    from gnomon.collection.settings import CollectionSettings, IndexOptions
    from gnomon.retrieve import SpaceSettings
    from gnomon.retrieve.spaces import SpacePlace

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
MaxCost = Annotated[
    float | None,
    typer.Option(
        help="What may be spent on a provider's model, in USD: refused where the estimate is above it, and stopped "
        "at it; what was embedded is kept.",
        metavar="USD",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        help="Read and embed by a Ray cluster: HOST:PORT of its head, or auto, the one that this machine is in, else "
        "one on its cores.",
        metavar="ADDRESS",
    ),
]
RayWorkers = Annotated[
    int | None, typer.Option(help="How many encoders run at once, one core each; by default one for each core.")
]
Shards = Annotated[
    str | None,
    typer.Option(
        help="With --ray: the folder or URL that all machines reach, through which vectors come back.",
        metavar="FOLDER",
    ),
]
KeepShards = Annotated[bool, typer.Option("--keep-shards", help="With --ray: do not delete shards once committed.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be embedded, and what it costs; nothing is written or sent.")
]
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

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="A name from `gnomon models`, PROVIDER:MODEL, a hub id or a folder; given again, a further model, whose "
        "ranking is fused with the first one's.",
        metavar="MODEL",
    ),
]
Into = Annotated[
    Place,
    typer.Option(
        help="The collection: a folder, or postgresql://host/database/collection; made where there is none.",
        parser=place,
    ),
]


@app.command(
    epilog=example(
        "gnomon index docs/ notes.md --into kb",
        "gnomon index . --into kb --exclude '*.log' --model bge-small-en-v1.5",
        "gnomon index docs/ --into kb --model all-MiniLM-L6-v2 --model gte-small",
        "gnomon index docs/ --into kb --sparse naver/splade-v3-distilbert",
        "gnomon index docs/ --into kb --store qdrant://localhost:6333",
        "gnomon index docs/ --into kb --ray auto",
        "gnomon index docs/ --into kb --model openai:text-embedding-3-small --max-cost 0.50",
    )
)
def index(
    paths: Annotated[
        list[str], typer.Argument(help="Files and folders, also s3://BUCKET/FOLDER and others.", metavar="PATH")
    ],
    into: Into,
    model: Models = None,
    *,
    second_stage: SecondStage = False,
    dim: Dim = None,
    vector_type: Type = None,
    chunk_tokens: Annotated[int | None, typer.Option(help="The longest passage, in the model's tokens.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Tokens that neighbouring passages share.")] = None,
    no_titles: NoTitles = False,
    language: Language = None,
    kind: Kind = None,
    sparse: Sparse = None,
    store: Store = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out what matches; may be repeated.")] = None,
    max_file_mb: Annotated[float, typer.Option(help="Skip files larger than this.")] = 50.0,
    max_file_s: Annotated[float, typer.Option(help="Give a file up that takes more seconds to read.")] = 60.0,
    max_memory_mb: Annotated[float, typer.Option(help="Give a file up that takes more memory to read.")] = 1000.0,
    no_ignore: NoIgnore = False,
    verify: Verify = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any file has a problem.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default all.")] = None,
    max_cost: MaxCost = None,
    ray: Ray = None,
    ray_workers: RayWorkers = None,
    shards: Shards = None,
    keep_shards: KeepShards = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Index files and folders, or bring a collection up to date: only what changed is read again."""
    from gnomon.collection.settings import CollectionSettings, IndexOptions, RaySettings

    named: dict[str, Any] = {name: value for name, value in (("language", language), ("index", kind)) if value}
    chunking: dict[str, Any] = {"chunk_tokens": chunk_tokens, "chunk_overlap": overlap}
    chunking["prepend_title"] = False if no_titles else None
    form: dict[str, Any] = {"dim": dim, "vector_type": vector_type, "sparse": sparse, "store": store}
    first, form["spaces"] = _models(model or [], second_stage=second_stage)
    settings = CollectionSettings(first, retrieval=named or None, threads=threads, **chunking, **form)
    bounds = {"max_file_mb": max_file_mb, "max_file_s": max_file_s, "max_memory_mb": max_memory_mb}
    cluster = RaySettings(ray, ray_workers, shards, keep_shards) if ray else None
    options = IndexOptions(tuple(exclude or ()), not no_ignore, verify, max_cost=max_cost, ray=cluster, **bounds)
    _require_paths(paths, into)
    if dry_run:
        return _plan(paths, into, settings, options=options, as_json=as_json)
    raise typer.Exit(_run(paths, into, settings, options=options, strict=strict, as_json=as_json))


def _models(names: list[str], *, second_stage: bool) -> tuple[str | None, tuple[SpaceSettings, ...]]:
    """The model of a collection, and its further ones."""
    from gnomon.retrieve import SpaceSettings

    if second_stage and len(names) < 2:
        raise InvalidInput(
            "--second-stage without a further model",
            expected="--model twice: the first finds, the second scores the first results",
            hint="for example --model all-MiniLM-L6-v2 --model gte-small --second-stage",
        )
    if len(set(names)) < len(names):
        raise InvalidInput(f"--model {names[0]} twice", expected="different models", hint="name each once")
    place: SpacePlace = "second-stage" if second_stage else "beside"
    return (names[0] if names else None), tuple(SpaceSettings(name, place) for name in names[1:])


def _run(
    paths: list[str],
    into: Place,
    settings: CollectionSettings,
    *,
    options: IndexOptions,
    strict: bool,
    as_json: bool,
) -> int:
    """Index, and print what was done. Returns the exit code."""
    import gnomon
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import noted, print_message
    from gnomon.collection.catalog.connection import is_catalog
    from gnomon.core.budget import Budget
    from gnomon.core.progress import Progress
    from gnomon.migrate import plan_index

    if options.max_cost is not None and not is_catalog(into):  # before the new collection's canaries are sent
        estimate = plan_index(list(paths), settings=settings, options=options, progress=print_message)
        Budget(options.max_cost).require(estimate, estimate.model)
    with noted() as notes, gnomon.open(into, settings=settings, progress=print_message) as kb:
        with ProgressBar() as bar:
            bar.update(Progress("finding files"))
            report = kb.index(paths, options=options, progress=bar.update)
        nothing = _is_nothing(report, kb.status().chunks)
    _print(report, into, notes, nothing=nothing, as_json=as_json)
    return _exit_code(report, nothing=nothing, strict=strict)


def _require_paths(paths: list[str], into: Place) -> None:
    """Raise InvalidInput for a misspelled path, before it makes a collection."""
    from gnomon.text.discover import label_roots

    if not isinstance(into, Path) or not exists(into):
        label_roots([Path(path) for path in paths])


def _plan(paths: list[str], into: Place, settings: CollectionSettings, *, options: IndexOptions, as_json: bool) -> None:
    import gnomon
    from gnomon.cli.plan import show_index_plan
    from gnomon.cli.terminal import noted, print_message
    from gnomon.collection.catalog.connection import is_catalog
    from gnomon.migrate import plan_index, plan_update

    with noted() as notes:
        if is_catalog(into):
            with gnomon.open(into, settings=settings, create=False, progress=print_message) as kb:
                found = plan_update(kb, list(paths), options=options)
        else:
            found = plan_index(list(paths), settings=settings, options=options, progress=print_message)
    show_index_plan(found, notes, as_json=as_json, then="the same command without --dry-run")


def _print(report: IndexReport, into: Place, notes: list[str], *, nothing: bool, as_json: bool) -> None:
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


def print_report(console: Console, report: IndexReport, *, into: Place, nothing: bool) -> None:
    """What a run did, what went wrong, and what to do next."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_hanging, print_rows, program

    print_rows(console, [(Text(label, style="dim"), body) for label, body in _rows(report)])
    if report.problems:
        console.print()
        print_problems(console, report.problems)
    console.print()
    then = f'{program()} search {shlex.quote(str(into))} "your question"'
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
    if report.requests:
        from gnomon.core.budget import dollars

        rows.append(("cost", Text(f"{dollars(report.cost)}, {counted(report.requests, 'request')}")))
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
