"""Progress of mining, on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from gnomon.cli.progress import LINE_INTERVAL_S as EVERY_S
from gnomon.cli.terminal import count, rate


class MineBar:
    """Shows a stage, how much of it is done, and its speed. Give `update` as the progress function."""

    def __init__(self, console: Console) -> None:
        self._console, self._stage = console, ""
        self._started = self._said = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (SpinnerColumn(style="cyan"), BarColumn(bar_width=24, complete_style="cyan"))
            shown = TextColumn("{task.fields[figures]}")
            self._bar = Progress(*columns, shown, console=console, transient=True)
            self._task = self._bar.add_task("", total=None, figures="reading the data")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, stage: str, done: int, of: int) -> None:
        """Take note of how far a stage is."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started = stage, now
        figures = f"{stage}  {count(done)}/{count(of)}  {rate(done, now - self._started)}/s"
        if self._bar:
            self._bar.start()
            self._bar.update(self._task, total=of, completed=done, figures=figures)
        elif now - self._said >= EVERY_S:
            self._said = now
            self._console.print(figures, soft_wrap=True)
