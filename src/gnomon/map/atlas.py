"""A collection as the Parquet file that embedding-atlas opens: chunks with positions, neighbours and metadata.

embedding-atlas (MIT, https://github.com/apple/embedding-atlas) takes the names of these columns on its command line.
Its column of neighbours holds structs of `ids`, which are row numbers from 0, and `distances`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gnomon.collection import Collection
from gnomon.core.batching import in_blocks
from gnomon.core.errors import InvalidInput, missing_extra
from gnomon.core.files import replacing, storage_errors
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.map.collection_map import CollectionMap
from gnomon.map.fits import PRINCIPAL, UMAP, ProjectionName

if TYPE_CHECKING:
    import pyarrow as pa

NEIGHBOURS = 15
_READ = 10_000


@dataclass(frozen=True, slots=True)
class AtlasFile:
    """What was written: the file, its rows, the projection in its columns x and y, and whether it has neighbours."""

    path: Path
    rows: int
    projection: ProjectionName
    has_neighbours: bool

    @property
    def command(self) -> str:
        """The command line that opens it."""
        neighbours = " --neighbors neighbors" if self.has_neighbours else ""
        return f"embedding-atlas {shlex.quote(str(self.path))} --text text --x x --y y{neighbours}"


def export_atlas(
    kb: Collection,
    path: str | Path,
    *,
    projection: ProjectionName | None = None,
    neighbours: int = NEIGHBOURS,
    vectors: bool = False,
    progress: ProgressCallback = no_progress,
) -> AtlasFile:
    """Write all chunks of the version that serves; `projection` is UMAP where it is ready, unless it is named.

    Columns: chunk_id, document, title, text, cluster (its words), x, y, one for each metadata field, and where asked
    for `neighbors` (exact: takes minutes for 100,000 chunks; 0 leaves them out) and `vector`. Raises InvalidInput for
    a negative number of neighbours, a projection that is not ready, and without pyarrow (extra "data").
    """
    target = Path(path)
    if neighbours < 0:
        raise InvalidInput(f"{neighbours} neighbours", expected="0 or more")
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise missing_extra("pyarrow", extra="data") from error
    drawn = CollectionMap(kb)
    state = drawn.state(progress=progress)
    ready = [each.name for each in state.projections if each.state == "ready"]
    chosen = projection or (UMAP if UMAP in ready else PRINCIPAL)
    points = drawn.points(chosen)
    table = kb.to_arrow("chunks", vectors=vectors)
    at, found = points.places(table.column("chunk_id").to_numpy())
    table = table.filter(pa.array(found)).drop_columns(["ordinal", "start", "end", "heading", "tokens"])
    if neighbours and len(at) != len(points):
        raise InvalidInput("documents changed during the export", expected="none to", hint="export again")
    labels = {each.cluster: each.text for each in state.clusters}
    columns: dict[str, Any] = {
        "cluster": pa.array([labels[code] for code in points.clusters[at].tolist()], pa.string()),
        "x": pa.array(points.positions[at, 0]),
        "y": pa.array(points.positions[at, 1]),
    }
    if neighbours:
        progress(Progress("neighbours", 0, len(at), "chunk"))
        columns["neighbors"] = _neighbour_column(drawn, neighbours)
    columns = (
        _document_columns(kb, table.column("document").to_pylist(), taken=[*table.column_names, *columns]) | columns
    )
    for name, values in columns.items():
        table = table.append_column(name, values)
    with storage_errors(target.parent), replacing(target) as beside:
        parquet.write_table(table, beside)
    return AtlasFile(target, table.num_rows, chosen, neighbours > 0)


def _neighbour_column(drawn: CollectionMap, count: int) -> pa.Array:
    import pyarrow as pa

    nearest, distances = drawn.neighbours(count)
    starts = pa.array(np.arange(len(nearest) + 1) * nearest.shape[1], pa.int32())
    ids = pa.ListArray.from_arrays(starts, pa.array(nearest.ravel(), pa.int64()))
    return pa.StructArray.from_arrays(
        [ids, pa.ListArray.from_arrays(starts, pa.array(distances.ravel(), pa.float32()))], ["ids", "distances"]
    )


def _document_columns(kb: Collection, documents: Sequence[str], *, taken: Sequence[str]) -> dict[str, pa.Array]:
    """Titles, and a column for each metadata field: numbers, or texts."""
    import pyarrow as pa

    metadata: dict[str, Mapping[str, Any]] = {}
    titles: dict[str, str] = {}
    for block in in_blocks(list(dict.fromkeys(documents)), _READ):
        for document in kb.get(block):
            metadata[document.id], titles[document.id] = document.metadata, document.title
    columns = {"title": pa.array([titles.get(each, "") for each in documents], pa.string())}
    for field in kb.fields.all():
        name = field.name if field.name not in (*taken, "title") else f"metadata_{field.name}"
        values = [metadata.get(each, {}).get(field.name) for each in documents]
        if field.type == "number":
            numbers = [value if isinstance(value, int | float) else None for value in values]
            columns[name] = pa.array([None if value is None else float(value) for value in numbers], pa.float64())
        else:
            columns[name] = pa.array([_text(value) for value in values], pa.string())
    return columns


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return ", ".join(map(str, value)) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)
