"""Runs a function in a forked process, and has strace kill it, or let a system call fail, at a chosen call."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gnomon.core.errors import GnomonError

KINDS = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate"
_EVENT = re.compile(r"(\d+) +(\w+)\((.*)")
_PATHS = re.compile(r'<(/[^>]*)>|"(/[^"]*)"')
_LONG_S = 120

Acknowledge = Callable[[str], None]
Work = Callable[[Acknowledge], None]


@dataclass(frozen=True)
class Fault:
    """The `at`-th call of a kind in a thread, or of those on one path. `how` is a signal or an error of strace's."""

    kind: str
    at: int
    how: str = "signal=SIGKILL"
    path: str = ""  # in the folder that is worked on

    def arguments(self, folder: Path) -> list[str]:
        """strace's."""
        more = "+" if self.how.startswith("error") else ""  # a disk that is full stays full
        wanted = ["-e", f"trace={self.kind}", "-e", f"inject={self.kind}:{self.how}:when={self.at}{more}"]
        return [*wanted, "-P", str(folder / self.path)] if self.path else wanted


@dataclass(frozen=True)
class Outcome:
    """What the process acknowledged, and how it ended: "killed", "done", "refused: …" or "failed: …"."""

    acknowledged: tuple[str, ...]
    end: str


def run(work: Work, arguments: list[str] | None = None) -> Outcome:
    """Do the work in a child, under strace with these arguments where there are any."""
    said, saying = socket.socketpair()  # sending on it is none of the calls that are disturbed
    waits, goes = os.pipe()
    child = os.fork()
    if child == 0:
        said.close()
        os.close(goes)
        _child(work, waits, saying)
    saying.close()
    os.close(waits)
    tracer = None
    if arguments is not None:
        command = ["strace", "-f", "-q", "-p", str(child), *arguments]
        tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _wait_for_tracer(child, tracer)
    os.write(goes, b"go")
    os.close(goes)
    with said, said.makefile("rb") as stream:
        lines = stream.read().decode(errors="replace").split("\0")
    _, status = os.waitpid(child, 0)
    if tracer is not None:
        tracer.wait(_LONG_S)
    ends = [line for line in lines if line.startswith(("done", "refused", "failed"))]
    if os.WIFSIGNALED(status):
        by = os.WTERMSIG(status)
        end = "killed" if by == signal.SIGKILL else f"failed: signal {by}"
    else:
        end = ends[-1] if ends else f"failed: code {status}"
    return Outcome(tuple(line[1:] for line in lines if line.startswith("+")), end)


def _child(work: Work, waits: int, saying: socket.socket) -> None:
    """In the child: wait until strace is there, work, say how it ended."""

    def say(text: str) -> None:
        saying.sendall(text.encode() + b"\0")

    try:
        signal.alarm(_LONG_S)
        os.read(waits, 2)
        work(lambda what: say(f"+{what}"))
        say("done")
    except GnomonError as error:
        say(f"refused: {type(error).__name__}: {error.message}")
    except BaseException:  # noqa: BLE001 - all of them are what is counted
        say(f"failed: {traceback.format_exc()[-1500:]}")
    finally:
        os._exit(0)


def _wait_for_tracer(child: int, tracer: subprocess.Popen[bytes]) -> None:
    status = Path(f"/proc/{child}/status")
    end = time.monotonic() + _LONG_S
    while "\nTracerPid:\t0\n" in status.read_text():
        if tracer.poll() is not None or time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise OSError("strace cannot attach to a process here")
        time.sleep(0.001)


def unavailable() -> str:
    """Why faults cannot be injected here; "" where they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    try:
        outcome = run(lambda _: os.fsync(2), ["-e", "trace=fsync", "-e", "inject=fsync:signal=SIGKILL:when=1"])
    except OSError as error:
        return str(error)
    return "" if outcome.end == "killed" else "strace injects nothing here"


def faults(work: Work, folder: Path) -> list[Fault]:
    """Every call of the work that a kill can be aimed at: by its number among its thread's calls of the kind, and
    by its number among those on a path, for paths that are the same in every run.
    """
    with tempfile.NamedTemporaryFile("r") as listing:
        outcome = run(work, ["-y", "-s", "0", "-o", listing.name, "-e", f"trace={KINDS}"])
        if outcome.end != "done":
            raise RuntimeError(f"the work does not end by itself: {outcome.end}")
        lines = listing.read().splitlines()
    counts: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        if (event := _EVENT.match(line)) is None:
            continue
        thread, kind, rest = event.groups()
        counts[thread, kind, ""] += 1
        for path in {a or b for a, b in _PATHS.findall(rest) if (a or b).startswith(str(folder))}:
            if Path(path).name in _STABLE or Path(path).suffix in (".db", ".db-wal"):
                counts[thread, kind, os.path.relpath(path, folder)] += 1
    most: dict[tuple[str, str], int] = {}
    for (_, kind, path), count in counts.items():
        most[kind, path] = max(count, most.get((kind, path), 0))
    return [Fault(kind, at, path=path) for (kind, path), count in sorted(most.items()) for at in range(1, count + 1)]


_STABLE = {"meta.json", ".managed.json", "gnomon.json", "manifest.json", "state.json", "baseline.json"}
