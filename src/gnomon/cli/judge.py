"""gnomon judge."""

from __future__ import annotations

import getpass
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import CollectionPlace

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.cli.places import Place
    from gnomon.core.progress import ProgressCallback
    from gnomon.judge import JudgingReport, JudgingSession, JudgingSettings

INTERRUPTED = 130
Queries = Annotated[
    Path | None,
    typer.Option(
        help="What people search for: a query a line, JSON lines, a folder of gnomon serve --query-log, or a BEIR "
        "folder. Needed to begin a session.",
        metavar="PATH",
    ),
]
Candidate = Annotated[
    list[str] | None,
    typer.Option(
        help="A search to compare (give several; the first is the baseline): kb, kb:dense, kb@v2, a saved run. By "
        "default the live version, its other modes and the other ready versions.",
        metavar="NAME",
    ),
]
Annotator = Annotated[str | None, typer.Option(help="Who judges; by default the login's name.", metavar="NAME")]
Session = Annotated[str, typer.Option(help="The session's name; several may be kept.", metavar="NAME")]
Metric = Annotated[str | None, typer.Option(help="DCG@k or precision@k; by default DCG@10.")]
Grades = Annotated[int | None, typer.Option(help="The highest grade: 1 (relevant or not) to 9; by default 2.")]
Margin = Annotated[float | None, typer.Option(help="A difference of the mean too small to matter; by default 0.01.")]
Alpha = Annotated[float | None, typer.Option(help="The error rate of all verdicts together; by default 0.05.")]
Most = Annotated[int, typer.Option(help="How many queries at most: the most frequent ones.")]
JudgeUrl = Annotated[
    str | None,
    typer.Option(
        help="A language model that grades all passages before the first judgment: an OpenAI-compatible address, or "
        "plugin:NAME; the key is OPENAI_API_KEY. It is never believed: people's judgments correct it, and it only "
        "narrows the intervals.",
        metavar="URL",
    ),
]
JudgeModel = Annotated[str | None, typer.Option(help="Its model; may be left out where it has just one.")]
JudgePrice = Annotated[float | None, typer.Option(help="What it costs: USD for a million tokens.")]
JudgeMaxCost = Annotated[float | None, typer.Option(help="Ask it for no more than so many USD, by an estimate.")]
Status = Annotated[bool, typer.Option("--status", help="Only say where the session stands.")]
Beyond = Annotated[bool, typer.Option("--beyond-verdict", help="Go on when the verdicts are reached.")]
Export = Annotated[
    Path | None,
    typer.Option(
        help="At the end write the judgments as a BEIR folder, for gnomon adapt --judgments, eval, compare and "
        "migrate --queries.",
        metavar="FOLDER",
    ),
]


@app.command(
    epilog=example(
        "gnomon judge kb --queries queries.txt",
        "gnomon judge kb --queries kb --candidate kb:hybrid --candidate kb:dense --session modes",
        "gnomon judge kb --queries queries.txt --judge-url http://localhost:11434 --judge-model qwen3:8b",
        "gnomon judge kb --status --json",
        "gnomon judge kb --status --export judged",
    )
)
def judge(
    collection: CollectionPlace,
    queries: Queries = None,
    *,
    candidate: Candidate = None,
    annotator: Annotator = None,
    session: Session = "judged",
    metric: Metric = None,
    grades: Grades = None,
    margin: Margin = None,
    alpha: Alpha = None,
    most: Most = 500,
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    judge_price: JudgePrice = None,
    judge_max_cost: JudgeMaxCost = None,
    status: Status = False,
    beyond_verdict: Beyond = False,
    export: Export = None,
    as_json: Json = False,
) -> None:
    """Grade passages, one key each, until it is settled which search is better.

    Shown are the passages on whose order the candidates disagree, those first that settle most. The verdict holds
    however often it is looked at. Every answer is kept at once: stop with q or Ctrl-C and go on, alone or with others.
    """
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.rendering.judging import print_report
    from gnomon.cli.terminal import data_console, noted, notes_console, print_json, print_notes
    from gnomon.collection import open_collection
    from gnomon.judge import JudgingSession, judging_queries

    settings = _settings(metric, grades, margin, alpha)
    texts = None if queries is None else judging_queries(queries, most=most)
    with noted() as notes, ProgressBar() as bar, open_collection(collection, create=False, progress=bar.update) as kb:
        begun = partial(JudgingSession.open, kb, texts, candidate, annotator=annotator or _login(), name=session)
        own = begun(settings=settings, progress=bar.update)
        notes += _ask_model(
            own, judge_url, judge_model, price=judge_price, max_cost=judge_max_cost, progress=bar.update
        )
        bar.close()
        console = notes_console() if as_json else data_console()
        interrupted = not status and _judge_tasks(own, console, beyond_verdict=beyond_verdict)
        report, written = own.report(), None if export is None else own.export(export)
    print_notes(notes)
    if as_json:
        print_json({**report.to_json(), "session": str(own.folder), "exported": written, "warnings": notes})
    else:
        print_report(console, report, _next_command(collection, session, report), written=written)
    raise typer.Exit(INTERRUPTED if interrupted else 0)


def _settings(
    metric: str | None, grades: int | None, margin: float | None, alpha: float | None
) -> JudgingSettings | None:
    """The settings of a new session; None where no option sets one, so that an old session keeps its own."""
    from gnomon.judge import JudgingSettings

    given = {"metric": metric, "grades": grades, "margin": margin, "alpha": alpha}
    chosen = {name: value for name, value in given.items() if value is not None}
    return JudgingSettings(**chosen) if chosen else None  # type: ignore[arg-type]


def _ask_model(
    session: JudgingSession,
    url: str | None,
    model: str | None,
    *,
    price: float | None,
    max_cost: float | None,
    progress: ProgressCallback,
) -> list[str]:
    """Have a language model grade all passages, where one is named; what came of it."""
    from gnomon.answer.llm.endpoint import open_chat_model
    from gnomon.core.errors import InvalidInput
    from gnomon.judge import ModelJudge, ModelJudgeSettings

    if url is None:
        if model is not None or price is not None or max_cost is not None:
            raise InvalidInput("a language model without its address", expected="--judge-url URL beside it")
        return []
    settings = ModelJudgeSettings(session.definition.settings.grades, price=price, max_cost=max_cost)
    judge = ModelJudge(open_chat_model(url, model), settings, cache=session.folder / "model-replies.jsonl")
    return [session.ask_model(judge, progress=progress).explain()]


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "annotator"


def _judge_tasks(session: JudgingSession, console: Console, *, beyond_verdict: bool) -> bool:
    """Show tasks and take keys until the end; whether it was broken off by Ctrl-C."""
    from gnomon.cli.rendering.judging import show_task

    try:
        task, message = session.next(beyond_verdict=beyond_verdict), ""
        while task is not None:
            show_task(console, task, message)
            key, message = _key(), ""
            if key in ("q", "\x04", "\x1b"):
                return False
            if key.isdecimal() and int(key) <= task.grades:
                session.judge(task, int(key))
            elif key in ("y", "n") and task.grades == 1:
                session.judge(task, int(key == "y"))
            elif key in ("s", " "):
                session.judge(task, None)
            elif key == "u":
                message = "" if session.undo() else "There is nothing to undo."
            else:
                message = f"The key {key!r} means nothing here."
            task = session.next(beyond_verdict=beyond_verdict)
    except KeyboardInterrupt:
        return True
    return False


def _key() -> str:
    """The next key; of a pipe the next character that is no line's end, and q at its end."""
    if sys.stdin.isatty():
        try:
            return typer.getchar().lower()
        except EOFError:
            return "q"
    while (read := sys.stdin.read(1)) in ("\n", "\r"):
        pass
    return read.lower() or "q"


def _next_command(collection: Place, session: str, report: JudgingReport) -> str:
    """What to type to go on, or to write the judgments."""
    name = "" if session == "judged" else f" --session {session}"
    what = f"gnomon judge {shlex.quote(str(collection))}{name}"
    return f"{what} --status --export judged" if report.is_decided or report.needed == 0 else what
