"""Progress on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from gnomon.cli.terminal import clean, count, counted, duration, near, notes_console, printable, rate
from gnomon.core.progress import Progress

LINE_INTERVAL_S = 5.0
"""Seconds between two plain lines."""
ETA_AFTER_S = 3.0
"""Seconds after which a time of arrival is worth showing."""


class ProgressBar:
    """Shows the events of a long operation; pass `update` as its `progress`.

    The bar is drawn from the first event on that is not a message, and removed at the end. Messages stay.
    With `show_stages` a pipe gets a line at the start of each stage too.
    """

    def __init__(self, console: Console | None = None, *, show_stages: bool = False) -> None:
        self.console, self._show_stages = console or notes_console(), show_stages
        self._started = self._printed = time.monotonic()
        self._first: Progress | None = None  # of the unit that is counted
        self._last = Progress("")
        self._stage = ""
        self._bar: RichProgress | None = None
        if self.console.is_terminal:
            spinner = SpinnerColumn(style="cyan")  # moves while a batch takes seconds
            bar = BarColumn(bar_width=24, complete_style="cyan", finished_style="cyan")
            figures = TextColumn("{task.fields[figures]}", markup=False)
            columns = (spinner, bar, figures, _Item())
            self._bar = RichProgress(*columns, console=self.console, transient=True, expand=True)
            self._task = self._bar.add_task("", total=None, figures="", item="")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.stop()

    def update(self, event: Progress) -> None:
        """Show an event."""
        if event.message:
            self.console.print(clean(event.message, style="dim"), soft_wrap=True)
            return
        now = time.monotonic()
        if event.unit:
            if self._first is None or event.unit != self._last.unit or event.done < self._last.done:
                self._started, self._first = now, event
            self._last = event
        figures = figures_text(event, now - self._started, before=self._first.done if self._first else 0)
        if self._bar:
            item = f"{event.stage} {printable(near(event.item))}".strip() if figures else ""
            self._bar.start()
            self._bar.update(
                self._task, total=event.total or None, completed=event.done, figures=figures or event.stage, item=item
            )
            return
        is_new = self._show_stages and event.stage != self._stage
        if is_new or now - self._printed >= LINE_INTERVAL_S:
            self._printed, self._stage = now, event.stage
            self.console.print(Text(": ".join(part for part in (event.stage, figures) if part)), soft_wrap=True)


def figures_text(event: Progress, elapsed_s: float, *, before: int = 0) -> str:
    """The counts and metrics of an event, its rate and the time left, in one line.

    `before` were done before the time that elapsed.
    """
    parts, done = [], event.done - before
    if event.unit and event.total:
        parts.append(f"{count(event.done)}/{counted(event.total, event.unit)}")
    elif event.unit and event.done:
        parts.append(counted(event.done, event.unit))
    for name, value in event.metrics.items():
        is_count = isinstance(value, int) and name.endswith("s")  # 12 chunks, but epoch 2
        parts.append(f"{count(int(value))} {name}" if is_count else f"{name} {value:.4g}")
    if event.unit and done and elapsed_s > 0:
        parts.append(f"{rate(done, elapsed_s)}/s")
        if event.total and event.done < event.total and elapsed_s >= ETA_AFTER_S:
            parts.append(f"{duration(elapsed_s * (event.total - event.done) / done)} left")
    return "  ".join(parts)


class _Item(ProgressColumn):
    """The stage and the file at hand, cut to the width that is left."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["item"], style="dim", no_wrap=True, overflow="ellipsis")


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Inside, the first Ctrl-C sets the event; the second interrupts at once, as usual."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def request_stop(_: int, __: FrameType | None) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, request_stop)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
