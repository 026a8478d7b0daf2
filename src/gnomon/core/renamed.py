"""Old public names, kept for one minor version with a warning that says the new one."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

C = TypeVar("C", bound=type)
P = ParamSpec("P")
R = TypeVar("R")


def renamed(package: str, load: Callable[[str], Any], names: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` that also knows the old names of what it offers.

    `names` takes an old name to the new one: a name in the same package, or "other.package:name".
    """

    def get(name: str) -> Any:
        if name not in names:
            return load(name)
        place, _, new = names[name].rpartition(":")
        place = place or package
        _warn(f"{package}.{name} is now {place}.{new}", stacklevel=2)
        return getattr(importlib.import_module(place), new)

    return get


def renamed_fields(**names: str) -> Callable[[C], C]:
    """A class decorator that keeps the old names (keys) of a dataclass's fields, with a warning: as arguments and
    as attributes to read.
    """

    def decorate(cls: C) -> C:
        init = cls.__init__  # type: ignore[misc]

        @functools.wraps(init)
        def init_with_old_names(self: Any, *arguments: Any, **given: Any) -> None:
            for old in names.keys() & given.keys():
                _warn(f"{cls.__name__}({old}=...) is now {names[old]}=...", stacklevel=2)
                given[names[old]] = given.pop(old)
            init(self, *arguments, **given)

        cls.__init__ = init_with_old_names  # type: ignore[misc]
        for old, new in names.items():
            setattr(cls, old, _old_attribute(cls, old, new))
        return cls

    return decorate


def renamed_argument(
    old: str, new: str, convert: Callable[[Any], Any] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator of a function or a class that keeps a keyword's old name, with a warning.

    `convert` makes the new value of the old one.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if isinstance(function, type):
            function.__init__ = decorate(function.__init__)  # type: ignore[misc]
            return function

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> R:
            if old in kwargs:
                _warn(f"{function.__qualname__.removesuffix('.__init__')}({old}=...) is now {new}=...", stacklevel=2)
                value = kwargs.pop(old)
                kwargs[new] = value if convert is None else convert(value)
            return function(*args, **kwargs)

        return wrapper

    return decorate


def _old_attribute(cls: type, old: str, new: str) -> property:
    def get(self: Any) -> Any:
        _warn(f"{cls.__name__}.{old} is now {new}", stacklevel=2)
        return getattr(self, new)

    return property(get)


def _warn(what: str, *, stacklevel: int) -> None:
    warnings.warn(f"{what}; the old name will be removed in 0.3", DeprecationWarning, stacklevel=stacklevel + 1)
