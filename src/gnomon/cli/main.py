"""The `gnomon` script: runs a command and turns errors into messages and exit codes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import typer

from gnomon.cli import (  # noqa: F401 - each registers its commands on the app
    adapt,
    adapter,
    ask,
    clicks,
    compare,
    demo,
    doctor,
    encode,
    eval,  # noqa: A004 - the command's name
    export,
    export_onnx,
    fields,
    imports,
    index,
    judge,
    keys,
    map,  # noqa: A004 - the command's name
    mcp,
    migrate,
    mine,
    models,
    monitor,
    plan,
    remove,
    search,
    serve,
    tables,
    train,
    versions,
    words,
)
from gnomon.cli.app import app, arrange
from gnomon.cli.renamed import with_new_names
from gnomon.cli.terminal import show_error
from gnomon.core.errors import GnomonError, InvalidInput, StorageError

arrange()


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (None: the process's own) and return its exit code.

    Errors of gnomon and of usage become a message on stderr; any other exception is a defect and is raised.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets "?", not a traceback
    as_json = not {"--json", "--events"}.isdisjoint(given)
    try:
        code = app(args=with_new_names(given), prog_name="gnomon", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except typer.TyperException as error:
        return show_error(_usage(error), as_json=as_json)
    except GnomonError as error:
        return show_error(error, as_json=as_json)
    except typer.Abort:
        return 130
    except OSError as error:  # a file that cannot be opened is no defect of the program
        if isinstance(error, BrokenPipeError):
            # The reader, such as `head`, has what it wanted. Python would flush once more when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        return show_error(_refused(error), as_json=as_json)


def _refused(error: OSError) -> StorageError:
    name = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return StorageError(
        f"{name}{error.strerror or error}",
        expected="files and folders that the system lets this user work with",
        hint="look at the name, at the permissions, and at the disk",
    )


def _usage(error: typer.TyperException) -> InvalidInput:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "gnomon"
    usage = " ".join(context.get_usage().split()).removeprefix("Usage: ") if context else ""
    return InvalidInput(error.format_message().rstrip("."), expected=usage, hint=f"{path} --help shows what it takes")
