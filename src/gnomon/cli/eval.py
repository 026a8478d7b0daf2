"""gnomon eval."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.eval_answers import (
    Against,
    Answering,
    Answers,
    Judge,
    Limit,
    Llm,
    LlmModel,
    Settings,
    eval_answers,
)
from gnomon.cli.eval_judged import eval_judged
from gnomon.cli.eval_pseudo import eval_pseudo
from gnomon.cli.eval_task import TaskAsked, eval_task
from gnomon.cli.judged import Data, Depth, Names, Split, Strict, Where, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gnomon.collection.systems import SystemRun
    from gnomon.evaluate import DataSet, Metric

Mode = Literal["hybrid", "dense", "lexical"]
Task = Literal["sts", "pairs", "analogy", "similarity", "context"]
Target = Annotated[
    str,
    typer.Argument(
        help="A collection (kb, kb:dense, kb@v1), a saved run, model:NAME; with --task a model.",
        metavar="TARGET",
    ),
]
SaveRun = Annotated[Path | None, typer.Option(help="Keep what was found: .json, or .trec for trec_eval.")]
PerQuery = Annotated[Path | None, typer.Option(help="Write each query's figures to a .jsonl file.")]
PerKind = Annotated[int | None, typer.Option(help="Pseudo-queries of each kind; by default 200.")]
Expect = Annotated[
    Path | None,
    typer.Option(help="What --pseudo --json gave when all was well; exit with 1 if fewer are found now."),
]
Pseudo = Annotated[
    bool,
    typer.Option("--pseudo", help="No labels: queries made from the corpus, to detect breakage; by default dense."),
]
Fit = Annotated[Path | None, typer.Option(help="Where a task's threshold is fitted: pairs, context.")]
Words = Annotated[Path | None, typer.Option(help="Words among which an analogy's answer is looked for.")]


@app.command(
    epilog=example(
        "gnomon eval kb --data scifact",
        "gnomon eval kb:dense --data scifact --save-run dense.json",
        """gnomon eval kb --data golden.jsonl --where "year >= 2020\"""",
        "gnomon eval run.trec --data qrels.txt --json",
        "gnomon eval kb --pseudo",
        "gnomon eval kb --answers qa.jsonl --per-query before.jsonl",
        "gnomon eval all-MiniLM-L6-v2 --task sts --data sts-test.tsv",
    )
)
def eval(  # noqa: A001 - the command's name
    target: Target,
    data: Data = None,
    split: Split = None,
    mode: Annotated[Mode | None, typer.Option(help="By default as the collection is set.")] = None,
    metric: Names = None,
    k: Depth = None,
    where: Where = None,
    per_query: PerQuery = None,
    save_run: SaveRun = None,
    strict: Strict = False,
    pseudo: Pseudo = False,
    per_kind: PerKind = None,
    expect: Expect = None,
    answers: Answers = None,
    llm: Llm = None,
    llm_model: LlmModel = None,
    judge: Judge = None,
    settings: Settings = None,
    limit: Limit = None,
    against: Against = None,
    task: Annotated[Task | None, typer.Option(help="Measure a model on a task's file.")] = None,
    fit: Fit = None,
    vocabulary: Words = None,
    as_json: Json = False,
) -> None:
    """Measure search, answers or a model against judgments: figures with 95% intervals."""
    asked = Asked(target, mode, tuple(metric or ()), k, where, per_query, save_run)
    tasks = {"--fit": fit, "--vocabulary": vocabulary}
    made = {"--per-kind": per_kind, "--expect": expect}
    judged = {"--data": data, "--split": split, "--strict": strict}
    models = {"--llm": llm, "--llm-model": llm_model, "--judge": judge}
    answering = {**models, "--set": settings, "--limit": limit, "--against": against}
    if answers is None:
        refuse(answering, "without --answers")
    if task is not None:
        idle = {"--split": split, "--strict": strict, "--pseudo": pseudo, "--answers": answers}
        refuse({**idle, **made, **asked.options}, f"with --task {task}")
        eval_task(TaskAsked(task, target, tuple(data or ()), fit, vocabulary), as_json=as_json)
    elif answers is not None:
        refuse({**judged, **tasks, **made, "--pseudo": pseudo, **asked.of_search}, "with --answers")
        more = Answering((llm, llm_model), judge, tuple(settings or ()), limit, against)
        eval_answers(asked, answers, more, as_json=as_json)
    elif pseudo:
        refuse({**judged, **tasks, "--where": where}, "with --pseudo")
        eval_pseudo(asked, per_kind=per_kind or 200, expect=expect, as_json=as_json)
    else:
        refuse(made, "without --pseudo")
        refuse(tasks, "without --task")
        eval_judged(asked, data, split, strict=strict, as_json=as_json)


@dataclass(frozen=True)
class Asked:
    """What is measured, how, and what is kept of it."""

    target: str
    mode: Mode | None
    metrics: tuple[str, ...]
    k: int | None
    where: str | None
    per_query: Path | None
    save_run: Path | None

    @property
    def options(self) -> Mapping[str, object]:
        """The options by name."""
        return {
            "--mode": self.mode,
            "--metric": list(self.metrics),
            "--k": self.k,
            "--where": self.where,
            "--per-query": self.per_query,
            "--save-run": self.save_run,
        }

    @property
    def of_search(self) -> Mapping[str, object]:
        """Those of them that only a search has."""
        return {name: self.options[name] for name in ("--metric", "--k", "--save-run")}

    def parsed(self, default: Sequence[str]) -> list[Metric]:
        """The metrics named, or the default ones; files that would be of another form are refused."""
        from gnomon.cli.judged import require_suffix
        from gnomon.evaluate import parse_metric

        require_suffix(self.per_query, "--per-query", ".jsonl")
        require_suffix(self.save_run, "--save-run", ".json", ".trec")
        return [parse_metric(name) for name in self.metrics or default]

    def keep(self, answered: SystemRun, dataset: DataSet, metrics: Sequence[Metric]) -> None:
        """Write the run and each query's figures where they are wanted. Raises StorageError."""
        from gnomon.cli.judged import write_lines, writing
        from gnomon.evaluate import per_query

        if self.save_run:
            with writing(self.save_run):
                answered.run.save(self.save_run)
        if self.per_query:
            values = per_query(answered.run, answered.relevant, metrics)
            rows = (
                {
                    "query": query,
                    "text": dataset.queries.get(query, ""),
                    **({"kind": dataset.kinds[query], "pseudo": True} if dataset.pseudo else {}),
                    "metrics": {metric.name: values[metric][query] for metric in metrics},
                }
                for query in values[metrics[0]]
            )
            write_lines(self.per_query, rows)
