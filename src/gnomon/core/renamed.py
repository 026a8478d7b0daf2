"""Old public names, kept for one minor version with a warning that says the new one."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def renamed(package: str, load: Callable[[str], Any], names: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` that also knows the old names of what it offers.

    `names` takes an old name to the new one: a name in the same package, or "other.package:name".
    """

    def get(name: str) -> Any:
        if name not in names:
            return load(name)
        place, _, new = names[name].rpartition(":")
        place = place or package
        warnings.warn(
            f"{package}.{name} is now {place}.{new}; the old name will be removed in 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(place), new)

    return get
