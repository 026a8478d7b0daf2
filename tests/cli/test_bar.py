import io

import pytest
from rich.console import Console
from rich.text import Text

from gnomon.cli import bar as bars
from gnomon.cli.bar import IndexBar
from gnomon.cli.terminal import count, counted, duration, rate, size
from gnomon.collection.reports import Progress

STEPS = [Progress(1200, done, 3 * done, f"docs/{done}.md", "embedding") for done in (1, 400, 1200)]


def test_in_a_pipe_a_plain_line_now_and_then(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(bars, "EVERY_S", 0.0)
    with IndexBar(Console(file=out, width=80)) as bar:
        for step in STEPS:
            bar.update(step)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("embedding: 400/1,200 files  1,200 chunks  ")
    assert lines[1].endswith("/s")


def test_in_a_pipe_a_short_run_says_nothing():
    out = io.StringIO()
    with IndexBar(Console(file=out, width=80)) as bar:
        for step in STEPS:
            bar.update(step)
    assert out.getvalue() == ""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_a_bar_that_fits_and_goes_away(width):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    with IndexBar(console, noun="documents") as bar:
        for step in STEPS:
            bar.update(step)
    text = out.getvalue()
    assert "1,200/1,200 documents  3,600 chunks" in text.replace("\n", " ") or width == 60
    drawn = [Text.from_ansi(line).plain for line in text.replace("\r", "\n").splitlines()]
    assert max(map(len, drawn)) <= width
    assert text.endswith("\x1b[2K")  # the line is wiped


def test_a_name_cannot_play_tricks_with_the_terminal():
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system=None)
    with IndexBar(console) as bar:
        bar.update(Progress(1, 0, 0, "evil\x1b]0;title\x07.md", "reading"))
    assert "\x1b]0" not in out.getvalue()


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (count(1234567), "1,234,567"),
        (counted(1, "file"), "1 file"),
        (counted(2000, "file"), "2,000 files"),
        (size(0), "0 bytes"),
        (size(4_100_000), "4.1 MB"),
        (size(3 * 10**15), "3000.0 TB"),
        (duration(0.0032), "3.2 ms"),
        (duration(4.12), "4.1 s"),
        (duration(125), "2 min 5 s"),
        (duration(7265), "2 h 1 min"),
        (rate(10, 4), "2.5"),
        (rate(100000, 2), "50,000"),
        (rate(3, 0), "-"),
    ],
)
def test_figures(shown, wanted):
    assert shown == wanted
