"""Connecting to a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gnomon.core.errors import GnomonError, InvalidInput, ServerUnreachable, missing_extra
from gnomon.core.interrupts import held_interrupts
from gnomon.core.progress import Progress, ProgressCallback

_CONNECT_S = 3.0
_STORE_BYTES = 512 << 20
"""The object store of a cluster that is started here: what tasks have read and not yet embedded lies in it."""


@contextmanager
def connected(address: str, progress: ProgressCallback) -> Iterator[Any]:
    """The module ray, connected: to the cluster at HOST:PORT or ray://HOST:PORT; "auto": to the one that this machine
    is in, or else to one started here for the time of the block, without dashboard and usage reports; with
    RAY_ADDRESS=local always that.

    One that the caller is connected to already is used, and stays. Ctrl-C waits until a cluster has started, or ended;
    a second one does not. Raises InvalidInput without ray and for what is no address, ServerUnreachable.
    """
    if address != "auto":
        _require_answer(address)
    ray = _imported()
    if ray.is_initialized():
        yield ray
        return
    progress(Progress("connecting to Ray", message=f"Ray: {address}"))
    try:
        with held_interrupts():
            _init(ray, address)
        yield ray
    finally:
        with held_interrupts():
            ray.shutdown()


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise missing_extra("ray", extra="ray") from error
    return ray


def _init(ray: Any, address: str) -> None:
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "ignore_reinit_error": True}
    if address == "auto":
        named = os.environ.get("RAY_ADDRESS") or "auto"
        if named != "local":
            with contextlib.suppress(ConnectionError):
                ray.init(address=named, **quiet)
                return
        ray.init(address="local", include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
        return
    try:
        ray.init(address=address, **quiet)
    except GnomonError:
        raise
    except Exception as error:  # whatever another server at that port makes of it
        raise _unreachable(address, f"{type(error).__name__}: {error}") from error


def _require_answer(address: str) -> None:
    """Raise where nothing takes connections there: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InvalidInput(
            f"{address!r} as the address of a Ray cluster",
            expected="auto, HOST:PORT of its head, or ray://HOST:PORT",
            hint="ray status, on a machine of the cluster, shows the address",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, said: str) -> ServerUnreachable:
    return ServerUnreachable(
        f"no Ray cluster answers at {address}: {' '.join(said.split())[:300]}",
        expected="the address of its head, HOST:PORT",
        hint="ray status, on a machine of the cluster, shows it; --ray auto starts one on this machine",
    )
