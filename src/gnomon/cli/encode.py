"""gnomon encode."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.plan import Dim
from gnomon.cli.terminal import output_errors
from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.core.files import write_atomic

if TYPE_CHECKING:
    from gnomon.core.contracts import Encoder

Role = Literal["document", "query"]


@app.command(
    epilog=example(
        "gnomon encode --model all-MiniLM-L6-v2 texts.txt --out vectors.npy",
        "echo 'how do I rotate the keys?' | gnomon encode --model all-MiniLM-L6-v2 - --role query",
    )
)
def encode(
    file: Annotated[Path, typer.Argument(help="A text a line, in UTF-8; - reads standard input.", metavar="FILE")],
    model: Annotated[str, typer.Option(help="A name from `gnomon models`, PROVIDER:MODEL, a hub id or a folder.")],
    role: Annotated[Role, typer.Option(help="What the texts are: it decides the prompt.")] = "document",
    *,
    dim: Dim = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a .npy file, with the vectors' space beside it in .json; the same command goes on "
            "where it was cut off."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn texts into vectors: JSON lines on stdout, or a .npy file."""
    from gnomon.cli.terminal import (
        clean,
        counted,
        noted,
        notes_console,
        print_json,
        print_message,
        print_notes,
    )
    from gnomon.encode import EncoderSettings, load_encoder

    if out is not None and out.suffix != ".npy":
        raise InvalidInput(f"--out {out}", expected="a name that ends with .npy")
    with noted() as notes, _opened(file) as lines:
        texts = _texts(lines, file)
        first = _block(texts)
        if not first:
            raise InvalidInput(f"{file} holds no text", expected="a text a line")
        encoder = load_encoder(model, settings=EncoderSettings(dim=dim), progress=print_message)
        every = chain(first, texts)
        summary = _to_file(out, every, encoder, role=role) if out else _to_stdout(every, encoder, role)
    print_notes(notes)
    if out and as_json:
        print_json(summary | {"warnings": notes})
    else:
        made = f"{counted(summary['texts'], 'vector')} of {encoder.space.short}"
        where = f", written to {out} and {out.with_suffix('.json')}" if out else ""
        notes_console().print(clean(made + where, style="dim"), soft_wrap=True)


def _to_stdout(texts: Iterator[str], encoder: Encoder, role: Role) -> dict[str, Any]:
    count = truncated = 0
    while block := _block(texts):
        vectors = encoder.encode(block, role=role).data
        # Nine digits tell any two float32 apart, and eight places of a unit vector's numbers are enough.
        for text, vector in zip(block, vectors.astype(float).round(8).tolist(), strict=True):
            sys.stdout.write(json.dumps({"text": text, "vector": vector}) + "\n")
        lengths = encoder.count_tokens(block, role=role)
        count, truncated = count + len(block), truncated + sum(each > encoder.max_tokens for each in lengths)
    return _summary(encoder, role, count, truncated=truncated)


def _to_file(out: Path, texts: Iterator[str], encoder: Encoder, *, role: Role) -> dict[str, Any]:
    """Write both files, each as a whole. Raises StorageError."""
    from gnomon.cli.progress import ProgressBar
    from gnomon.encode.vector_file import encode_to_file

    with output_errors(out, option="--out"):
        with ProgressBar() as bar:
            count, truncated = encode_to_file(encoder, texts, role=role, out=out, progress=bar.update)
        summary = _summary(encoder, role, count, truncated=truncated)
        write_atomic(out.with_suffix(".json"), json.dumps(summary, indent=2) + "\n")
    return summary | {"out": str(out), "rows": count}


def _summary(encoder: Encoder, role: Role, texts: int, *, truncated: int) -> dict[str, Any]:
    """What a reader of the vectors must know; what a server charged for them, where one did."""
    spent = getattr(encoder, "usage", None)
    usage = {} if spent is None else {"usage": asdict(spent)}
    return {"space": encoder.space.to_json(), "role": role, "texts": texts, "truncated": truncated, **usage}


def _opened(file: Path) -> BinaryIO:
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        raise UnreadableFile(
            f"{file} cannot be read: {error.strerror or error}",
            expected="a file with a text a line, or - for standard input",
            hint="check the path",
        ) from error


def _texts(lines: BinaryIO, file: Path) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"line {number} of {file} is not UTF-8: {error.reason} at byte {error.start}",
                expected="UTF-8",
                hint=f"convert it: iconv -f latin1 -t utf-8 {file}",
            ) from error


def _block(texts: Iterator[str]) -> list[str]:
    from gnomon.encode.vector_file import BLOCK

    return list(islice(texts, BLOCK))
