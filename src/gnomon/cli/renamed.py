"""Old names of commands and options: they work for one minor version, with a line on stderr that says the new one."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Collection, Sequence

from gnomon.collection.address import redacted

COMMANDS = {"bridge": "adapter", "watch": "monitor"}
OPTIONS = {"migrate": {"--bridge": "--adapter", "--asked": "--query-log"}}
"""By the command's new name."""
EVAL = ("queries", "answers", "pseudo", "task")
TABLES = ("list", "add", "remove")
WORDS = ("train", "neighbours", "analogy", "convert")
_WITH_VALUE = {
    "tables": ("--name", "--table"),
    "words": ("--format", "--k", "-k"),
}
"""Options that are followed by a value, which is no argument of the command."""


def with_new_names(arguments: Sequence[str]) -> list[str]:
    """The command line with the new names of its command and options; what comes after "--" stays."""
    if not arguments:
        return []
    given = list(arguments)
    command = COMMANDS.get(given[0], given[0])
    if command in _REWRITES:
        result = _REWRITES[command](given)
    else:
        result = [command, *_renamed_options(given[1:], OPTIONS.get(command, {}))]
    if result != given:
        old, new = (shlex.join(["gnomon", *words]) for words in (given, result))
        sys.stderr.write(redacted(f"{old} is now: {new}; the old spelling will be removed in 0.3\n"))
    return result


def _renamed_options(arguments: Sequence[str], names: dict[str, str]) -> list[str]:
    result: list[str] = []
    for at, argument in enumerate(arguments):
        if argument == "--":
            return [*result, *arguments[at:]]
        name, equals, value = argument.partition("=")
        result.append(names.get(name, name) + equals + value)
    return result


def _eval(given: list[str]) -> list[str]:
    """Before 0.2 an option decided what was measured: --answers FILE, --task TASK, --pseudo."""
    rest = given[1:]
    if not rest or rest[0] in EVAL or _asks_for_help(rest):
        return given
    if len(rest) > 1 and not rest[0].startswith("-") and not rest[1].startswith("-"):
        return given  # a misspelled sub-command: the old spelling had one argument
    names = [argument.partition("=")[0] for argument in rest]
    if "--task" in names:
        kind, rest = _without_option(rest, "--task")
        return ["eval", "task", *rest, *kind]
    if "--answers" in names:
        return ["eval", "answers", *_renamed_options(rest, {"--answers": "--data"})]
    if "--pseudo" in names:
        return ["eval", "pseudo", *(argument for argument in rest if argument != "--pseudo")]
    return ["eval", "queries", *rest]


def _tables(given: list[str]) -> list[str]:
    """Before 0.2 the collection came first: COLLECTION [add FILE | remove NAME]."""
    rest = given[1:]
    if not rest or rest[0] in TABLES or _asks_for_help(rest):
        return given
    return _action_first("tables", rest, {"add": "add", "remove": "remove"}, default="list")


def _words(given: list[str]) -> list[str]:
    """Before 0.2 the vectors came first: VECTORS nearest WORD | analogy A B C | save PLACE."""
    rest = given[1:]
    if not rest or rest[0] in WORDS or _asks_for_help(rest):
        return given
    return _action_first("words", rest, {"nearest": "neighbours", "analogy": "analogy", "save": "convert"})


_REWRITES: dict[str, Callable[[list[str]], list[str]]] = {"eval": _eval, "tables": _tables, "words": _words}


def _action_first(command: str, rest: list[str], actions: dict[str, str], *, default: str = "") -> list[str]:
    """The command with its action before its first argument; as it is where it has no such action."""
    places = _argument_places(rest, _WITH_VALUE[command])
    if len(places) > 1 and rest[places[1]] in actions:
        action = actions[rest[places[1]]]
        return [command, action, *rest[: places[1]], *rest[places[1] + 1 :]]
    if len(places) == 1 and default:
        return [command, default, *rest]
    return [command, *rest]


def _argument_places(rest: Sequence[str], with_value: Collection[str]) -> list[int]:
    """Where arguments stand among options."""
    places: list[int] = []
    at = 0
    while at < len(rest):
        if rest[at] == "--":
            return [*places, *range(at + 1, len(rest))]
        if rest[at].startswith("-"):
            at += 2 if rest[at] in with_value else 1
            continue
        places.append(at)
        at += 1
    return places


def _without_option(rest: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """An option's value, if it has one, and the rest."""
    at = next(at for at, argument in enumerate(rest) if argument.partition("=")[0] == option)
    _, equals, value = rest[at].partition("=")
    if equals:
        return [value], [*rest[:at], *rest[at + 1 :]]
    return list(rest[at + 1 : at + 2]), [*rest[:at], *rest[at + 2 :]]


def _asks_for_help(rest: Sequence[str]) -> bool:
    return rest[0] in ("--help", "-h")
