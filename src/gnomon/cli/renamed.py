"""Old names of commands and options: they still work for one minor version, with a line on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence

COMMANDS = {"bridge": "adapter"}
OPTIONS = {"migrate": {"--bridge": "--adapter", "--asked": "--query-log"}}
"""By the command's new name."""


def with_new_names(arguments: Sequence[str]) -> list[str]:
    """The command line with the new names of its command and options; what comes after "--" stays."""
    if not arguments:
        return []
    command = _new(arguments[0], COMMANDS)
    options, result = OPTIONS.get(command, {}), [command]
    for at, argument in enumerate(arguments[1:], 1):
        if argument == "--":
            return [*result, *arguments[at:]]
        name, equals, value = argument.partition("=")
        result.append(_new(name, options) + equals + value if name in options else argument)
    return result


def _new(name: str, renamed: dict[str, str]) -> str:
    if name not in renamed:
        return name
    sys.stderr.write(f"{name} is now {renamed[name]}; the old name will be removed in 0.3\n")
    return renamed[name]
