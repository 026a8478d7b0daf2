"""Parts that other packages add by entry points: found without importing them, loaded when they are used.

A package declares a plug-in in its pyproject.toml:

    [project.entry-points."gnomon.readers"]
    epub = "my_package.epub:read_epub"
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Group = Literal["gnomon.readers", "gnomon.encoders", "gnomon.chat_models", "gnomon.stores", "gnomon.vector_stores"]


def plugin_names(group: Group) -> tuple[str, ...]:
    """The names of the installed plug-ins of a group, sorted: in lower case, without a leading dot."""
    return tuple(sorted(_declared(group)))


def has_plugin(group: Group, name: str) -> bool:
    """Whether an installed package declares this name in this group; case and a leading dot do not count."""
    return _key(name) in _declared(group)


def load_plugin(group: Group, name: str) -> Callable[..., Any]:
    """The callable that an installed package declares under this name, its module imported now.

    Raises InvalidInput, naming the package, where nothing of that name is installed, where two packages
    declare it, and where it cannot be imported or is not callable.
    """
    entries = _declared(group).get(_key(name), ())
    if not entries:
        raise InvalidInput(
            f"no plug-in {name!r} is installed in the group {group}",
            expected=f"one of {', '.join(plugin_names(group))}" if _declared(group) else "a package that declares it",
            hint=f"install the package that declares an entry point {_key(name)!r} in the group {group}",
        )
    if len(entries) > 1:
        packages = " and ".join(sorted(_package(entry) for entry in entries))
        raise InvalidInput(
            f"{packages} both declare the plug-in {name!r} in the group {group}",
            expected="one package for each name",
            hint="uninstall one of them",
        )
    (entry,) = entries
    try:
        loaded: Callable[..., Any] = entry.load()
    except Exception as error:  # whatever the other package's import raises
        raise InvalidInput(
            f"the plug-in {name!r} of {_package(entry)} cannot be loaded: {type(error).__name__}: {error}",
            expected=f"{entry.value} to be importable",
            hint=f"update or uninstall {_package(entry)}",
        ) from error
    if not callable(loaded):
        raise InvalidInput(
            f"the plug-in {name!r} of {_package(entry)} is a {type(loaded).__name__}",
            expected=f"{entry.value} to be callable",
            hint=f"update or uninstall {_package(entry)}",
        )
    return loaded


@cache
def _declared(group: Group) -> dict[str, tuple[EntryPoint, ...]]:
    """The group's entry points by name. One package that is found twice on the path counts once."""
    from importlib import metadata  # 30 ms, which a search that needs no plug-in does not wait for

    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for entry in metadata.entry_points(group=group):
        found.setdefault(_key(entry.name), {})[_package(entry), entry.value] = entry
    return {name: tuple(entries.values()) for name, entries in found.items()}


def _key(name: str) -> str:
    return name.lower().lstrip(".")


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value.partition(":")[0]
