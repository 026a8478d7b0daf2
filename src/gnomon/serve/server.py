"""Runs the application with uvicorn: one process, or several that share an address."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

from gnomon.core.errors import InvalidInput, StorageError, missing_extra
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.serve.blas_threads import one_blas_thread
from gnomon.serve.lifecycle import end_process, signals_ignored
from gnomon.serve.logs import log_to_stderr
from gnomon.serve.security.exposure import check_keys
from gnomon.serve.settings import ServeSettings

_BACKLOG = 2048

_WORKER_S = 120
"""Seconds that a worker process may take to load what it serves, or to answer its parent, before it is replaced."""


def serve(
    settings: ServeSettings,
    *,
    started: Callable[[str], None] = lambda address: None,
    progress: ProgressCallback = no_progress,
) -> None:
    """Serve until the process is told to end (SIGTERM, SIGINT); what runs then is finished.

    `progress` receives messages of what is opened and loaded. `started` is called with the address, such as
    "http://127.0.0.1:8080", before the first request is taken.
    Raises StorageError where the port is in use or not permitted, and what opening collections and models raises.
    """
    try:
        import uvicorn
        from uvicorn.supervisors import Multiprocess

        from gnomon.serve.app import create_app
        from gnomon.serve.observability.metrics import shared_metrics
        from gnomon.serve.state import CollectionRegistry, ServerState
    except ImportError:
        raise missing_extra("uvicorn", extra="serve") from None
    check_keys(settings.host, settings.keys)
    listening = bound(settings.host, settings.port)
    alone = settings.workers == 1
    # Opened here, so that what fails is one error and no worker's traceback.
    opened = None
    if alone:
        opened = ServerState(settings)
        opened.open(progress)
        log_to_stderr()
        one_blas_thread()
    else:
        with closing(CollectionRegistry(settings.collections)) as registry:
            registry.open()
        settings.to_environment()
    config = uvicorn.Config(
        create_app(settings, opened=opened, abandon=end_process) if alone else "gnomon.serve.app:app_of_worker",
        factory=not alone,
        workers=settings.workers,
        **connection_options(settings),
    )
    host, port = listening.getsockname()[:2]
    started(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    server = uvicorn.Server(config)
    with signals_ignored():
        if alone:
            server.run(sockets=[listening])
        else:
            with shared_metrics():
                Multiprocess(config, sockets=[listening]).run()


def connection_options(settings: ServeSettings) -> dict[str, Any]:
    """How uvicorn takes connections: options of its Config. An application runs safely only with these."""
    from gnomon.serve.connection import Connection

    return {
        "http": partial(Connection, limits=settings.limits),
        "ws": "none",
        "limit_concurrency": settings.limits.connections,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "timeout_worker_healthcheck": _WORKER_S,
        "timeout_graceful_shutdown": int(settings.limits.shutdown_seconds),
    }


def bound(host: str, port: int) -> socket.socket:
    """A listening address. Raises InvalidInput for a host that there is not, StorageError for a port in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, OverflowError) as error:
        raise InvalidInput(f"no address {host}:{port}", expected="a host of this machine, and a port") from error
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(_BACKLOG)  # from now on callers wait instead of being refused
    except OSError as error:
        listening.close()
        in_use = error.errno == errno.EADDRINUSE
        raise StorageError(
            f"port {port} of {host} is in use" if in_use else f"{host}:{port}: {error.strerror}",
            expected="a free port",
            hint="name another with --port, or let one be chosen with --port 0",
        ) from error
    listening.set_inheritable(True)
    return listening
