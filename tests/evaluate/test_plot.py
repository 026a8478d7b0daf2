"""The plot of a verdict: a picture of some size, the words in it, and what is refused."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.comparison import PairedValues, Verdict, judge
from gnomon.evaluate.plot import plot_differences


def verdict(n: int = 80) -> Verdict:
    draws = np.random.default_rng(7)
    queries = [f"q{i}" for i in range(n)]
    old = draws.random(n).round(2)
    new = np.where(draws.random(n) < 0.5, old, draws.random(n))
    return judge(PairedValues("nDCG@10", *(dict(zip(queries, v, strict=True)) for v in (old, new)), ("old", "new")))


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    path = plot_differences(verdict(), tmp_path / "deeper" / "out.png")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    import matplotlib.image

    pixels = matplotlib.image.imread(path)[..., :3]
    height, width, _ = pixels.shape
    assert width > 1200
    assert height > 700
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        near = np.abs(pixels - np.array(colour) / 255).max(axis=2) < 0.2
        assert near.mean() > 0.01, "wins and losses both show"


def test_the_words_are_those_of_the_verdict(tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none"}):
        found = verdict()
        text = plot_differences(found, tmp_path / "out.svg").read_text()
    assert found.headline in text
    assert f"{found.wins} better" in text
    assert f"{found.losses} worse" in text
    assert "a loss of 0.01" in text


@pytest.mark.parametrize("differences", [np.zeros(12), np.full(12, 0.5), np.full(12, -1.0)])
def test_one_sided_verdicts_are_drawn_too(tmp_path: Path, differences: np.ndarray) -> None:
    queries = [f"q{i}" for i in range(12)]
    values = [dict.fromkeys(queries, 0.0), dict(zip(queries, differences, strict=True))]
    assert plot_differences(judge(PairedValues("MAP", *values)), tmp_path / "out.png").stat().st_size > 5_000


def test_no_window_system_is_touched(tmp_path: Path) -> None:
    plot_differences(verdict(), tmp_path / "out.png")
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InvalidInput, match="matplotlib is not installed") as error:
        plot_differences(verdict(), tmp_path / "out.png")
    assert error.value.hint == "pip install 'gnomon[plot]'"


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"a plot named out\.doc") as error:
        plot_differences(verdict(), tmp_path / "out.doc")
    assert error.value.expected == "a name ending in .png, .svg, .pdf"
    with pytest.raises(InvalidInput, match="a verdict without per-query values"):
        plot_differences(replace(verdict(), changes=()), tmp_path / "out.png")
