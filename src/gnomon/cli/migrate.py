"""gnomon migrate."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.index import MaxCost
from gnomon.cli.places import Place
from gnomon.cli.plan import (
    AddModel,
    ChunkTokens,
    CpuShare,
    Dim,
    RemoveModel,
    SecondStage,
    Set,
    Store,
    To,
    Type,
    parsed_settings,
    spaces_of,
)
from gnomon.cli.versions import Folder
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from gnomon.cli.rendering.migration import MigrationProgress
    from gnomon.migrate import Change, MigrateSettings, Migration

REFUSED, LEFT = 1, 130
Queries = Annotated[
    Path | None,
    typer.Option(help="Judged queries that decide: a BEIR folder or a JSONL file.", metavar="PATH"),
]
Without = Annotated[
    bool,
    typer.Option("--without-proof", help="Switch although no judged queries say that it is as good."),
]
Segment = Annotated[
    str | None, typer.Option(help="Break the verdict down by a field of the documents too.", metavar="FIELD")
]

SwitchIf = Annotated[Literal["not-worse", "better", "never"], typer.Option(help="The verdict that the switch needs.")]
HotFirst = Annotated[
    bool,
    typer.Option(
        "--hot-first",
        help="Embed the documents first that the queries of --query-log, else the judged --queries, find most "
        "often; without either in the order in which they were added.",
    ),
]
Adapter = Annotated[
    bool,
    typer.Option(
        "--adapter",
        help="Answer the new model's queries during the build: gnomon search COLLECTION QUESTION --version "
        "v2. An embedding adapter from new queries to old vectors is fitted first; one of low recall is refused.",
    ),
]
Stop = Annotated[
    bool, typer.Option("--stop", help="Stop a running migration, whose vectors are kept, or an interleaving.")
]
Interleave = Annotated[
    bool,
    typer.Option(
        "--interleave",
        help="Do not switch at once: servers with --query-log show results of both versions in one list, and clicks "
        "decide. The gate must not find the version worse.",
    ),
]
InterleaveShare = Annotated[
    float, typer.Option(help="With --interleave: the share of the searches, each of which costs two.", metavar="SHARE")
]
QueryLog = Annotated[
    Path | None,
    typer.Option(
        help="A log of past queries, one a line or as gnomon serve writes it, for --hot-first and --adapter.",
        metavar="FILE",
    ),
]
Foreground = Annotated[bool, typer.Option("--foreground", help="Build in this process: Ctrl-C stops it.")]
_STOP = "Stop a running migration, whose vectors are kept, or interleaving."


@app.command(
    epilog=example(
        "gnomon migrate kb --to bge-small-en-v1.5 --queries judged.jsonl",
        "gnomon migrate kb --status",
        "gnomon migrate kb --to gte-small --adapter --hot-first --query-log log.txt --queries judged.jsonl",
        "gnomon migrate kb --vector-type int8 --queries judged.jsonl",
        "gnomon migrate kb --to voyage:voyage-4 --max-cost 5 --queries judged.jsonl",
        "gnomon migrate kb --store qdrant://localhost:6333 --without-proof",
        "gnomon migrate kb --to gte-small --queries judged.jsonl --interleave",
        "gnomon migrate kb --add-model gte-small --queries judged.jsonl",
        "gnomon migrate kb --chunk-tokens 128 --set fuse.weights=0.3,0.7 --queries judged.jsonl",
    )
)
def migrate(
    collection: Folder,
    to: To = None,
    chunk_tokens: ChunkTokens = None,
    *,
    dim: Dim = None,
    vector_type: Type = None,
    settings: Set = None,
    store: Store = None,
    add_model: AddModel = None,
    remove_model: RemoveModel = None,
    second_stage: SecondStage = False,
    queries: Queries = None,
    split: Annotated[str | None, typer.Option(help="The split of the judged queries.")] = None,
    metric: Annotated[str, typer.Option(help="What decides, such as nDCG@10, recall@100, MAP.")] = "nDCG@10",
    margin: Annotated[float, typer.Option(help="The loss of the mean that is still acceptable.")] = 0.01,
    segment: Segment = None,
    switch_if: SwitchIf = "not-worse",
    without_proof: Without = False,
    hot_first: HotFirst = False,
    adapter: Adapter = False,
    query_log: QueryLog = None,
    interleave: Interleave = False,
    interleave_share: InterleaveShare = 0.5,
    cpu_share: CpuShare = 0.5,
    max_cost: MaxCost = None,
    foreground: Foreground = False,
    status: Annotated[bool, typer.Option("--status", help="Show a migration's progress or outcome.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help=_STOP)] = False,
    as_json: Json = False,
) -> None:
    """Migrate a collection to another model, chunking or search while it keeps serving.

    The new version is built in the background, compared with the live one on your queries, and switched to if
    it passes. The same command resumes a migration that was stopped.
    """
    from gnomon.migrate import Change, GateSettings, InterleaveSettings, MigrateSettings, Prefill

    retrieval = parsed_settings(settings) | ({} if store is None else {"store": store})
    spaces = spaces_of(add_model, remove_model, second_stage=second_stage)
    change = Change(to, chunk_tokens, retrieval or None, dim, vector_type, **spaces)
    if status or stop:
        _refuse(change, queries, status=status, stop=stop)
        raise typer.Exit(_show_state(collection, stop=stop, as_json=as_json))
    _require_change(change)
    gate = GateSettings(None if queries is None else str(queries), split, metric, margin, segment=segment)
    prefill = Prefill(hot_first, adapter, None if query_log is None else str(query_log))
    how = MigrateSettings(gate, switch_if, without_proof, cpu_share, prefill=prefill, max_cost=max_cost)
    how = replace(how, interleave=InterleaveSettings(interleave_share)) if interleave else how
    raise typer.Exit(_MigrationJob(collection, change, how).run(foreground=foreground, as_json=as_json))


@dataclass(frozen=True)
class _MigrationJob:
    """A migration with its settings."""

    collection: Place
    change: Change
    settings: MigrateSettings

    def run(self, *, foreground: bool, as_json: bool) -> int:
        """Run the migration and print its outcome. Returns the exit code."""
        from gnomon.cli.rendering.migration import MigrationProgress
        from gnomon.cli.terminal import noted, print_notes

        if self._lacks_proof and not as_json:
            self._warn()
        with noted() as notes, MigrationProgress() as bar:
            found = self._run_in_foreground(bar) if foreground else self._follow(bar)
        if not as_json:
            print_notes(notes)
        if found is None:
            return LEFT
        return _show_outcome(found, as_json=as_json)

    @property
    def _lacks_proof(self) -> bool:
        """Whether nothing shows which version is better: neither judged queries nor clicks."""
        how = self.settings
        return how.gate.queries is None and how.switch_if != "never" and how.interleave is None

    def _run_in_foreground(self, bar: MigrationProgress) -> Migration:
        import gnomon
        from gnomon.cli.terminal import print_message
        from gnomon.collection.settings import CollectionSettings
        from gnomon.migrate.migration import run_migration
        from gnomon.migrate.throttle import throttle_for

        threads = throttle_for(self.settings.cpu_share).threads
        opened = CollectionSettings(threads=threads)
        with gnomon.open(self.collection, create=False, settings=opened, progress=print_message) as kb:
            return run_migration(kb, self.change, self.settings, on_state=bar.show, progress=print_message)

    def _follow(self, bar: MigrationProgress) -> Migration | None:
        """None after Ctrl-C: the build continues in the background."""
        from gnomon.cli.terminal import clean, notes_console, program
        from gnomon.migrate import follow, start

        started = start(self.collection, self.change, self.settings)
        try:
            return follow(started, bar.show)
        except KeyboardInterrupt:
            bar.close()
            kb = f"{program()} migrate {shlex.quote(str(self.collection))}"
            said = f"The build goes on in process {started.process.pid}. {kb} --status shows it, --stop ends it."
            notes_console().print(clean(said), soft_wrap=True)
            return None

    def _warn(self) -> None:
        from gnomon.cli.terminal import print_step

        if self.settings.without_proof:
            print_step("without --queries only breakage is detected: it is unknown whether the switch is a loss")
        else:
            print_step(
                "without --queries the version is built and checked for breakage, and not switched to: give "
                "--queries, or --without-proof"
            )


def _require_change(change: Change) -> None:
    """Raise InvalidInput for a migration that would change nothing."""
    from gnomon.migrate import Change

    if change == Change():
        raise InvalidInput(
            "nothing that is to change",
            expected="one or more of --to MODEL, --add-model MODEL, --remove-model MODEL, --chunk-tokens N, --dim N, "
            "--vector-type TYPE, --store ADDRESS and --set NAME=VALUE",
            hint="gnomon models lists models; --status shows how a migration stands",
        )


def _refuse(change: Change, queries: Path | None, *, status: bool, stop: bool) -> None:
    """Raise InvalidInput for options that would do nothing."""
    given = {
        "--to": change.to,
        "--chunk-tokens": change.chunk_tokens,
        "--set": change.retrieval,
        "--dim": change.dim,
        "--vector-type": change.vector_type,
        "--add-model": change.add_models or None,
        "--remove-model": change.remove_models or None,
        "--queries": queries,
    }
    idle = [name for name, value in given.items() if value is not None]
    if status and stop:
        raise InvalidInput("--status and --stop", expected="one of them", hint="leave one out")
    if idle:
        raise InvalidInput(
            f"{', '.join(idle)} with --{'status' if status else 'stop'}",
            expected="the collection alone",
            hint="leave it out",
        )


def _show_state(collection: Place, *, stop: bool, as_json: bool) -> int:
    """Print the state of a migration, or stop it. Returns the exit code."""
    import gnomon
    from gnomon.cli.rendering.migration import print_interleaving, print_migration
    from gnomon.cli.terminal import data_console, print_json
    from gnomon.migrate import embedding_coverage, interleaving_status, status, stop_interleaving
    from gnomon.migrate import stop as stopped

    with gnomon.open(collection, create=False) as kb:
        found = status(collection)
        if stop and (stop_interleaving(kb) is None or (found is not None and found.running)):
            found = stopped(collection)
        coverage = None
        if found is not None and found.version is not None and (found.adapter or found.order):
            coverage = embedding_coverage(kb, found.version)
        mixed = interleaving_status(kb)
    if as_json:
        more: dict[str, Any] = {}
        more |= {} if coverage is None else {"embedded": coverage.embedded, "pending": coverage.pending}
        more |= {} if mixed is None else {"interleaving": mixed.to_json()}
        print_json(None if found is None and mixed is None else {**(found.to_json() if found else {}), **more})
        return 0
    if found is not None:
        print_migration(data_console(), found, coverage)
    elif mixed is None:
        data_console().print(f"No migration of {collection} was begun.", soft_wrap=True)
    if mixed is not None:
        print_interleaving(data_console(), mixed)
    return 0


def _show_outcome(found: Migration, *, as_json: bool) -> int:
    """Print the gate's report and the outcome. Returns the exit code."""
    from gnomon.cli.rendering.migration import print_migration, print_report, read_report
    from gnomon.cli.terminal import data_console, print_json

    report = read_report(found)
    if as_json:
        print_json({**found.to_json(), "gate": report})
    else:
        if report is not None:
            print_report(data_console(), report)
        print_migration(data_console(), found)
    return {"refused": REFUSED, "stopped": LEFT}.get(str(found.outcome), 0)
