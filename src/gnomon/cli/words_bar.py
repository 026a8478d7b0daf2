"""Progress of training word vectors, on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from gnomon.cli.progress import LINE_INTERVAL_S as EVERY_S
from gnomon.cli.terminal import rate

if TYPE_CHECKING:
    from gnomon.core.progress import Progress as Event


class WordBar:
    """Shows epochs and speed. Give `update` as the progress function."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = self._said = 0.0
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (SpinnerColumn(style="cyan"), BarColumn(bar_width=24, complete_style="cyan"))
            shown = TextColumn("{task.fields[figures]}")
            self._bar = Progress(*columns, shown, console=console, transient=True)
            self._task = self._bar.add_task("", total=None, figures="reading the texts")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, event: Event) -> None:
        """Take note of how far training is."""
        now = time.monotonic()
        self._started = self._started or now
        self._said = self._said or now
        done, whole = event.done, event.total or 1
        loss = f"  loss {event.metrics['loss']:.5f}" if "loss" in event.metrics else ""
        figures = f"epoch {event.metrics['epoch']:.0f}  {rate(done, now - self._started)}/s{loss}"
        if self._bar:
            self._bar.update(self._task, total=whole, completed=done, figures=figures)
        elif now - self._said >= EVERY_S:
            self._said = now
            self._console.print(f"training: {done / whole:.0%}  {figures}", soft_wrap=True)
