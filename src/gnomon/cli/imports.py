"""gnomon import: a new collection of an exported one, or of another vector store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.app import Json, app, example

if TYPE_CHECKING:
    from gnomon.exchange import ImportReport


@app.command(
    "import",
    epilog=example(
        "gnomon import kb.parquet --into kb2",
        "gnomon import chroma/ --into kb --model all-MiniLM-L6-v2",
        "gnomon import http://localhost:6333/collections/docs --into kb --embed",
    ),
)
def import_command(
    source: Annotated[
        str,
        typer.Argument(
            help="What gnomon export --to wrote, a Chroma, LanceDB, LangChain or LlamaIndex folder, a FAISS index, "
            "postgresql://…?table=NAME, or http://…/collections/NAME (Qdrant).",
            metavar="SOURCE",
        ),
    ],
    into: Annotated[
        str,
        typer.Option(help="The new collection: a folder, or postgresql://HOST/DATABASE/NAME.", metavar="COLLECTION"),
    ],
    model: Annotated[
        str | None, typer.Option(help="The model that made the vectors, or is to; found by itself where it can be.")
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Embed the texts anew instead of taking vectors over.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what would be imported.")] = False,
    part: Annotated[str, typer.Option(help="Another store's collection or table, where it has several.")] = "",
    text: Annotated[str, typer.Option(help="The column of the texts.", metavar="COLUMN")] = "",
    vector: Annotated[str, typer.Option(help="The column of the vectors.", metavar="COLUMN")] = "",
    texts: Annotated[
        Path | None, typer.Option(help="The texts of a FAISS index, one a line or as JSON lines.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a collection of an exported one, or of another vector store.

    An exported collection comes back as it was. Another store's vectors are taken over only where the model that made
    them is found and makes a sample of them again; otherwise say --embed. All of it is imported, or nothing.
    """
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import print_json
    from gnomon.exchange import ImportSettings, import_collection

    settings = ImportSettings(model=model, check=check, embed=embed, part=part, text=text, vector=vector, texts=texts)
    with ProgressBar() as bar:
        made = import_collection(source, into, settings, progress=bar.update)
    if as_json:
        print_json(made.to_json())
    else:
        _print(made, check=check)


def _print(made: ImportReport, *, check: bool) -> None:
    from gnomon.cli.terminal import counted, data_console

    console = data_console()
    done = "would be imported" if check else "imported"
    lines = [
        f"{made.into}: {counted(made.documents, 'document')}, {counted(made.chunks, 'passage')} {done}, "
        f"vectors of {made.model} {'taken over' if made.vectors == 'taken' else 'made anew'}"
    ]
    if made.skipped:
        lines.append(f"{counted(made.skipped, 'row')} without text left out")
    for line in (*lines, *made.notes):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
