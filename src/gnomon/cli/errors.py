"""Errors on the terminal, and their exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gnomon.core import errors
from gnomon.core.errors import GnomonError

WRONG_INPUT, SURROUNDINGS, DAMAGE, GENERAL = 2, 3, 4, 1
# The first line whose kind fits decides.
CODES: tuple[tuple[type[GnomonError], int], ...] = (
    (errors.InvalidInput, WRONG_INPUT),
    (errors.SpaceMismatch, WRONG_INPUT),
    (errors.MissingPrompt, WRONG_INPUT),
    (errors.UnreadableFile, WRONG_INPUT),
    (errors.CollectionNotFound, WRONG_INPUT),
    (errors.StorageError, SURROUNDINGS),
    (errors.CollectionBusy, SURROUNDINGS),
    (errors.CollectionTooNew, SURROUNDINGS),
    (errors.ModelNotFound, SURROUNDINGS),
    (errors.ModelUnsupported, SURROUNDINGS),
    (errors.GenerationFailed, SURROUNDINGS),
    (errors.CollectionDamaged, DAMAGE),
    (errors.IndexDamaged, DAMAGE),
    (errors.WeightsMismatch, DAMAGE),
)


def exit_code(error: GnomonError) -> int:
    """The process's exit code for an error."""
    return next((code for kind, code in CODES if isinstance(error, kind)), GENERAL)


def error_json(error: GnomonError) -> dict[str, dict[str, str]]:
    """An error for scripts."""
    kind = type(error).__name__
    return {"error": {"kind": kind, "message": error.message, "expected": error.expected, "hint": error.hint}}


def show_error(error: GnomonError, *, as_json: bool) -> int:
    """Write an error to stderr, for people or as one line of JSON, and return its exit code."""
    if as_json:
        sys.stderr.write(json.dumps(error_json(error)) + "\n")
        return exit_code(error)
    from rich.text import Text

    from gnomon.cli.terminal import clean, notes_console, print_rows

    shown = [
        (Text("error", style="bold red"), clean(error.message)),
        (Text("expected", style="dim"), clean(error.expected)),
        (Text("hint", style="bold"), clean(error.hint)),
    ]
    print_rows(notes_console(), [row for row in shown if row[1].plain])
    return exit_code(error)


@contextmanager
def output_errors(path: Path, *, hint: str = "name another file") -> Iterator[None]:
    """Turns what the disk refuses, while an output is written, into StorageError."""
    try:
        yield
    except OSError as error:
        raise errors.StorageError(
            f"{path} cannot be written: {error.strerror or error}",
            expected="a folder with space and write permission",
            hint=hint,
        ) from error
