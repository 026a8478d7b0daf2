"""Hits and answers on the terminal and as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from gnomon.answer.quotable import is_block
from gnomon.answer.response_parser import ResponseParser
from gnomon.answer.types import (
    Answer,
    AnswerDone,
    AnswerEvent,
    Passage,
    PassagesFound,
    Sentence,
    SentenceVerified,
    TextDelta,
)
from gnomon.cli.terminal import clean, near, print_hanging, print_line, printable
from gnomon.core.ranking import Hit

MATCH = "bold yellow"


def print_hits(console: Console, hits: Sequence[Hit], *, explain: bool = False) -> None:
    """Ranked hits: rank, title and score; the snippet with its matches; where it stands."""
    width = len(str(len(hits))) + 1
    for rank, hit in enumerate(hits, 1):
        if rank > 1:
            console.print()
        margin = Text(" " * (width + 2))
        _print_head(console, Text(f"{rank:>{width}}  ", style="cyan"), hit)
        print_hanging(console, margin, snippet_text(hit))
        if explain and hit.stages:
            print_hanging(console, margin, stages_text(hit))
        print_line(console, Text.assemble(margin, place_text(hit)))


def _print_head(console: Console, rank: Text, hit: Hit) -> None:
    title = clean(hit.title or near(hit.document), style="bold")
    path = [part for part in hit.heading if part != hit.title]
    if path:
        title = Text.assemble(title, clean(" › " + " › ".join(path)))
    score = Text(f"{hit.score:.3f}", style="dim")
    if not console.is_terminal:
        print_line(console, Text.assemble(rank, title, "  ", score))
        return
    room = console.width - rank.cell_len - score.cell_len - 2
    title.truncate(room, overflow="ellipsis", pad=True)
    print_line(console, Text.assemble(rank, title, "  ", score))


def snippet_text(hit: Hit) -> Text:
    """The snippet on one line with its matches styled, and an ellipsis where the chunk goes on."""
    shown = Text()
    at = 0
    flat, part = " ".join(hit.text.split()), " ".join(hit.snippet.split())
    if not flat.startswith(part):
        shown.append("…", style="dim")
    for start, end in hit.highlights:
        shown.append(_collapsed(hit.snippet[at:start]))
        shown.append(_collapsed(hit.snippet[start:end]), style=MATCH)
        at = end
    shown.append(_collapsed(hit.snippet[at:]))
    if not flat.endswith(part):
        shown.append("…", style="dim")
    return shown


def stages_text(hit: Hit) -> Text:
    """Each stage's own score; a stage that did not find the chunk has none."""
    shown = (f"{name} {'-' if math.isnan(score) else f'{score:.3f}'}" for name, score in sorted(hit.stages.items()))
    return Text("  ".join(shown), style="cyan")


_COPIES = 3


def place_text(hit: Hit) -> Text:
    """Where the hit stands in its file, and how many more chunks of the document were found."""
    place = clean(_place(hit), style="dim")
    if hit.more:
        place.append(f"  +{hit.more} more here", style="dim")
    if hit.copies:
        also = ", ".join(map(near, hit.copies[:_COPIES]))
        also += f" and {len(hit.copies) - _COPIES:,} more" if len(hit.copies) > _COPIES else ""
        place.append_text(clean(f"  the same in {also}", style="dim"))
    return place


def _place(found: Hit | Passage) -> str:
    """The file with lines, as editors take them, or with a page or row; character offsets where that is unknown."""
    file, location = near(found.source or found.document), found.location
    if location is None:
        return f"{file}, characters {found.start}-{found.end}"
    if location.unit == "line":
        return f"{file}:{location.first}" + (f"-{location.last}" if location.last > location.first else "")
    return f"{file}, {location}"


def hit_json(hit: Hit, rank: int) -> dict[str, Any]:
    """A hit for scripts; a score that is no number is null."""
    plain: dict[str, Any] = _plain(hit.to_json())
    return {"rank": rank, **plain}


def _collapsed(text: str) -> str:
    return re.sub(r"\s+", " ", printable(text))


NOT_SUPPORTED = "[not supported by the passages]"
LENGTH = 240
"""Characters of a passage that are shown around what was cited of it."""
_LEAD = 60
_EVENT_NAMES: dict[type[AnswerEvent], str] = {
    PassagesFound: "found",
    TextDelta: "piece",
    SentenceVerified: "checked",
    AnswerDone: "done",
}


def print_answer(console: Console, answer: Answer) -> None:
    """The answer, or why there is none; then the passages, those first that the answer cites."""
    if answer.outcome in ("not in these documents", "possible"):
        console.print(_reservation(answer), soft_wrap=True)
        if answer.sentences:
            console.print()
    if answer.sentences:
        print_hanging(console, Text(), answer_text(answer.text, answer.sentences))
    if answer.dropped:
        left = f"{len(answer.dropped)} unsupported sentence{'s' if len(answer.dropped) > 1 else ''} left out"
        console.print(Text(f"({left})", style="dim"), soft_wrap=True)
    for number, (passage, spans) in enumerate(_cited_first(answer)):
        if number or answer.text or answer.dropped or answer.outcome != "failed":
            console.print()
        _print_passage(console, passage, spans)


def _reservation(answer: Answer) -> Text:
    """What is said before the passages where no answer is given plainly."""
    if answer.outcome == "possible":
        wanted = f"confidence {answer.confidence:.2f}; an answer is given plainly from {answer.answer_threshold:.2f} on"
        return Text.assemble(("Perhaps here", "bold"), f" ({wanted}):")
    shown = " The best passages all the same:" if answer.passages and not answer.sentences else ""
    return Text.assemble(("Not in these documents", "bold"), f": {why_not(answer)}.{shown}")


def _cited_first(answer: Answer) -> list[tuple[Passage, tuple[tuple[int, int], ...]]]:
    """The passages with the spans that are cited of each; those with any first, else by their numbers."""
    found = [(passage, cited(answer.sentences, passage)) for passage in answer.passages]
    return sorted(found, key=lambda one: not one[1])


def why_not(answer: Answer) -> str:
    """Why an answer is "not in these documents", in a few words."""
    if not answer.passages:
        return "nothing was found"
    if answer.sentences or answer.dropped:
        return "the passages support nothing of what the language model wrote"
    if answer.confidence < answer.threshold and not any(passage.row for passage in answer.passages):
        return (
            f"the passages are too unlikely to hold an answer "
            f"({answer.confidence:.2f}, at least {answer.threshold:.2f} is wanted)"
        )
    return "the language model found no answer in the passages" if answer.model else "nothing can be quoted"


def answer_text(text: str, sentences: Sequence[Sentence]) -> Text:
    """An answer's text with the numbers of the cited passages after each sentence."""
    shown, at = Text(), 0
    for sentence in sentences:
        shown.append(clean(text[at : sentence.start]))
        shown.append(sentence_text(sentence))
        at = sentence.end
    return shown.append(clean(text[at:]))


def sentence_text(sentence: Sentence) -> Text:
    """A sentence and its citations, or the words that it has none."""
    if not sentence.supported:
        return Text.assemble(clean(_flat(sentence.text), style="dim"), (f" {NOT_SUPPORTED}", "yellow"))
    numbers = dict.fromkeys(citation.passage for citation in sentence.citations)
    marks = "".join(f"[{number}]" for number in numbers)
    after = "\n" if sentence.text.endswith(("```", "~~~")) else " "
    return clean(_flat(sentence.text)).append(f"{after}{marks}", style="cyan")


def _flat(text: str) -> str:
    """On one line, but for code and lists."""
    return text if is_block(text) else re.sub(r"\s+", " ", text)


def cited(sentences: Sequence[Sentence], passage: Passage) -> tuple[tuple[int, int], ...]:
    """The spans of a passage's text that sentences cite, in order, those that touch made one."""
    spans = sorted(
        (citation.start - passage.start, citation.end - passage.start)
        for sentence in sentences
        for citation in sentence.citations
        if citation.passage == passage.number
    )
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def _print_passage(console: Console, passage: Passage, spans: Sequence[tuple[int, int]]) -> None:
    mark = Text(f"[{passage.number}]  ", style="cyan" if spans else "dim")
    margin = Text(" " * mark.cell_len)
    title = clean(passage.title or near(passage.document), style="bold")
    path = [part for part in passage.heading if part != passage.title]
    if path:
        title = Text.assemble(title, clean(" › " + " › ".join(path)))
    print_line(console, Text.assemble(mark, title, "  ", Text(f"{passage.score:.3f}", style="dim")))
    print_hanging(console, margin, quoted_text(passage.text, spans))
    place = passage.document if passage.row else _place(passage)
    print_line(console, Text.assemble(margin, clean(place, style="dim")))


def quoted_text(text: str, spans: Sequence[tuple[int, int]]) -> Text:
    """The stretch of a passage around what was cited, which is styled; its beginning where nothing was."""
    first = max(0, spans[0][0] - _LEAD) if spans else 0
    start = text.find(" ", first) + 1 if 0 < first < (spans[0][0] if spans else 0) else first
    last = max(start + LENGTH, min(spans[0][1], start + 3 * LENGTH) if spans else 0)
    end = len(text) if last >= len(text) else max(text.rfind(" ", start, last), start + LENGTH // 2)
    shown = Text()
    if start > 0:
        shown.append("…", style="dim")
    at = start
    for left, right in spans:
        left, right = min(max(left, at), end), min(right, end)
        if left < right:
            shown.append(_collapsed(text[at:left])).append(_collapsed(text[left:right]), style=MATCH)
            at = right
    shown.append(_collapsed(text[at:end]).rstrip())
    return shown.append("…", style="dim") if end < len(text) else shown


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer for scripts; figures that are none are null."""
    plain: dict[str, Any] = _plain(answer.to_json())
    return plain


def event_json(event: AnswerEvent) -> str:
    """An event on one line: its kind, and its fields."""
    plain = _plain(asdict(event))
    return json.dumps({"event": _EVENT_NAMES[type(event)], **plain}, allow_nan=False, default=str) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class LiveAnswer:
    """Shows an answer on a terminal as it is written, unverified text dimmed; removed when the answer is complete."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=12, transient=True)
        self._parser, self._text = ResponseParser(), ""
        self._sentences: list[Sentence] = []
        self._waiting: list[str] = []  # sentences that are whole and not yet verified

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, event: AnswerEvent) -> None:
        """Show an event."""
        if isinstance(event, TextDelta):
            self._waiting += [said.text for said in self._parser.add(event.text)]
        elif isinstance(event, SentenceVerified):
            one = event.sentence
            if one.text not in self._waiting:  # the last one: the reply has ended
                self._waiting += [said.text for said in self._parser.rest(cut_off=False)]
            if one.text in self._waiting:
                self._waiting = self._waiting[self._waiting.index(one.text) + 1 :]
            self._text += " " * (one.start - len(self._text)) + one.text
            self._sentences.append(one)
        self._live.update(self._last_lines())

    def _last_lines(self) -> Text:
        """What fits on the screen, the newest at the bottom."""
        shown = answer_text(self._text, self._sentences)
        for text in (*self._waiting, self._parser.pending):
            shown.append(" ").append(clean(text, style="dim"))
        lines = list(shown.wrap(self._console, self._console.width))
        return Text("\n").join(lines[-max(1, self._console.height - 1) :])
