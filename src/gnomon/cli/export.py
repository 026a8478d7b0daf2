"""gnomon export: a collection as files for other tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from gnomon.collection import Collection

_SUFFIXES = (".parquet", ".ndjson", ".jsonl")


@app.command(epilog=example("gnomon export kb --atlas kb.parquet"))
def export(
    collection: Annotated[Path, typer.Argument(help="The collection's folder.", metavar="COLLECTION")],
    atlas: Annotated[
        Path | None, typer.Option(help="A Parquet file of passages on a map, for embedding-atlas.", metavar="FILE")
    ] = None,
    documents: Annotated[
        Path | None, typer.Option(help="All documents, as .parquet or .ndjson.", metavar="FILE")
    ] = None,
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
    """Write a collection to files: passages on a map (embedding-atlas), documents, or passages with vectors.

    Needs the extra gnomon\\[data].
    """
    import gnomon
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import data_console, print_json

    target = _only([atlas, documents, chunks])
    if atlas is not None and where is not None:
        raise InvalidInput("--where with --atlas", expected="a map of all documents", hint="leave --where out")
    with gnomon.open(collection, create=False) as kb:
        if atlas is not None:
            from gnomon.map import export_atlas

            with ProgressBar() as bar:
                file = export_atlas(
                    kb, atlas, projection=projection, neighbours=neighbours, vectors=vectors, progress=bar.update
                )
            rows, more = file.rows, {"projection": file.projection, "command": file.command}
        else:
            rows, more = _write(kb, target, of_chunks=chunks is not None, where=where, vectors=vectors), {}
    if as_json:
        print_json({"file": str(target), "rows": rows, **more})
        return
    console = data_console()
    console.print(f"{target}, {rows:,} rows", highlight=False, markup=False, soft_wrap=True)
    if more:
        console.print(f"open it with {more['command']}", highlight=False, markup=False, soft_wrap=True)


def _only(given: Sequence[Path | None]) -> Path:
    """The one file that was named."""
    targets = [path for path in given if path is not None]
    if len(targets) != 1:
        raise InvalidInput(
            f"{len(targets)} files to export to", expected="one of --atlas, --documents and --chunks, with a file"
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
