"""An answer as it is written: what is verified, and dimly what is not yet."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from gnomon.answer.response_parser import Reply
from gnomon.answer.types import Checked, Event, Piece, Sentence
from gnomon.cli.show_answer import answer_text
from gnomon.cli.terminal import clean


class Writing:
    """Shows events on a terminal while they come, and is gone when the answer is whole."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=12, transient=True)
        self._reply, self._text = Reply(), ""
        self._sentences: list[Sentence] = []
        self._waiting: list[str] = []  # sentences that are whole and not yet verified

    def __enter__(self) -> Writing:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, Piece):
            self._waiting += [said.text for said in self._reply.add(event.text)]
        elif isinstance(event, Checked):
            one = event.sentence
            if one.text not in self._waiting:  # the last one: the reply has ended
                self._waiting += [said.text for said in self._reply.rest(cut_off=False)]
            if one.text in self._waiting:
                self._waiting = self._waiting[self._waiting.index(one.text) + 1 :]
            self._text += " " * (one.start - len(self._text)) + one.text
            self._sentences.append(one)
        self._live.update(self._last_lines())

    def _last_lines(self) -> Text:
        """What fits on the screen, the newest at the bottom."""
        shown = answer_text(self._text, self._sentences)
        for text in (*self._waiting, self._reply.pending):
            shown.append(" ").append(clean(text, style="dim"))
        lines = list(shown.wrap(self._console, self._console.width))
        return Text("\n").join(lines[-max(1, self._console.height - 1) :])
