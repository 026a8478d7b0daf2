"""gnomon encode."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.terminal import output_errors
from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.core.files import replacing, write_atomic

if TYPE_CHECKING:
    from gnomon.core.contracts import Encoder

BLOCK = 4096
"""Texts encoded between two writes."""
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
    out: Annotated[
        Path | None, typer.Option(help="Write a .npy file, with the vectors' space beside it in .json.")
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
    from gnomon.encode import load_encoder

    if out is not None and out.suffix != ".npy":
        raise InvalidInput(f"--out {out}", expected="a name that ends with .npy")
    with noted() as notes, _opened(file) as lines:
        texts = _texts(lines, file)
        first = _block(texts)
        if not first:
            raise InvalidInput(f"{file} holds no text", expected="a text a line")
        encoder = load_encoder(model, progress=print_message)
        encoded = EncodingRun(encoder, role)
        blocks = encoded.blocks(first, texts)
        summary = _to_file(out, blocks, encoded) if out else _to_stdout(blocks, encoded)
    print_notes(notes)
    if out and as_json:
        print_json(summary | {"warnings": notes})
    else:
        made = f"{counted(summary['texts'], 'vector')} of {encoder.space.short}"
        where = f", written to {out} and {out.with_suffix('.json')}" if out else ""
        notes_console().print(clean(made + where, style="dim"), soft_wrap=True)


class EncodingRun:
    """Texts on their way through an encoder, and how many there were."""

    def __init__(self, encoder: Encoder, role: Role) -> None:
        self.encoder, self.role = encoder, role
        self.texts = self.truncated = 0

    def blocks(self, first: list[str], rest: Iterator[str]) -> Iterator[tuple[list[str], Any]]:
        """Texts with their vectors, float32 [texts, dim], a block at a time."""
        block = first
        while block:
            vectors = self.encoder.encode(block, role=self.role)
            self.texts += len(block)
            lengths = self.encoder.count_tokens(block, role=self.role)
            self.truncated += sum(length > self.encoder.max_tokens for length in lengths)
            yield block, vectors.data
            block = _block(rest)

    def summary(self) -> dict[str, Any]:
        """What a reader of the vectors must know."""
        return {
            "space": self.encoder.space.to_json(),
            "role": self.role,
            "texts": self.texts,
            "truncated": self.truncated,
        }


def _to_stdout(blocks: Iterator[tuple[list[str], Any]], encoded: EncodingRun) -> dict[str, Any]:
    for texts, vectors in blocks:
        # Nine digits tell any two float32 apart, and eight places of a unit vector's numbers are enough.
        for text, vector in zip(texts, vectors.astype(float).round(8).tolist(), strict=True):
            sys.stdout.write(json.dumps({"text": text, "vector": vector}) + "\n")
    return encoded.summary()


def _to_file(out: Path, blocks: Iterator[tuple[list[str], Any]], encoded: EncodingRun) -> dict[str, Any]:
    """Write both files, each as a whole. Raises StorageError."""
    import numpy as np

    rows = np.concatenate([vectors for _, vectors in blocks])
    summary = encoded.summary()
    with output_errors(out, option="--out"):
        with replacing(out) as beside, beside.open("wb") as file:
            np.save(file, rows)
        write_atomic(out.with_suffix(".json"), json.dumps(summary, indent=2) + "\n")
    return summary | {"out": str(out), "rows": len(rows)}


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
    return list(islice(texts, BLOCK))
