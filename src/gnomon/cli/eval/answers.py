"""gnomon eval answers: how good a collection's answers are."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from gnomon.cli.app import Json, eval_app, example
from gnomon.cli.evaluation import PerQuery, Where
from gnomon.cli.terminal import output_errors
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from gnomon.answer.evaluation.evaluate import AnswerReport
    from gnomon.answer.evaluation.questions import Question
    from gnomon.answer.settings import AskSettings
    from gnomon.answer.types import ChatModel
    from gnomon.collection.systems import CollectionSystem
    from gnomon.evaluate import Verdict

Mode = Literal["hybrid", "dense", "lexical", "sparse"]
Questions = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Questions with right answers and their documents, .jsonl or .jsonl.gz, a line each: "
        '{"question": …, "answer": …, "document": ID}.',
        metavar="FILE",
    ),
]
Llm = Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint that writes the answers.")]
LlmModel = Annotated[str | None, typer.Option(help="Its model; may be left out where it has just one.", metavar="NAME")]
Judge = Annotated[
    tuple[str, str] | None,
    typer.Option(help="An endpoint and its model that says which answers are right.", metavar="URL NAME"),
]
Limit = Annotated[int | None, typer.Option(help="Only the first so many questions.")]
Against = Annotated[
    Path | None, typer.Option(help="What --per-query wrote before: say whether answers are better now.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="How to answer, such as context.passages=8.", metavar="NAME=VALUE"),
]


@eval_app.command(
    epilog=example(
        "gnomon eval answers kb --data qa.jsonl --per-query before.jsonl",
        "gnomon eval answers kb --data qa.jsonl --set sentences=3 --against before.jsonl",
    )
)
def answers(
    target: Annotated[str, typer.Argument(help="A collection (kb, kb:dense, kb@v1).", metavar="COLLECTION")],
    data: Questions,
    mode: Annotated[Mode | None, typer.Option(help="By default as the collection is set.")] = None,
    *,
    where: Where = None,
    llm: Llm = None,
    llm_model: LlmModel = None,
    judge: Judge = None,
    settings: Settings = None,
    limit: Limit = None,
    against: Against = None,
    per_query: PerQuery = None,
    as_json: Json = False,
) -> None:
    """Measure a collection's answers: evidence found, F1, citations, abstention.

    Every question is asked; where its evidence is known, once more with the evidence left out of the search.
    """
    from gnomon.answer.evaluation.evaluate import compare_with_saved, evaluate_answers
    from gnomon.answer.evaluation.questions import read_questions
    from gnomon.cli.evaluation import write_lines
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import data_console, noted, print_json, print_message, print_notes
    from gnomon.collection.opening import open_collection

    _require_output(per_query)
    system = resolve_collection(target, mode, where)
    chosen = parse_settings(settings or (), mode=system.mode, where=system.where)
    questions = read_questions(data).first(limit)
    before = None if against is None else read_f1(against, questions.questions)
    with (
        noted() as notes,
        open_models(llm, llm_model, judge) as (writer, judging),
        open_collection(system.place, create=False, progress=print_message, version=system.version) as kb,
        ProgressBar() as bar,
    ):
        report = evaluate_answers(kb, questions, settings=chosen, writer=writer, judge=judging, progress=bar.update)
    if per_query:
        write_lines(per_query, report.rows())
    names = (against.stem if against else "", system.text)
    verdict = None if before is None else compare_with_saved(report, before, names)
    about = _description(system.text, writer, judging, settings=chosen)
    if as_json:
        judged = None if verdict is None else {**verdict.to_json(), "explained": verdict.explain()}
        print_json({**about, **report.to_json(), "against": judged, "warnings": notes})
    else:
        print_notes(notes)
        print_answers(data_console(), report, about, verdict=verdict)


def _require_output(path: Path | None) -> None:
    """Refuse a file that cannot be written before all the questions are asked, which may take long."""
    from gnomon.cli.evaluation import require_suffix

    require_suffix(path, "--per-query", ".jsonl")
    if path:
        with output_errors(path):
            path.parent.stat()


def resolve_collection(target: str, mode: Mode | None, where: str | None) -> CollectionSystem:
    """The collection that is meant. Raises InvalidInput for what is none."""
    from gnomon.cli.evaluation import resolve_system
    from gnomon.collection.systems import CollectionSystem

    system = resolve_system(target, mode, where)
    if not isinstance(system, CollectionSystem):
        raise InvalidInput(
            f"eval answers of {target}",
            expected="a collection: only there are passages to answer from",
            hint="name its folder",
        )
    return system


def parse_settings(given: Sequence[str], **options: str | None) -> AskSettings:
    """How to answer. Raises InvalidInput for a setting that there is not, or of another type."""
    from gnomon.answer.settings import AskSettings
    from gnomon.cli.settings import settings_tables
    from gnomon.core.serialize import from_plain

    tables = settings_tables(given, such_as="sentences=3")
    tables |= {name: option for name, option in options.items() if option is not None}
    return from_plain(AskSettings, tables, name="--set")


@contextmanager
def open_models(
    url: str | None, name: str | None, judge: tuple[str, str] | None
) -> Iterator[tuple[ChatModel | None, ChatModel | None]]:
    """The models that write and judge answers. Raises InvalidInput for a model's name without its address."""
    if name is not None and url is None:
        raise InvalidInput(
            f"--llm-model {name} without --llm",
            expected="the address of its server",
            hint="give --llm URL, or neither for answers that are quoted",
        )
    if url is None and judge is None:
        yield None, None
        return
    from gnomon.answer.llm.endpoint import open_chat_model

    with ExitStack() as open_ones:
        writer = None if url is None else open_chat_model(url, name)
        judging = None if judge is None else open_chat_model(*judge)
        for one in (writer, judging):
            if hasattr(one, "close"):
                open_ones.enter_context(closing(cast(Any, one)))
        yield writer, judging


def read_f1(path: Path, questions: Sequence[Question]) -> dict[str, float]:
    """The token F1 of each question that an earlier run wrote. Raises InvalidInput for other questions."""
    from gnomon.answer.evaluation.metrics import F1
    from gnomon.evaluate.text_files import json_rows

    found: dict[str, tuple[str, float]] = {}
    for line, row in json_rows(path):
        try:
            found[str(row["id"])] = (row["text"], float(row["metrics"][F1]))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"--against {path}, line {line}: no answer with its {F1}",
                expected="what gnomon eval answers kb --data FILE --per-query wrote",
                hint="make it with the other settings, and --per-query",
            ) from error
    asked = {one.id: one.text for one in questions}
    if asked != {name: text for name, (text, _) in found.items()}:
        raise InvalidInput(
            f"--against {path} holds {len(found):,} answers, and not to the {len(asked):,} questions asked",
            expected="the same questions both times",
            hint="give the same file, and the same --limit",
        )
    return {name: value for name, (_, value) in found.items()}


def _description(
    target: str, writer: ChatModel | None, judging: ChatModel | None, *, settings: AskSettings
) -> dict[str, Any]:
    """What was measured, and how, for scripts and people."""
    from dataclasses import asdict

    names = [None if one is None else one.name for one in (writer, judging)]
    return {"target": target, "written_by": names[0], "judged_by": names[1], "settings": asdict(settings)}


def print_answers(console: Console, report: AnswerReport, about: dict[str, Any], *, verdict: Verdict | None) -> None:
    """What was asked, the figures, what abstaining costs and gains, and what went wrong."""
    from rich.text import Text

    from gnomon.cli.evaluation import print_findings, print_verdict
    from gnomon.cli.terminal import clean, print_hanging, print_rows

    print_rows(console, [(Text(label, style="dim"), clean(text)) for label, text in head(report, about)])
    console.print()
    print_figures(console, report)
    for said, times in report.failures.items():
        print_hanging(console, Text("failed  ", style="bold red"), clean(f"{times} times {said}"))
    if report.questions.findings:
        console.print()
        print_findings(console, report.questions.findings)
    if verdict is not None:
        console.print()
        texts = {one.question.id: one.question.text for one in report.evaluated}
        print_verdict(console, verdict, texts, changed=5, comparisons=1)


def head(report: AnswerReport, about: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines above the figures."""
    from gnomon.cli.terminal import count, counted

    asked, of = len(report.evaluated), report.questions.of
    some = f", the first of {count(of)}" if asked < of else ""
    kinds = f"written by {about['written_by']}" if about["written_by"] else "extractive: sentences quoted"
    outcomes = ", ".join(f"{count(n)} {outcome}" for outcome, n in report.outcomes.items())
    rows = [
        ("target", about["target"]),
        ("data", f"{report.questions.path}: {counted(asked, 'question')}{some}"),
        ("answers", kinds),
        ("asked", outcomes),
    ]
    if report.without:
        left = ", ".join(f"{count(n)} {outcome}" for outcome, n in report.without.items())
        rows.append(("again", f"with the evidence left out of the search: {left}"))
        possible = f"; from {report.answer_threshold:.3f} on it is given plainly"
        rows.append(("threshold", f"{report.threshold:.3f}, below which there is no answer{possible}"))
    if about["judged_by"]:
        lost = f"; of {count(report.unjudged)} it said nothing usable" if report.unjudged else ""
        rows.append(("judge", f"{about['judged_by']}, a language model{lost}"))
    return rows


def print_figures(console: Console, report: AnswerReport) -> None:
    """A figure a line, with its interval and what it counts."""
    from rich.text import Text

    from gnomon.cli.evaluation import interval_text, print_table
    from gnomon.cli.terminal import count

    rows = [
        [
            Text(score.metric),
            Text(f"{score.mean:.4f}", style="bold"),
            Text(interval_text(score.low, score.high)),
            Text(count(score.n)),
        ]
        for score in report.scores
    ]
    print_table(console, ("figure", "mean", "95% interval", "n"), rows)
