"""Progress on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from gnomon.cli.show import near
from gnomon.cli.terminal import count, printable, rate
from gnomon.collection.reports import Progress

EVERY_S = 5.0
"""Seconds between two plain lines."""


class IndexBar:
    """Shows an index run, or queries, while it goes. Give `update` or `asked` as the progress function.

    With `early` False it is drawn from the first progress on: what is said before stands above it.
    """

    def __init__(self, console: Console, *, noun: str = "files", early: bool = True) -> None:
        self._console, self._noun, self._early = console, noun, early
        self._started = self._said = time.monotonic()
        self._bar: Bar | None = None
        if console.is_terminal:
            bar = BarColumn(bar_width=24, complete_style="cyan", finished_style="cyan")
            figures = TextColumn("{task.fields[figures]}")
            alive = SpinnerColumn(style="cyan")  # a batch may take seconds: it moves meanwhile
            self._bar = Bar(alive, bar, figures, _Where(), console=console, transient=True, expand=True)
            self._task = self._bar.add_task("", total=None, figures="looking", where="")

    def __enter__(self) -> Self:
        if self._bar and self._early:
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

    def update(self, step: Progress) -> None:
        """Take note of how far an index run is."""
        speed = rate(step.chunks, time.monotonic() - self._started)
        figures = f"{count(step.done)}/{count(step.files)} {self._noun}  {count(step.chunks)} chunks  {speed}/s"
        where = f"{step.stage} {printable(near(step.path))}".strip()
        self._show(step.done, step.files, figures, stage=step.stage, where=where)

    def asked(self, done: int, of: int) -> None:
        """Take note of how many queries are done."""
        speed = rate(done, time.monotonic() - self._started)
        self._show(done, of, f"{count(done)}/{count(of)} queries  {speed}/s", stage="searching")

    def _show(self, done: int, of: int, figures: str, *, stage: str, where: str = "") -> None:
        now = time.monotonic()
        if self._bar:
            self._bar.start()
            self._bar.update(self._task, total=of or None, completed=done, figures=figures, where=where)
        elif now - self._said >= EVERY_S:
            self._said = now
            self._console.print(f"{stage}: {figures}", soft_wrap=True)


class _Where(ProgressColumn):
    """The file at hand, in what room is left; its end says more than its beginning."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["where"], style="dim", no_wrap=True, overflow="ellipsis")
