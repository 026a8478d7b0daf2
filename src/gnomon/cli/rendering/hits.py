"""Hits on the terminal and as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

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


def place_text(hit: Hit) -> Text:
    """Source and character offsets, and how many more chunks of the document were found."""
    place = clean(f"{near(hit.source or hit.document)}:{hit.start}-{hit.end}", style="dim")
    if hit.more:
        place.append(f"  +{hit.more} more here", style="dim")
    return place


def hit_json(hit: Hit, rank: int) -> dict[str, Any]:
    """A hit for scripts; a stage that did not find it is null."""
    return {
        "rank": rank,
        "score": hit.score,
        "document": hit.document,
        "chunk": hit.chunk_id,
        "title": hit.title,
        "heading": list(hit.heading),
        "source": hit.source,
        "start": hit.start,
        "end": hit.end,
        "text": hit.text,
        "snippet": hit.snippet,
        "highlights": [list(span) for span in hit.highlights],
        "stages": {name: None if math.isnan(score) else score for name, score in hit.stages.items()},
        "metadata": dict(hit.metadata),
        "more": hit.more,
    }


def _collapsed(text: str) -> str:
    return re.sub(r"\s+", " ", printable(text))
