"""Spans of a text to lines, pages and rows of its file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.locations import LINES, Location, Locations, Locator

TEXTS = st.text("a\n", min_size=1, max_size=60)


@given(text=TEXTS, data=st.data())
def test_lines_are_counted_as_an_editor_counts_them(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    location = Locator(text, LINES).at(start, end)
    assert location == Location("line", text[:start].count("\n") + 1, text[: end - 1].count("\n") + 1)
    assert Location.parse(location.to_json()) == location
    inner = data.draw(st.integers(start, end - 1))
    if text[end - 1] != "\n":
        within = location.within(text[start:end], inner - start, end - start)
        assert within == Locator(text, LINES).at(inner, end)


def test_pages_and_lines_that_skip():
    pages = Locations("page", (0, 10, 12), (1, 2, 3))
    assert Locations.parse(pages.to_json()) == pages
    locator = Locator("x" * 20, pages)
    assert str(locator.at(0, 10)) == "page 1"
    assert str(locator.at(9, 13)) == "pages 1-3"
    # Two lines that a reader put above the text of line 8 on.
    text = "owners: Kim\n\n# Head\nbody"
    shifted = Locator(text, Locations("line", (0, 13), (1, 8), counted=True))
    assert shifted.at(13, 19) == Location("line", 8, 8)
    assert shifted.at(20, 24) == Location("line", 9, 9)
    whole = shifted.at(0, 24)
    assert whole == Location("line", 1, 9)
    assert whole.within(text, 13, 19) == Location("line", 8, 8)


def test_what_is_unknown():
    assert Location.parse("") is None
    assert Locations.parse("") is None
    assert Location("page", 2, 2).united(Location("line", 1, 1)) == Location("page", 2, 2)
    assert Location("page", 2, 2).united(Location("page", 4, 5)) == Location("page", 2, 5)
