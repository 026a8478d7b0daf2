"""Which route answered, as logs and metrics name it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def route_template(scope: Mapping[str, Any]) -> str | None:
    """The address of the route that answered, with its parameters' names: never what a client wrote.

    None where no route did. Read after the request: the router writes into `scope` what it found.
    """
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str):
        return path
    if "endpoint" not in scope:
        return None
    mounted_at = str(scope.get("root_path", "")).removeprefix(str(scope.get("app_root_path", "")))
    if mounted_at:
        return f"{mounted_at}/{{path}}"
    return None if scope.get("path_params") else str(scope["path"])  # without parameters it is its own template
