"""gnomon doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.app import Json, app, example
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from gnomon.evolve.examining.store import StoreSettings

# Options of the one kind of place that say nothing of the other.
_FOREIGN = ("--model", "--texts", "--text", "--vector")

Sample = Annotated[
    int | None,
    typer.Option(help="Texts to encode again (200; of other stores 64).", metavar="N", show_default=False),
]
Models = Annotated[
    list[str] | None,
    typer.Option(help="Other stores: a model that may have made the vectors.", metavar="NAME"),
]
TextsFile = Annotated[
    Path | None,
    typer.Option(help="FAISS: the texts, one a line, or JSON lines.", metavar="FILE", show_default=False),
]


@app.command(
    epilog=example(
        "gnomon doctor kb",
        "gnomon doctor kb --fix",
        "gnomon doctor chroma/",
        "gnomon doctor index.faiss --texts texts.txt --model all-MiniLM-L6-v2",
        "gnomon doctor 'postgresql://user@host/db?table=items&vector=embedding&text=body'",
        "gnomon doctor http://localhost:6333/collections/items",
    )
)
def doctor(
    place: Annotated[
        str,
        typer.Argument(help="A collection's folder, or another store.", metavar="PLACE", show_default=False),
    ],
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be mended; documents are never touched.")
    ] = False,
    sample: Sample = None,
    model: Models = None,
    texts: TextsFile = None,
    text: Annotated[str, typer.Option(help="Other stores: the text's column.", metavar="COLUMN")] = "",
    vector: Annotated[str, typer.Option(help="Other stores: the vector's column.", metavar="COLUMN")] = "",
    as_json: Json = False,
) -> None:
    """Look what is in a collection, and what is wrong with it; or which model made another store's vectors.

    Other stores are only read: a Chroma or LanceDB folder, a FAISS index file, a table of PostgreSQL, a
    collection of Qdrant. Exit code 1 where there are errors.
    """
    from gnomon.cli.terminal import say
    from gnomon.evolve.examining.store import StoreSettings, is_store

    tell = _quiet if as_json else say
    if is_store(place):
        if fix:
            raise InvalidInput(
                f"--fix for {place}, which is no collection of gnomon's",
                wanted="a look: other stores are only read",
                next_step="leave --fix out",
            )
        settings = StoreSettings(text=text, vector=vector, texts=texts, say=tell)
        errors = _store(place, model or [], _sampled(settings, sample), as_json=as_json)
    else:
        given = zip(_FOREIGN, (model, texts, text, vector), strict=True)
        if named := [name for name, value in given if value]:
            raise InvalidInput(
                f"{', '.join(named)} for {place}, which is no other store",
                wanted="a place that is one, or no such option: a collection knows its models",
                next_step=f"gnomon doctor {place}",
            )
        errors = _own(place, sample, tell, fix=fix, as_json=as_json)
    if errors:
        raise typer.Exit(1)


def _own(place: str, sample: int | None, tell: Callable[[str], None], *, fix: bool, as_json: bool) -> int:
    import gnomon
    from gnomon.cli.show_health import print_examination
    from gnomon.cli.terminal import data_console, print_json
    from gnomon.evolve.examining.examination import SAMPLE, examine

    with gnomon.open(place, create=False) as kb:
        found = examine(kb, sample=SAMPLE if sample is None else sample, fix=fix, say=tell)
    if as_json:
        print_json(found.to_json())
    else:
        print_examination(data_console(), found)
    return found.errors


def _store(place: str, models: list[str], settings: StoreSettings, *, as_json: bool) -> int:
    from gnomon.cli.show_health import print_store
    from gnomon.cli.terminal import data_console, print_json
    from gnomon.evolve.examining.store import examine_store

    found = examine_store(place, models, settings)
    if as_json:
        print_json(found.to_json())
    else:
        print_store(data_console(), found)
    return found.errors


def _sampled(settings: StoreSettings, sample: int | None) -> StoreSettings:
    from dataclasses import replace

    return settings if sample is None else replace(settings, sample=sample)


def _quiet(_: str) -> None:
    return None
