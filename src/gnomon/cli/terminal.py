"""Writing to a terminal or a pipe: consoles, errors with their exit codes, and text that cannot play tricks."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from gnomon.core import errors
from gnomon.core.errors import (
    DamagedCatalog,
    DamagedPassages,
    GnomonError,
    LaggingStore,
    LostChanges,
    LowRecall,
    SkippedRows,
    TruncatedText,
    UnknownText,
    UnusedColumns,
    WordsOnly,
)
from gnomon.core.files import storage_error
from gnomon.core.progress import Progress

WRONG_INPUT, SURROUNDINGS, DAMAGE, GENERAL = 2, 3, 4, 1
# The first line whose kind fits decides.
CODES: tuple[tuple[type[GnomonError], int], ...] = (
    (errors.InvalidInput, WRONG_INPUT),
    (errors.SpaceMismatch, WRONG_INPUT),
    (errors.MissingPrompt, WRONG_INPUT),
    (errors.UnreadableFile, WRONG_INPUT),
    (errors.CollectionNotFound, WRONG_INPUT),
    (errors.StorageError, SURROUNDINGS),
    (errors.ForkedProcess, SURROUNDINGS),
    (errors.CollectionBusy, SURROUNDINGS),
    (errors.CollectionTooNew, SURROUNDINGS),
    (errors.ModelNotFound, SURROUNDINGS),
    (errors.ModelUnsupported, SURROUNDINGS),
    (errors.GenerationFailed, SURROUNDINGS),
    (errors.ProviderFailed, SURROUNDINGS),
    (errors.CostLimitReached, SURROUNDINGS),
    (errors.ServerUnreachable, SURROUNDINGS),
    (errors.CollectionDamaged, DAMAGE),
    (errors.StoreChanged, DAMAGE),
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

    shown = [
        (Text("error", style="bold red"), clean(error.message)),
        (Text("expected", style="dim"), clean(error.expected)),
        (Text("hint", style="bold"), clean(error.hint)),
    ]
    print_rows(notes_console(), [row for row in shown if row[1].plain])
    return exit_code(error)


@contextmanager
def output_errors(path: Path, *, option: str = "") -> Iterator[None]:
    """Turns what the disk refuses, while an output is written, into StorageError. `option` names another file."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path, kept=f"another file is named with {option}" if option else "") from error


def count(number: int) -> str:
    """1234567 as 1,234,567."""
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 file, 2 files, 2 queries."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def size(number: int) -> str:
    """Bytes in decimal units: 4.1 MB."""
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds as 3.2 ms, 4.1 s or 2 min 5 s."""
    if seconds < 1:
        return f"{1000 * seconds:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def rate(number: float, seconds: float) -> str:
    """A rate per second with meaningful digits; "-" where no time passed."""
    if seconds <= 0:
        return "-"
    value = number / seconds
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


WIDEST = 110  # longer lines are hard to read, however wide the terminal
# A document may hold escape sequences: shown as they are, they would move the cursor or recolour the screen.
_CONTROL = {code: " " for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"} | {9: " "}
# Marks that reverse the direction of what follows, up to the prompt.
_CONTROL |= dict.fromkeys((0x202A, 0x202B, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068), " ")


def program() -> str:
    """The command that runs gnomon again: its name if the shell finds it, else its path."""
    found, this = shutil.which("gnomon"), Path(sys.argv[0])
    if this.name != "gnomon" or (found and Path(found).resolve() == this.resolve()):
        return "gnomon"
    here = Path.cwd()
    return str(this.relative_to(here)) if this.is_relative_to(here) else str(this)


def data_console() -> Console:
    """Stdout, for results."""
    return _console(Console(highlight=False))


def notes_console() -> Console:
    """Stderr, for progress, notes and errors."""
    return _console(Console(stderr=True, highlight=False))


def _console(console: Console) -> Console:
    console.width = min(console.width, WIDEST)
    return console


def printable(text: str) -> str:
    """The text with control characters made spaces, one for one, so that offsets stay true."""
    return text.translate(_CONTROL)


def clean(text: str, style: str = "") -> Text:
    """Text of foreign origin, made safe to show."""
    return Text(printable(text), style=style)


def print_line(console: Console, line: Text) -> None:
    """One line: cut with an ellipsis at a terminal's edge, whole in a pipe."""
    if console.is_terminal:
        line = line.copy()
        line.truncate(console.width, overflow="ellipsis")
    console.print(line, soft_wrap=True)


def print_hanging(console: Console, head: Text, body: Text) -> None:
    """A body wrapped to the right of its head; in a pipe a line stays a line."""
    indent = head.cell_len
    if console.is_terminal:
        parts = list(body.wrap(console, max(20, console.width - indent)))
    else:
        parts = list(body.split("\n"))
    for number, part in enumerate(parts):
        part.rstrip()
        console.print(Text.assemble(head if number == 0 else " " * indent, part), soft_wrap=True)


def print_rows(console: Console, rows: Sequence[tuple[Text, Text]], *, indent: int = 0) -> None:
    """Labels in one column, their texts beside them."""
    width = max((label.cell_len for label, _ in rows), default=0)
    for label, body in rows:
        gap = " " * (width - label.cell_len + 2)
        print_hanging(console, Text.assemble(" " * indent, label, gap), body)


def print_step(message: str) -> None:
    """One step that takes a while, on stderr."""
    notes_console().print(clean(message, style="dim"), soft_wrap=True)


def print_message(event: Progress) -> None:
    """A callback that shows the messages of an operation, such as what loading a model tries, on stderr."""
    if event.message:
        print_step(event.message)


def near(path: str) -> str:
    """A path below the working folder, relative to it; any other as it is."""
    return path.removeprefix(f"{Path.cwd()}{os.sep}")


def print_json(value: Any) -> None:
    """One JSON value on stdout, in plain ASCII: it survives every pipe."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False, default=str) + "\n")


_NOTED = (
    TruncatedText,
    UnknownText,
    SkippedRows,
    UnusedColumns,
    LaggingStore,
    LowRecall,
    DamagedPassages,
    DamagedCatalog,
    LostChanges,
    WordsOnly,
)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Collect gnomon's warnings as notes instead of letting Python print them with file and line."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        for category in _NOTED:
            warnings.simplefilter("always", category)
        yield notes
    for warning in caught:
        if issubclass(warning.category, _NOTED):
            if (said := str(warning.message)) not in notes:
                notes.append(said)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def print_notes(notes: Sequence[str]) -> None:
    """Notes on stderr."""
    console = notes_console()
    for note in notes:
        print_hanging(console, Text("note  ", style="yellow"), clean(note))
