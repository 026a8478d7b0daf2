"""gnomon search."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import CollectionPlace, Place
from gnomon.core.errors import ProviderFailed

if TYPE_CHECKING:
    from gnomon.collection import Collection
    from gnomon.core.ranking import Hit
    from gnomon.migrate import DualIndexRetriever
    from gnomon.migrate.adapter.retriever import FoundBy

Mode = Literal["hybrid", "dense", "lexical", "sparse"]
By = Literal["chunk", "document"]
Where = Annotated[
    str | None,
    typer.Option(
        help="Only documents that meet a condition: = != < <= > >= like in, is null, and, or, not. "
        "Fields: id, source (the path), title, media_type and what is in the metadata.",
        metavar="CONDITION",
    ),
]
Version = Annotated[
    str | None,
    typer.Option(
        help="Search this version instead of the live one. One that is being built answers through its "
        "embedding adapter: see gnomon migrate --adapter.",
        metavar="NAME",
    ),
]
_FOUND_BY: dict[FoundBy, str] = {"new": "new vectors", "adapter": "the adapter", "words": "words alone"}


@app.command(
    epilog=example(
        'gnomon search kb "how do I rotate the keys?"',
        "gnomon search kb rotate_keys --mode lexical --by document -k 3 --json",
        """gnomon search kb backups --where "id like 'docs/%' and year >= 2020\"""",
    )
)
def search(
    collection: CollectionPlace,
    query: Annotated[str, typer.Argument(help="A question, or words.", metavar="QUESTION")],
    k: Annotated[int, typer.Option("--k", "-k", help="How many hits.")] = 10,
    *,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="By meaning (dense), by word (lexical), by a sparse encoder's weights (sparse), or by all that the "
            "collection has; by default as it is set."
        ),
    ] = None,
    by: Annotated[By, typer.Option(help="Rank passages, or each document by its best one.")] = "chunk",
    where: Where = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show equal passages each by itself.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show each stage's score.")] = False,
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Search a collection."""
    from gnomon.cli.rendering.results import print_hits
    from gnomon.cli.terminal import counted, data_console, duration, noted, notes_console, print_json, print_notes

    started = time.perf_counter()
    with noted() as notes, _opened(collection, version, mode) as (kb, dual_index):
        if dual_index is None:
            _load(kb, mode, where)  # so that the two times can be told apart
        loaded = time.perf_counter()
        if dual_index is None:
            hits = kb.search(query, k=k, mode=mode, by=by, where=where, collapse=not show_all)
        else:
            hits = dual_index.search(query, k=k, by=by, where=where, collapse=not show_all)
        ended = time.perf_counter()
    if as_json:
        found = _json(hits, is_building=dual_index is not None)
        asked = {"query": query, "k": k, "mode": mode, "by": by, "where": where}
        times = {"seconds": round(ended - loaded, 6), "load_seconds": round(loaded - started, 6)}
        print_json({**asked, **times, "hits": found, "warnings": notes})
        return
    print_notes(notes)
    console = data_console()
    if not hits:
        console.print("Nothing found.", soft_wrap=True)
        return
    print_hits(console, hits, explain=explain)
    if dual_index is not None:
        console.print(f"\nFound by {_counts_found_by(hits)}.", soft_wrap=True)
    if console.is_terminal:
        took = f"{duration(ended - loaded)}, after {duration(loaded - started)} to load"
        notes_console().print(f"\n[dim]{counted(len(hits), 'hit')} in {took}[/dim]")


def _load(kb: Collection, mode: Mode | None, where: str | None) -> None:
    """Load what a search needs. A provider's failure the search itself says, and may do without."""
    with suppress(ProviderFailed):
        kb.retriever(mode, where=where)


@contextmanager
def _opened(
    collection: Place, version: str | None, mode: Mode | None
) -> Iterator[tuple[Collection, DualIndexRetriever | None]]:
    """The collection, and a retriever for a version that is still being built."""
    import gnomon
    from gnomon.cli.terminal import print_message

    if version is None:
        with gnomon.open(collection, create=False, progress=print_message) as kb:
            yield kb, None
        return
    with gnomon.open(collection, create=False, progress=print_message) as kb:
        kb.versions.get(version)  # one that is not there is said by name
        (info,) = [each for each in kb.versions.list() if each.name == version]
        if info.state == "building" and info.behind:
            from gnomon.migrate import dual_index_retriever

            yield kb, dual_index_retriever(kb, version, mode=mode)
            return
    with gnomon.open(collection, create=False, progress=print_message, version=version) as kb:
        yield kb, None


def _json(hits: Sequence[Hit], *, is_building: bool) -> list[dict[str, Any]]:
    from gnomon.cli.rendering.results import hit_json

    found = [hit_json(hit, rank) for rank, hit in enumerate(hits, 1)]
    if is_building:
        from gnomon.migrate import found_by

        found = [{**row, "side": found_by(hit)} for row, hit in zip(found, hits, strict=True)]
    return found


def _counts_found_by(hits: Sequence[Hit]) -> str:
    """How many hits were found by what."""
    from gnomon.migrate import found_by

    counts = Counter(found_by(hit) for hit in hits)
    return ", ".join(f"{_FOUND_BY[how]}: {counts[how]}" for how in _FOUND_BY if counts[how])
