"""gnomon demo: Python's own documentation, indexed and asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.app import Json, app, example

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon import Collection
    from gnomon.core.documents import Document
    from gnomon.core.ranking import Hit

FOLDER = Path("demo-kb")
SHOWN = 3
QUESTIONS = (
    "what is the value in the middle of a list of numbers",
    "what happens when an error is raised while another one is being handled",
    "give up waiting for a coroutine after a few seconds",
    "how do I make a temporary directory that cleans up after itself",
    "measure how long a small piece of code takes",
)


@dataclass(frozen=True)
class IndexingFigures:
    """What indexing the corpus did: its documents, and figures summed over the batches."""

    documents: int
    changed: int
    passages: int
    tokens: int
    seconds: float
    embed_seconds: float


@dataclass(frozen=True)
class TimedHits:
    """A question's hits, and how long they took."""

    question: str
    hits: Sequence[Hit]
    seconds: float


@app.command(epilog=example("gnomon demo", "gnomon demo --into demo-kb --json"))
def demo(
    into: Annotated[Path, typer.Option(help="The collection's folder.")] = FOLDER,
    as_json: Json = False,
) -> None:
    """Index the documentation of the running Python and answer five questions from it."""
    import gnomon
    from gnomon.cli.demo_corpus import python_documentation
    from gnomon.cli.terminal import data_console, noted, notes_console, print_json, print_message, print_notes

    with noted() as notes:
        documents = python_documentation()
        with gnomon.open(into, progress=print_message) as kb:
            built = index_documents(kb, documents, notes_console())
            answers = search_all(kb, QUESTIONS)
            passages = kb.status().chunks
    if as_json:
        print_json(demo_json(into, built, answers, passages) | {"warnings": notes})
        return
    print_notes(notes)
    print_answers(data_console(), answers)
    print_figures(data_console(), into, built, answers, passages)


def index_documents(kb: Collection, documents: Sequence[Document], console: Console) -> IndexingFigures:
    """Put the documents in, with a progress bar."""
    from gnomon.cli.progress import ProgressBar

    started = time.perf_counter()
    with ProgressBar(console) as bar:
        report = kb.add(documents, progress=bar.update)
    return IndexingFigures(
        documents=len(documents),
        changed=report.documents,
        passages=report.embedded,
        tokens=report.tokens,
        seconds=time.perf_counter() - started,
        embed_seconds=report.embed_seconds,
    )


def search_all(kb: Collection, questions: Sequence[str]) -> list[TimedHits]:
    """Each question's best hits, timed; one question before them warms the caches up."""
    kb.search("warm up", k=SHOWN)
    answers = []
    for question in questions:
        started = time.perf_counter()
        hits = kb.search(question, k=SHOWN)
        answers.append(TimedHits(question, hits, time.perf_counter() - started))
    return answers


def p50_ms(answers: Sequence[TimedHits]) -> float:
    """The middle of the answers' times, in milliseconds."""
    return 1000 * median(answer.seconds for answer in answers)


def print_answers(console: Console, answers: Sequence[TimedHits]) -> None:
    """Each question with its hits."""
    from rich.text import Text

    from gnomon.cli.rendering.hits import print_hits
    from gnomon.cli.terminal import print_hanging

    for answer in answers:
        print_hanging(console, Text("? ", style="bold cyan"), Text(answer.question, style="bold cyan"))
        console.print()
        print_hits(console, answer.hits)
        console.print()


def print_figures(
    console: Console, into: Path, built: IndexingFigures, answers: Sequence[TimedHits], passages: int
) -> None:
    """What was built, how fast, and what to try next."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, duration, print_rows, rate

    indexed = f"{count(built.changed)} of {count(built.documents)} documents were new or changed"
    embedded = "nothing to embed"
    if built.tokens:
        speed = rate(built.tokens, built.embed_seconds)
        embedded = f"{count(built.passages)} passages, {count(built.tokens)} tokens, {speed} tokens/s"
    rows = [
        ("holds", f"{count(passages)} passages of this Python's own documentation, in {into}"),
        ("indexed", f"{indexed}, in {duration(built.seconds)}"),
        ("embedded", embedded),
        ("a query", f"{p50_ms(answers):.1f} ms: the middle of these {len(answers)}"),
    ]
    print_rows(console, [(Text(label, style="dim"), Text(said)) for label, said in rows])
    console.print()
    console.print("Try next", style="bold")
    for command in next_commands(into):
        console.print(clean(f"  {command}"), soft_wrap=True)


def next_commands(into: Path) -> tuple[str, ...]:
    """Three commands that work at once on what the demo built."""
    from gnomon.cli.terminal import program

    name = program()
    return (
        f'{name} search {into} "ask for a password without showing it" --explain',
        f"{name} search {into} lru_cache --mode lexical --by document -k 3",
        f"{name} status {into}",
    )


def demo_json(into: Path, built: IndexingFigures, answers: Sequence[TimedHits], passages: int) -> dict[str, object]:
    """The same for scripts."""
    from dataclasses import asdict

    from gnomon.cli.rendering.hits import hit_json

    asked = [
        {
            "question": answer.question,
            "seconds": round(answer.seconds, 6),
            "hits": [hit_json(hit, rank) for rank, hit in enumerate(answer.hits, 1)],
        }
        for answer in answers
    ]
    return {
        "collection": str(into),
        "passages": passages,
        "indexed": asdict(built),
        "query_p50_ms": round(p50_ms(answers), 3),
        "answers": asked,
        "next": list(next_commands(into)),
    }
