import io
import signal

import pytest
from rich.console import Console
from rich.text import Text

from gnomon.cli import progress as bars
from gnomon.cli.progress import ProgressBar, figures_text, stop_on_interrupt
from gnomon.cli.terminal import count, counted, duration, rate, size
from gnomon.core.progress import Progress

STEPS = [
    Progress("embedding", done, 1200, "file", f"docs/{done}.md", metrics={"chunks": 3 * done})
    for done in (1, 400, 1200)
]


def test_in_a_pipe_a_plain_line_now_and_then(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(bars, "LINE_INTERVAL_S", 0.0)
    with ProgressBar(Console(file=out, width=80)) as bar:
        for step in STEPS:
            bar.update(step)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("embedding: 400/1,200 files  1,200 chunks  ")
    assert lines[1].endswith("/s")


def test_in_a_pipe_a_short_run_says_nothing():
    out = io.StringIO()
    with ProgressBar(Console(file=out, width=80)) as bar:
        for step in STEPS:
            bar.update(step)
    assert out.getvalue() == ""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_a_bar_that_fits_and_goes_away(width):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    with ProgressBar(console) as bar:
        for step in STEPS:
            bar.update(step)
    text = out.getvalue()
    assert "1,200/1,200 files  3,600 chunks" in text.replace("\n", " ") or width == 60
    drawn = [Text.from_ansi(line).plain for line in text.replace("\r", "\n").splitlines()]
    assert max(map(len, drawn)) <= width
    assert text.endswith("\x1b[2K")  # the line is wiped


def test_a_name_cannot_play_tricks_with_the_terminal():
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system=None)
    with ProgressBar(console) as bar:
        bar.update(Progress("reading", 0, 1, "file", "evil\x1b]0;title\x07.md"))
    assert "\x1b]0" not in out.getvalue()
    with ProgressBar(console) as bar:
        bar.update(Progress("loading", message="evil\x1b]0;title\x07"))
    assert "\x1b]0" not in out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_messages_stay_and_draw_no_bar(terminal):
    out = io.StringIO()
    with ProgressBar(Console(file=out, width=80, force_terminal=terminal, color_system=None)) as bar:
        bar.update(Progress("loading", message="downloading tiny: 3 files"))
    assert out.getvalue() == "downloading tiny: 3 files\n"


def test_in_a_pipe_each_stage_begins_a_line_where_that_is_wanted():
    out = io.StringIO()
    with ProgressBar(Console(file=out, width=80), show_stages=True) as bar:
        bar.update(Progress("reading the data"))
        for step in range(3):
            bar.update(Progress("training", step, 3, "step", metrics={"loss": 0.25, "lr": 2e-5}))
    assert out.getvalue().splitlines() == ["reading the data", "training: 0/3 steps  loss 0.25  lr 2e-05"]


def test_rate_and_time_left():
    assert figures_text(Progress("x", 10, 40, "query"), 5.0) == "10/40 queries  2.0/s  15.0 s left"
    assert figures_text(Progress("x", 10, 40, "query"), 1.0) == "10/40 queries  10/s"
    assert figures_text(Progress("x", 40, 40, "query"), 5.0) == "40/40 queries  8.0/s"
    assert figures_text(Progress("x", 10, None, "query"), 5.0) == "10 queries  2.0/s"
    assert figures_text(Progress("x"), 5.0) == ""


def test_the_first_interrupt_asks_for_a_stop_and_the_second_interrupts():
    before = signal.getsignal(signal.SIGINT)
    with stop_on_interrupt() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


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
