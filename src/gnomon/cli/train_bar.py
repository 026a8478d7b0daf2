"""Progress of a training run on stderr, and Ctrl-C as a wish to stop after the step at hand."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from gnomon.cli.terminal import count

if TYPE_CHECKING:
    from gnomon.train.progress import FitProgress

EVERY_S = 10.0
"""Seconds between two plain lines."""
_STAGES = {"checking": "reading the data", "evaluating": "evaluating the model", "saving": "saving the model"}


class TrainBar:
    """Shows loss, learning rate, examples a second and the dev figure: a bar, or a line now and then."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        from gnomon.cli.terminal import notes_console

        self._console = notes_console()
        self._said, self._stage = 0.0, ""
        self._bar: Progress | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(style="cyan"),
                BarColumn(bar_width=24, complete_style="cyan", finished_style="cyan"),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, figures="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, now: FitProgress) -> None:
        """Take note of how far the run is."""
        figures = _STAGES.get(now.stage) or (
            f"step {count(now.step)}/{count(now.of)}  loss {now.loss:.4f}  lr {now.lr:.2e}  "
            f"{now.speed:.1f} examples/s" + ("" if now.dev is None else f"  dev {now.dev:.4f}")
        )
        if self._bar:
            total = now.of if now.stage == "training" else None
            self._bar.update(self._task, total=total, completed=now.step, figures=figures)
        elif time.monotonic() - self._said >= EVERY_S or now.stage not in (self._stage, "training"):
            self._said, self._stage = time.monotonic(), now.stage
            self._console.print(figures, soft_wrap=True, highlight=False)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Inside, the first Ctrl-C sets the event; the second stops at once, as ever."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def wish(_: int, __: FrameType | None) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, wish)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
