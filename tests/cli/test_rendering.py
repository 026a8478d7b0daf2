import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gnomon.cli.rendering.results import hit_json, print_hits, snippet_text
from gnomon.cli.terminal import printable
from gnomon.core.locations import Location
from gnomon.core.ranking import Hit


def a_hit(**changes):
    text = "Wait for all of them. Then  collect\nthe results in order."
    plain = {
        "chunk_id": 7,
        "document": "docs/guide.md",
        "score": 0.87654,
        "text": text,
        "snippet": "Wait for all of them. Then  collect the results",
        "highlights": ((0, 4), (28, 35)),
        "start": 120,
        "end": 176,
        "title": "Guide",
        "heading": ("Guide", "Running", "Together"),
        "source": "docs/guide.md",
        "location": Location("line", 12, 14),
        "stages": {"lexical": 3.25, "dense": 0.5},
    }
    return Hit(**{**plain, **changes})


def shown(*hits, terminal=True, width=80, **options):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    print_hits(console, hits, **options)
    return out.getvalue()


def bare(text):
    from rich.text import Text

    return Text.from_ansi(text).plain


def test_a_hit_in_a_pipe_is_plain_and_unwrapped():
    assert shown(a_hit(), terminal=False, width=20) == (
        " 1  Guide › Running › Together  0.877\n"
        "    Wait for all of them. Then collect the results…\n"
        "    docs/guide.md:12-14\n"
    )


def test_a_hit_on_a_terminal_fits_its_width():
    for width in (40, 80, 120):
        lines = bare(shown(a_hit(title="A very long title " * 9), width=width, explain=True)).splitlines()
        assert max(map(len, lines)) <= width
        assert lines[0].endswith("0.877")
        assert "…" in lines[0]


def test_matches_are_highlighted_on_a_terminal():
    out = shown(a_hit())
    assert "\x1b[1;33mWait\x1b[0m" in out
    assert "\x1b[1;33mcollect\x1b[0m" in out
    assert "\x1b[1;33mresults" not in out


def test_explain_shows_each_stage_and_what_did_not_find_it():
    out = shown(a_hit(stages={"lexical": float("nan"), "dense": 0.5}), terminal=False, explain=True)
    assert "    dense 0.500  lexical -\n" in out
    assert "dense" not in shown(a_hit(), terminal=False)


def test_a_hit_without_a_title_shows_its_document():
    assert shown(a_hit(title="", heading=()), terminal=False).startswith(" 1  docs/guide.md  0.877\n")


def test_a_hit_says_where_in_its_file_it_stands():
    for location, said in (
        (Location("line", 7, 7), "docs/guide.md:7\n"),
        (Location("page", 2, 3), "docs/guide.md, pages 2-3\n"),
        (Location("row", 5, 5), "docs/guide.md, row 5\n"),
        (None, "docs/guide.md, characters 120-176\n"),
    ):
        assert shown(a_hit(location=location), terminal=False).endswith(said)


def test_further_passages_of_a_document_are_counted():
    assert "docs/guide.md:12-14  +3 more here\n" in shown(a_hit(more=3), terminal=False)


def test_ranks_line_up_past_nine():
    lines = shown(*[a_hit()] * 10, terminal=False).splitlines()
    assert lines[0].startswith("  1  Guide")
    assert lines[-3].startswith(" 10  Guide")


def test_an_ellipsis_marks_where_the_passage_goes_on():
    middle = a_hit(snippet="all of them", highlights=())
    assert snippet_text(middle).plain == "…all of them…"
    whole = a_hit(text="all of\n   them ", snippet="all of them", highlights=())
    assert snippet_text(whole).plain == "all of them"


@pytest.mark.parametrize("trick", ["\x1b[2J", "\r", "\x07", "\x9b31m", "\u202e", "\x00"])
def test_a_document_cannot_play_tricks_with_the_terminal(trick):
    text = f"before{trick}after"
    out = shown(a_hit(text=text, snippet=text, highlights=(), title=text, source=text), terminal=False)
    assert trick[0] not in out
    assert "before" in out


@given(st.text())
def test_making_text_printable_keeps_every_offset(text):
    safe = printable(text)
    assert len(safe) == len(text)
    assert all(a == b or b == " " for a, b in zip(text, safe, strict=True))
    assert not any(ord(c) < 32 and c != "\n" for c in safe)


def test_a_hit_as_json():
    plain = hit_json(a_hit(stages={"dense": float("nan"), "lexical": 3.25}), 2)
    assert json.loads(json.dumps(plain, allow_nan=False)) == {
        "rank": 2,
        "score": 0.87654,
        "document": "docs/guide.md",
        "chunk": 7,
        "title": "Guide",
        "heading": ["Guide", "Running", "Together"],
        "source": "docs/guide.md",
        "start": 120,
        "end": 176,
        "text": "Wait for all of them. Then  collect\nthe results in order.",
        "snippet": "Wait for all of them. Then  collect the results",
        "highlights": [[0, 4], [28, 35]],
        "stages": {"dense": None, "lexical": 3.25},
        "shares": {},
        "metadata": {},
        "more": 0,
        "copies": [],
        "location": {"unit": "line", "first": 12, "last": 14},
    }
