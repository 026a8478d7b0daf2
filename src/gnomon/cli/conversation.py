"""A conversation in a file: JSON lines of questions and answers, read and added to."""

from __future__ import annotations

import json
from pathlib import Path

from gnomon.answer.values import Turn
from gnomon.core.errors import InvalidInput, StorageError

EXAMPLE = '{"question": "…", "answer": "…"} a line'


def read(path: Path) -> tuple[Turn, ...]:
    """The turns so far, none where the file is not there yet. Raises InvalidInput for a line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        if path.parent.is_dir():
            return ()
        raise InvalidInput(
            f"no folder {path.parent}",
            wanted="a folder to keep the conversation in",
            next_step="make it first",
        ) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text", wanted=EXAMPLE) from None
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror}", wanted="a file to keep the conversation in"
        ) from error
    return tuple(_turn(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip())


def append(path: Path, question: str, answer: str) -> None:
    """Add a turn. Raises StorageError where the file cannot be written."""
    try:
        with path.open("a+b") as file:
            size = file.tell()
            file.seek(max(0, size - 1))
            # A last line without its end would swallow the turn.
            start = b"" if size == 0 or file.read(1) == b"\n" else b"\n"
            row = json.dumps({"question": question, "answer": answer}, ensure_ascii=False)
            file.write(start + row.encode("utf-8", "replace") + b"\n")
    except OSError as error:
        raise StorageError(
            f"the conversation cannot be kept in {path}: {error.strerror}",
            wanted="a file that can be written",
            next_step="free the disk or change the permissions, or name another file",
        ) from error


def _turn(line: str, where: str) -> Turn:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    turn = (row.get("question"), row.get("answer")) if isinstance(row, dict) else (None, None)
    if not (isinstance(turn[0], str) and isinstance(turn[1], str)):
        raise InvalidInput(
            f"{where}: no turn of a conversation",
            wanted=EXAMPLE,
            next_step="correct the line, or name another file",
        )
    return turn[0], turn[1]
