"""gnomon map: a collection's map, made ahead of time and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import CollectionPlace


@app.command("map", epilog=example("gnomon map kb --umap --out map.png"))
def map_command(
    collection: CollectionPlace,
    umap: Annotated[
        bool, typer.Option("--umap", help="Fit UMAP too, which takes minutes; needs gnomon\\[map].")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="A picture: .png, .svg or .pdf; needs gnomon\\[plot].", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit the 2-D map of a collection, and list its clusters with the words that tell them apart.

    The map is kept in the collection's folder; the page of gnomon serve shows it.
    """
    import gnomon
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import count, data_console, print_json, print_rows
    from gnomon.map import CollectionMap

    with gnomon.open(collection, create=False) as kb, ProgressBar() as bar:
        drawn = CollectionMap(kb)
        drawn.state(progress=bar.update)
        if umap:
            drawn.fit_umap(progress=bar.update)
        state = drawn.state()
        has_umap = state.projections[1].state == "ready"
        if out is not None:
            from gnomon.map.plot import plot_map

            plot_map(drawn, out, projection="umap" if has_umap else "pca")
    if as_json:
        print_json({**state.to_json(), "picture": None if out is None else str(out)})
        return
    from rich.text import Text

    console = data_console()
    projections = "pca and umap" if has_umap else "pca"
    console.print(Text(f"{count(state.points)} passages of {state.version.name}: {projections}"))
    print_rows(console, [(Text(count(each.size)), Text(", ".join(each.words))) for each in state.clusters])
    if out is not None:
        console.print(Text(str(out)), soft_wrap=True)
