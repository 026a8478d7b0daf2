"""gnomon ask."""

from __future__ import annotations

import json
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import CollectionPlace, Place
from gnomon.cli.terminal import show_error
from gnomon.core.errors import GenerationFailed, InvalidInput, StorageError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from gnomon.answer.settings import AskSettings
    from gnomon.answer.types import Answer, AnswerEvent, ChatModel, Failure, Turn


HISTORY_LINE = '{"question": "…", "answer": "…"} a line'


def read_history(path: Path) -> tuple[Turn, ...]:
    """The turns of a conversation; none where the file does not exist. Raises InvalidInput for other lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        if path.parent.is_dir():
            return ()
        raise InvalidInput(
            f"no folder {path.parent}",
            expected="a folder to keep the conversation in",
            hint="make it first",
        ) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text", expected=HISTORY_LINE) from None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", expected="a file to keep the conversation in") from error
    return tuple(_turn(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip())


def append_turn(path: Path, question: str, answer: str) -> None:
    """Append a turn. Raises StorageError where the file cannot be written."""
    try:
        with path.open("a+b") as file:
            size = file.tell()
            file.seek(max(0, size - 1))
            # A last line without its end would swallow the turn.
            start = b"" if size == 0 or file.read(1) == b"\n" else b"\n"
            row = json.dumps({"question": question, "answer": answer}, ensure_ascii=False)
            file.write(start + row.encode("utf-8", "replace") + b"\n")
    except OSError as error:
        raise StorageError(
            f"the conversation cannot be kept in {path}: {error.strerror}",
            expected="a file that can be written",
            hint="free the disk or change the permissions, or name another file",
        ) from error


def _turn(line: str, where: str) -> Turn:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    turn = (row.get("question"), row.get("answer")) if isinstance(row, dict) else (None, None)
    if not (isinstance(turn[0], str) and isinstance(turn[1], str)):
        raise InvalidInput(
            f"{where}: no turn of a conversation",
            expected=HISTORY_LINE,
            hint="correct the line, or name another file",
        )
    return turn[0], turn[1]


ANSWERED, ABSENT, POSSIBLE = 0, 1, 5
Form = Literal["text", "json", "events"]
Mode = Literal["hybrid", "dense", "lexical", "sparse"]
Unsupported = Literal["mark", "drop"]
Expand = Literal["none", "hyde", "multi"]

ModeOption = Annotated[
    Mode | None, typer.Option(help="Search by meaning, by word or both; by default as the collection is set.")
]
Where = Annotated[
    str | None,
    typer.Option(help="Only documents that meet a condition, as in gnomon search.", metavar="CONDITION"),
]
Llm = Annotated[
    str | None,
    typer.Option(
        envvar="GNOMON_LLM",
        help="An OpenAI-compatible address (Ollama, vLLM, llama.cpp, OpenAI) to write the answer; "
        "the key is OPENAI_API_KEY; or plugin:NAME, of an installed package. Without it the answer is quoted.",
        metavar="URL",
    ),
]
LlmModel = Annotated[
    str | None,
    typer.Option(envvar="GNOMON_LLM_MODEL", help="Its model; may be left out where it has just one."),
]
Passages = Annotated[int | None, typer.Option("--passages", "-k", help="At most so many passages.")]
Budget = Annotated[int | None, typer.Option(help="At most so many tokens of passages.")]
Sentences = Annotated[int | None, typer.Option(help="At most so many sentences, where they are quoted.")]
TemplateOption = Annotated[
    Path | None, typer.Option(help="A prompt of your own, in place of the built-in one.", metavar="FILE")
]
UnsupportedOption = Annotated[Unsupported, typer.Option(help="What becomes of sentences that no passage supports.")]
ExpandOption = Annotated[
    Expand, typer.Option(help="Search too with a passage (hyde) or questions (multi) that --llm writes.")
]
NoTables = Annotated[bool, typer.Option("--no-tables", help="Leave registered tables out.")]
AbstainBelow = Annotated[
    float | None,
    typer.Option(help="Below this confidence, 0 to 1, there is no answer; 0: always try.", metavar="NUMBER"),
]
AnswerFrom = Annotated[
    float | None,
    typer.Option(
        help="Below this confidence, 0 to 1, a quoted answer is only possible: 'perhaps here'.", metavar="NUMBER"
    ),
]
Timeout = Annotated[float, typer.Option(help="Seconds of silence after which --llm is given up.")]
MaxTokens = Annotated[int | None, typer.Option(help="The longest answer that --llm may write.")]
History = Annotated[
    Path | None,
    typer.Option(
        help='A conversation to go on with, {"question": …, "answer": …} a line; this turn is added to it.',
        metavar="FILE.jsonl",
    ),
]
Events = Annotated[bool, typer.Option("--events", help="Everything as it comes, a JSON object a line.")]

CODES = """[dim]Exit codes[/dim]

    0  answered
    1  not in these documents
    2  wrong input
    3  the language model failed; the passages are shown all the same
    5  perhaps here: what may answer is quoted, and may not be the answer"""


@app.command(
    epilog=example(
        'gnomon ask kb "how do I rotate the keys?"',
        'gnomon ask kb "how do I rotate the keys?" --llm http://localhost:11434 --llm-model llama3.2',
        'gnomon ask kb "and how often?" --history talk.jsonl --llm http://localhost:8080',
        """gnomon ask kb "what did we earn?" --where "year >= 2024" --json | jq -r .text""",
    )
    + f"\n\n{CODES}"
)
def ask(
    collection: CollectionPlace,
    question: Annotated[str, typer.Argument(help="A question.", metavar="QUESTION")],
    llm: Llm = None,
    *,
    llm_model: LlmModel = None,
    mode: ModeOption = None,
    where: Where = None,
    passages: Passages = None,
    budget: Budget = None,
    sentences: Sentences = None,
    template: TemplateOption = None,
    unsupported: UnsupportedOption = "mark",
    expand: ExpandOption = "none",
    no_tables: NoTables = False,
    abstain_below: AbstainBelow = None,
    answer_from: AnswerFrom = None,
    timeout: Timeout = 60.0,
    max_tokens: MaxTokens = None,
    history: History = None,
    events: Events = False,
    as_json: Json = False,
) -> None:
    """Answer a question: every sentence cites a passage, and the citations are checked.

    Without a language model the best sentences are quoted; with --llm it writes them, and what no passage
    supports is marked.
    """
    settings = _settings(
        {"mode": mode, "where": where, "sentences": sentences, "template": template,
         "max_tokens": max_tokens, "unsupported": unsupported, "expand": expand, "tables": not no_tables,
         "abstain_below": abstain_below, "answer_from": answer_from},
        {"passages": passages, "budget_tokens": budget},
    )  # fmt: skip
    if events and as_json:
        raise InvalidInput("--events with --json", expected="one of them", hint="leave one out")
    chat = _chat(llm, llm_model, timeout, needed=expand != "none")
    form: Form = "events" if events else "json" if as_json else "text"
    answer = _answer(collection, question, chat=chat, settings=settings, history=history, form=form)
    raise typer.Exit(_exit_code(answer, as_json=form != "text"))


def _settings(given: Mapping[str, Any], context: Mapping[str, int | None]) -> AskSettings:
    from gnomon.answer.settings import AskSettings, ContextSettings

    limits = {name: value for name, value in context.items() if value is not None}
    named = {name: value for name, value in given.items() if value is not None}
    return AskSettings(**named, context=ContextSettings(**limits))


def _chat(url: str | None, model: str | None, timeout: float, *, needed: bool) -> ChatModel | None:
    """The language model; None without an address, or with an empty one in place of the environment's."""
    if not url:
        if model and url is None:
            raise InvalidInput(
                f"a model, {model!r}, without the address of its server",
                expected="--llm URL with --llm-model",
                hint="give --llm, such as http://localhost:11434 for Ollama",
            )
        if needed:
            raise InvalidInput(
                "--expand without --llm",
                expected="a language model that writes what is searched for too",
                hint="give --llm URL, or leave --expand out",
            )
        return None
    from gnomon.answer.llm.endpoint import open_chat_model

    return open_chat_model(url, model, timeout_s=timeout)


def _answer(
    collection: Place,
    question: str,
    *,
    chat: ChatModel | None,
    settings: AskSettings,
    history: Path | None,
    form: Form,
) -> Answer:
    """Ask, show the answer in a form, and append the turn to the conversation's file."""
    import gnomon
    from gnomon.answer import stream
    from gnomon.cli.rendering.results import answer_json, print_answer
    from gnomon.cli.terminal import data_console, noted, print_json, print_message, print_notes

    turns = read_history(history) if history else ()
    with (
        noted() as notes,
        gnomon.open(collection, create=False, progress=print_message) as kb,
        closing(cast(Any, chat)) if hasattr(chat, "close") else nullcontext(),
        closing(stream(kb, question, chat=chat, settings=settings, history=turns)) as events,
    ):
        answer = _show_events(events, form, live=chat is not None)
    if form == "json":
        print_json({**answer_json(answer), "warnings": notes})
    elif form == "text":
        failed = answer.outcome == "failed"
        print_notes([*notes, *(_describe_failure(one) for one in answer.failures[: -1 if failed else None])])
        print_answer(data_console(), answer)
    if history and answer.outcome != "failed":
        append_turn(history, question, answer.text or f"{answer.outcome.capitalize()}.")
    return answer


def _show_events(events: Generator[AnswerEvent, None, None], form: Form, *, live: bool) -> Answer:
    """Read all events, and show them as they come where that is wanted."""
    from gnomon.answer.types import AnswerDone
    from gnomon.cli.rendering.results import LiveAnswer, event_json
    from gnomon.cli.terminal import data_console

    console = data_console()
    shown = form == "text" and live and console.is_terminal
    with LiveAnswer(console) if shown else nullcontext() as writing:
        while True:
            event = next(events)
            if form == "events":
                sys.stdout.write(event_json(event))
                sys.stdout.flush()
            if isinstance(event, AnswerDone):
                return event.answer
            if writing is not None:
                writing.show(event)


def _describe_failure(failure: Failure) -> str:
    return f"{failure.stage}: {failure.message}" + (f". {failure.hint}" if failure.hint else "")


def _exit_code(answer: Answer, *, as_json: bool) -> int:
    """The exit code; the error of a failed answer is printed on stderr."""
    if answer.outcome == "failed":
        last = answer.failures[-1]
        return show_error(GenerationFailed(last.message, expected=last.expected, hint=last.hint), as_json=as_json)
    return {"answered": ANSWERED, "possible": POSSIBLE}.get(answer.outcome, ABSENT)
