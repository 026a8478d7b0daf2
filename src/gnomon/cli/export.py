"""gnomon export: a collection as files for other tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import CollectionPlace, Place
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from gnomon.collection import Collection

To = Annotated[
    Path | None, typer.Option(help="Everything, as a new folder that ends in .parquet or .lance.", metavar="FOLDER")
]
OfVersion = Annotated[
    str | None, typer.Option(help="With --to: this version rather than the live one.", metavar="NAME")
]
Documents = Annotated[Path | None, typer.Option(help="All documents, as .parquet or .ndjson.", metavar="FILE")]
_SUFFIXES = (".parquet", ".ndjson", ".jsonl")


@app.command(epilog=example("gnomon export kb --to kb.parquet", "gnomon export kb --atlas kb.map.parquet"))
def export(
    collection: CollectionPlace,
    to: To = None,
    version: OfVersion = None,
    atlas: Annotated[
        Path | None, typer.Option(help="A Parquet file of passages on a map, for embedding-atlas.", metavar="FILE")
    ] = None,
    documents: Documents = None,
    chunks: Annotated[Path | None, typer.Option(help="All passages, as .parquet or .ndjson.", metavar="FILE")] = None,
    where: Annotated[
        str | None, typer.Option(help="Only documents that meet a condition, with --documents or --chunks.")
    ] = None,
    vectors: Annotated[bool, typer.Option("--vectors", help="The passages' vectors too.")] = False,
    projection: Annotated[
        Literal["pca", "umap"] | None, typer.Option(help="The map's; by default umap where it is ready.")
    ] = None,
    neighbours: Annotated[
        int, typer.Option(help="Nearest passages of each in the map's file; 0 for none.", min=0)
    ] = 15,
    as_json: Json = False,
) -> None:
    """Write a collection to files: all of it, passages on a map (embedding-atlas), documents, or passages with vectors.

    What --to writes is read by pyarrow and LanceDB, and by `gnomon import`. Needs the extra gnomon\\[data], and
    gnomon\\[lancedb] for .lance.
    """
    import gnomon
    from gnomon.cli.terminal import data_console, print_json

    target = _only([to, atlas, documents, chunks])
    whole = "--to" if to is not None else "--atlas" if atlas is not None else ""
    _refuse_together("--where", where is not None and whole != "", whole)
    _refuse_together("--version", version is not None and to is None, "anything but --to FOLDER")
    if to is not None:
        _refuse_together("--vectors", vectors, "--to, which has them")
        _export_all(collection, to, version, as_json=as_json)
        return
    with gnomon.open(collection, create=False) as kb:
        if atlas is not None:
            options = {"projection": projection, "neighbours": neighbours, "vectors": vectors}
            rows, more = _export_atlas(kb, atlas, options)
        else:
            rows, more = _write(kb, target, of_chunks=chunks is not None, where=where, vectors=vectors), {}
    if as_json:
        print_json({"file": str(target), "rows": rows, **more})
        return
    console = data_console()
    console.print(f"{target}, {rows:,} rows", highlight=False, markup=False, soft_wrap=True)
    if more:
        console.print(f"open it with {more['command']}", highlight=False, markup=False, soft_wrap=True)


def _refuse_together(option: str, is_given: bool, others: str) -> None:
    if is_given:
        raise InvalidInput(f"{option} with {others}", expected="options that go together", hint=f"leave {option} out")


def _export_atlas(kb: Collection, atlas: Path, options: dict[str, Any]) -> tuple[int, dict[str, str]]:
    from gnomon.cli.progress import ProgressBar
    from gnomon.map import export_atlas

    with ProgressBar() as bar:
        file = export_atlas(kb, atlas, progress=bar.update, **options)
    return file.rows, {"projection": file.projection, "command": file.command}


def _export_all(collection: Place, to: Path, version: str | None, *, as_json: bool) -> None:
    import gnomon
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import counted, data_console, print_json
    from gnomon.exchange import export_collection

    with gnomon.open(collection, create=False) as kb, ProgressBar() as bar:
        made = export_collection(kb, to, version=version, progress=bar.update)
    if as_json:
        print_json(made.to_json())
        return
    rows = f"{counted(made.documents, 'document')}, {counted(made.chunks, 'passage')}"
    text = f"{made.folder}, {rows} of {made.version}, vectors of {made.space} in {made.vectors}"
    data_console().print(text, highlight=False, markup=False, soft_wrap=True)


def _only(given: Sequence[Path | None]) -> Path:
    """The one file that was named."""
    targets = [path for path in given if path is not None]
    if len(targets) != 1:
        raise InvalidInput(
            f"{len(targets)} files to export to",
            expected="one of --to, --atlas, --documents and --chunks, with a name",
        )
    return targets[0]


def _write(kb: Collection, path: Path, *, of_chunks: bool, where: str | None, vectors: bool) -> int:
    from gnomon.core.files import replacing, storage_errors

    if path.suffix not in _SUFFIXES:
        raise InvalidInput(f"a file {path.name!r}", expected=f"one that ends in {', '.join(_SUFFIXES)}")
    table: Any = kb.to_arrow("chunks" if of_chunks else "documents", where=where, vectors=vectors)
    with storage_errors(path.parent), replacing(path) as beside:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            parquet.write_table(table, beside)
        else:
            with beside.open("w", encoding="utf-8", errors="surrogatepass") as file:
                for batch in table.to_batches(max_chunksize=1000):
                    file.writelines(json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in batch.to_pylist())
    return int(table.num_rows)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for NDJSON: metadata as an object, as it was added."""
    return {**row, "metadata": json.loads(row["metadata"])} if "metadata" in row else row
