"""gnomon mine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.mine_teacher import MinedOutcome, TeacherOptions, mine_taught
from gnomon.cli.terminal import output_errors
from gnomon.core.errors import InvalidInput
from gnomon.core.files import replacing
from gnomon.core.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.core.contracts import Encoder, Scorer
    from gnomon.train.data import DataSourceSettings
    from gnomon.train.mining.mine import MinedExamples, MineReport, MineSettings

Method = Literal["bm25", "dense", "both"]
Choice = Literal["first", "random"]

Data = Annotated[
    str,
    typer.Argument(
        help="Pairs or tuples: jsonl, json, csv, tsv, parquet, a BEIR folder. With --teacher also a collection, or a "
        "folder of documents, of which queries are made.",
        metavar="DATA",
    ),
]
Out = Annotated[Path, typer.Option(help="Write JSON lines: query, positive, negatives.")]
MethodOption = Annotated[Method, typer.Option(help="What searches: words, vectors, or both fused.")]
ModelOption = Annotated[str | None, typer.Option(help="The encoder, for dense and both.")]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        help="The columns, in order, of a file that does not name them: query,positive,negative. Or which is which: "
        "query=title,positive=body.",
        metavar="NAMES",
    ),
]
CorpusOption = Annotated[
    Path | None,
    typer.Option(help='Texts, {"text": …} a line; else the BEIR folder\'s, or the answers themselves.'),
]
Split = Annotated[str, typer.Option(help="The split of a BEIR folder.")]
PerQuery = Annotated[int, typer.Option(help="Negatives for each query.")]
Ranks = Annotated[str, typer.Option(help="The window of ranks, known answers not counted.")]
Margin = Annotated[float | None, typer.Option(help="A negative scores so much less than the positive.")]
Share = Annotated[float | None, typer.Option(help="A negative scores at most this share of the positive.")]
ScorerOption = Annotated[str | None, typer.Option(help="A cross-encoder: what it takes for an answer is left out.")]
ScorerMargin = Annotated[float, typer.Option(help="A negative scores so much less than the positive there.")]
ChoiceOption = Annotated[Choice, typer.Option(help="Of the window the first, or any.")]
Language = Annotated[
    str | None, typer.Option(help="The language of the words: by default en, with --teacher that of the passages.")
]
Seed = Annotated[int, typer.Option(help="For --choice random.")]
Limit = Annotated[int | None, typer.Option(help="Only the first so many examples, or queries.")]
TeacherOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Score passages by this model in place of mining negatives: an encoder, a cross-encoder, a provider's "
        "model, bm25, or a collection (its hybrid). Several are fused; NAME=0.5 counts half.",
        metavar="NAME",
    ),
]
Kinds = Annotated[
    str | None, typer.Option(help="Kinds of made queries: question,claim,keywords,title.", metavar="KINDS")
]
PerKind = Annotated[int, typer.Option(help="Made queries of each kind.")]
Llm = Annotated[
    str | None, typer.Option(help="Made queries are written by the model at this OpenAI-compatible address.")
]
LlmModel = Annotated[str | None, typer.Option(help="Its model; may be left out where it has just one.")]
Depth = Annotated[int, typer.Option(help="Candidates that a teacher scores for each query.")]
Draws = Annotated[int, typer.Option(help="Rows for each query, with a teacher.")]
MaxCost = Annotated[
    float | None, typer.Option(help="The most that each teacher's vectors may cost at its provider.", metavar="USD")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Begin anew a run with a teacher that was cut off.")]


@app.command(
    epilog=example(
        "gnomon mine pairs.jsonl --out mined.jsonl",
        "gnomon mine pairs.tsv --columns query,positive --out mined.jsonl",
        "gnomon mine faq --split train --method both --model all-MiniLM-L6-v2 --share 0.95 --out mined.jsonl",
        "gnomon mine kb --teacher gte-small --teacher bm25=0.5 --out taught.jsonl",
    )
)
def mine(
    data: Data,
    out: Out,
    method: MethodOption = "bm25",
    *,
    columns: ColumnsOption = None,
    model: ModelOption = None,
    corpus: CorpusOption = None,
    split: Split = "",
    per_query: PerQuery = 5,
    ranks: Ranks = "10:100",
    margin: Margin = None,
    share: Share = None,
    scorer: ScorerOption = None,
    scorer_margin: ScorerMargin = 0.0,
    choice: ChoiceOption = "first",
    language: Language = None,
    seed: Seed = 0,
    limit: Limit = None,
    teacher: TeacherOption = None,
    kinds: Kinds = None,
    per_kind: PerKind = 500,
    llm: Llm = None,
    llm_model: LlmModel = None,
    depth: Depth = 100,
    draws: Draws = 1,
    max_cost: MaxCost = None,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Mine hard negatives for training: texts that rank high and are no answers. Or a teacher's scores of passages."""
    from gnomon.train.data import DataSourceSettings
    from gnomon.train.mining.mine import MineSettings

    settings = DataSourceSettings(data, split=split, columns=_columns(columns), limit=None if teacher else limit)
    if teacher:
        _require_none({"--model": model, "--scorer": scorer, "--margin": margin, "--share": share}, "with --teacher")
        _require_none({"--method": method != "bm25", "--ranks": ranks != "10:100"}, "with --teacher")
        options = TeacherOptions(
            tuple(teacher), settings, corpus, _listed(kinds), per_kind, llm, llm_model, depth, draws,
            language, seed, limit, max_cost, fresh,
        )  # fmt: skip
        _show(lambda progress: mine_taught(data, out, options, progress=progress), as_json=as_json)
        return
    _require_none({"--kinds": kinds, "--llm": llm, "--max-cost": max_cost}, "without --teacher")
    words, models = language or "en", (model, scorer)
    mining = MineSettings(method, per_query, _window(ranks), margin, share, scorer_margin, choice, words, seed)
    _show(lambda heard: _mined(settings, out, mining, corpus=corpus, models=models, progress=heard), as_json=as_json)


def _show(work: Callable[[ProgressCallback], MinedOutcome], *, as_json: bool) -> None:
    """Do the work with a progress bar, and show what it gave."""
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes

    with noted() as notes, ProgressBar() as bar:
        outcome = work(bar.update)
    print_notes(notes)
    if as_json:
        print_json({**outcome.report, "warnings": notes})
    else:
        outcome.show(data_console())


def _mined(
    given: DataSourceSettings,
    out: Path,
    settings: MineSettings,
    *,
    corpus: Path | None,
    models: tuple[str | None, str | None],
    progress: ProgressCallback,
) -> MinedOutcome:
    """Mine negatives with the encoder and the scorer of these names, and write them."""
    from gnomon.train.data import open_source
    from gnomon.train.data.beir import corpus_texts
    from gnomon.train.mining.mine import mine as mined

    source = open_source(given)
    place = corpus or (Path(given.path) if source.is_beir else None)
    mining = mined(
        source,
        settings,
        corpus=None if place is None else corpus_texts(place),
        encoder=_encoder(models[0]),
        scorer=_scorer(models[1]),
        progress=progress,
    )
    _write(out, mining, progress)
    report = mining.report
    return MinedOutcome({**report.to_json(), "out": str(out)}, lambda console: print_report(console, report, out))


def _require_none(given: Mapping[str, object], where: str) -> None:
    """Raise InvalidInput for an option that says nothing here."""
    named = [name for name, value in given.items() if value not in (None, False)]
    if named:
        raise InvalidInput(f"{named[0]} {where}", expected="options of one way to mine", hint=f"leave {named[0]} out")


def _listed(given: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in given.split(",") if part.strip()) if given else ()


def _columns(given: str | None) -> Mapping[str, Sequence[str]] | tuple[str, ...]:
    """Names in their order, or by role: "query=title,positive=body,positive=more"."""
    parts = [part.strip() for part in (given or "").split(",")] if given is not None else []
    named = [part.partition("=") for part in parts]
    if not all(equals for _, equals, _ in named):
        return tuple(parts)
    roles: dict[str, list[str]] = {}
    for role, _, name in named:
        roles.setdefault(role.strip(), []).append(name.strip())
    return roles


def _window(ranks: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)[:-](\d+)", ranks.strip())
    if not found:
        raise InvalidInput(f"--ranks {ranks}", expected="two ranks such as 10:100", hint="correct it")
    return int(found[1]), int(found[2])


def _encoder(name: str | None) -> Encoder | None:
    from gnomon.cli.terminal import print_message
    from gnomon.encode import load_encoder

    return None if name is None else load_encoder(name, progress=print_message)


def _scorer(name: str | None) -> Scorer | None:
    if name is None:
        return None
    from gnomon.cli.terminal import print_message
    from gnomon.encode.load import load_scorer

    return load_scorer(name, progress=print_message)


def _write(out: Path, mining: MinedExamples, progress: ProgressCallback) -> None:
    """Write the examples, the whole file or nothing. Raises StorageError."""
    from gnomon.train.data.examples import to_row

    errors = output_errors(out, option="--out")
    with errors, replacing(out) as beside, beside.open("w", encoding="utf-8") as file:
        for done, mined in enumerate(mining, start=1):
            file.write(json.dumps(to_row(mined), ensure_ascii=False) + "\n")
            progress(Progress("mining", done, len(mining), "example"))


def print_report(console: Console, report: MineReport, out: Path) -> None:
    """What was mined, and how many of it are likely to be answers."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, counted, print_rows

    rows = [
        ("written", f"{counted(report.examples, 'example')} to {out}"),
        ("negatives", f"{count(report.negatives)} of {counted(report.texts, 'text')}"),
    ]
    if report.short:
        rows.append(("short", f"{count(report.short)} with fewer, {count(report.without)} of them with none"))
    left_out = ", ".join(f"{count(n)} by {name}" for name, n in report.dropped.items() if n)
    if left_out:
        rows.append(("left out", left_out))
    rows += [("false", line) for line in _rates(report)]
    print_rows(console, [(Text(label, style="dim"), clean(said)) for label, said in rows])


LOOSE = 0.5
"""A bound above this says little: these scores hardly tell answers from other texts."""


def _rates(report: MineReport) -> list[str]:
    """What is known of false negatives, a line an estimate."""
    rates, lines = report.rates, []
    if rates.withheld is not None:
        share, low, high = rates.withheld.kept_in
        hidden = f"of {rates.withheld.hidden:,} known answers, hidden for a trial"
        lines.append(f"{hidden}, {share:.1%} were mined ({low:.1%} to {high:.1%})")
    if rates.mixture is not None:
        lines.append(f"at most {rates.mixture:.1%} of the negatives, by their scores beside the hidden answers'")
    if rates.threshold is not None:
        lines.append(f"at most {rates.threshold:.1%} of the candidates before filters, by how many beat the answer")
        if rates.threshold > LOOSE:
            lines.append("such a bound says little: these scores hardly tell answers apart; a --scorer may")
    return lines
