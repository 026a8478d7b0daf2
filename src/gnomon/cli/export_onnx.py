"""gnomon export-onnx."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from gnomon.cli.app import Json, app, example


@app.command("export-onnx", epilog=example("gnomon export-onnx models/my-modernbert"))
def export_onnx(
    model: Annotated[str, typer.Argument(help="The model's folder, or its hub id.", metavar="MODEL")],
    as_json: Json = False,
) -> None:
    """Write onnx/model.onnx into a model's folder, for families that gnomon runs from ONNX only.

    These are the families that docs/families.md does not list. The file is checked against the network. Needs the
    extra gnomon\\[export].
    """
    from gnomon.cli.terminal import data_console, print_json, print_step
    from gnomon.core.errors import missing_extra

    if importlib.util.find_spec("torch") is None:
        raise missing_extra("torch", extra="export")
    from gnomon.train import export_onnx as export

    print_step("exporting: this takes a minute or more")
    file = export(model)
    if as_json:
        print_json({"file": str(file), "bytes": file.stat().st_size})
    else:
        data_console().print(
            f"{file}, {file.stat().st_size / 1e6:,.1f} MB", highlight=False, markup=False, soft_wrap=True
        )
