import inspect
import io
import json

import pytest
from rich.console import Console

from gnomon.cli import terminal
from gnomon.cli import terminal as cli_errors
from gnomon.cli.terminal import exit_code, show_error
from gnomon.core import errors
from gnomon.core.errors import CollectionNotFound, GnomonError

ERROR = CollectionNotFound(
    "there is no collection at nowhere",
    expected="a folder that `gnomon index` made",
    hint="make it: gnomon index PATH --into nowhere",
)


def test_an_error_says_what_came_what_was_wanted_and_what_to_do(capsys):
    assert show_error(ERROR, as_json=False) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error     there is no collection at nowhere\n"
        "expected  a folder that `gnomon index` made\n"
        "hint      make it: gnomon index PATH --into nowhere\n"
    )


def test_as_json_it_is_one_line_on_stderr(capsys):
    show_error(ERROR, as_json=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert json.loads(err) == {
        "error": {
            "kind": "CollectionNotFound",
            "message": "there is no collection at nowhere",
            "expected": "a folder that `gnomon index` made",
            "hint": "make it: gnomon index PATH --into nowhere",
        }
    }


def test_what_is_not_known_is_left_out(capsys):
    assert show_error(GnomonError("it broke"), as_json=False) == 1
    assert capsys.readouterr().err == "error  it broke\n"


def test_on_a_narrow_terminal_lines_wrap_beside_their_label(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(
        terminal, "notes_console", lambda: Console(file=out, width=40, force_terminal=True, color_system=None)
    )
    show_error(ERROR, as_json=False)
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["error     there is no collection at", "          nowhere"]
    assert max(map(len, lines)) <= 40


def test_an_error_cannot_play_tricks_with_the_terminal(capsys):
    show_error(GnomonError("file \x1b[2Jx\r.md"), as_json=False)
    assert capsys.readouterr().err == "error  file  [2Jx .md\n"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("InvalidInput", 2),
        ("InvalidVectors", 2),
        ("SpaceMismatch", 2),
        ("CollectionNotFound", 2),
        ("MissingPrompt", 2),
        ("UnreadableFile", 2),
        ("StorageError", 3),
        ("CollectionBusy", 3),
        ("CollectionTooNew", 3),
        ("ModelNotFound", 3),
        ("ModelUnsupported", 3),
        ("CollectionDamaged", 4),
        ("IndexDamaged", 4),
        ("WeightsMismatch", 4),
        ("NothingIndexed", 1),
        ("GnomonError", 1),
    ],
)
def test_exit_codes(kind, code):
    assert exit_code(getattr(errors, kind)("x")) == code


def test_every_error_has_an_exit_code_on_purpose():
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GnomonError)}
    decided = {kind for kind in kinds if any(issubclass(kind, known) for known, _ in cli_errors.CODES)}
    assert kinds - decided == {GnomonError, errors.NothingIndexed}
