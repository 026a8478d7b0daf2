"""Headings of markdown: which lines are one, and which path holds where."""

from __future__ import annotations

import time

import pytest

from gnomon.text.outline import Outline, find_headings


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("# One\n\n### Three", [(1, "One"), (3, "Three")]),
        ("One\n===\ntext\n\nTwo\n---\n", [(1, "One"), (2, "Two")]),
        ("## Closed ##\n   # Indented by three", [(2, "Closed"), (1, "Indented by three")]),
        ("# C#\n", [(1, "C#")]),
        ("## Uses `code`, *stress* and a [link](http://x/y)", [(2, "Uses code, stress and a link")]),
        ("## snake_case stays", [(2, "snake_case stays")]),
        ("#hashtag\n####### seven\n    # code by indent\n\\# escaped\n#\n", []),
        ("```\n# in code\n```\n# after", [(1, "after")]),
        ("~~~~\n```\n# in code\n~~~\n# still\n~~~~\n# after", [(1, "after")]),
        ("```py\n# never closed", []),
        ("``` inline ``` code\n# after", [(1, "after")]),
        ("- item\n---\n| a |\n---\n\n---\n", []),
    ],
)
def test_headings(text, wanted):
    found = list(find_headings(text))
    assert [(heading.level, heading.words) for heading in found] == wanted


def test_the_path_at_a_span():
    text = "intro\n# A\n## B\ntext b\n#### C\ntext c\n## D\ntext d\n# E\ntext e"
    outline = Outline.of(text, "text/markdown")

    def path(part: str) -> str:
        start = text.index(part)
        return "/".join(heading.words for heading in outline.path(start, start + len(part)))

    assert path("intro") == ""
    assert path("text b") == "A/B"
    assert path("text c") == "A/B/C"
    assert path("text d") == "A/D"
    assert path("text e") == "E"
    # A span lies in the section that it opens, also by several headings.
    assert path("## D\ntext d") == "A/D"
    assert path("# A\n## B\ntext b") == "A/B"
    assert path("intro\n# A") == ""
    assert Outline.of(text, "text/plain").path(len(text) - 2, len(text)) == ()


def test_finding_headings_is_linear():
    def spent_s(text: str) -> float:
        began = time.process_time()
        list(find_headings(text))
        return time.process_time() - began

    for unit in ("#" * 99, "# a\n", "a\n===\n", " ", "`", "a" * 50, "# a # # # #", "# " + "\t " * 40, "_*`["):
        short, long = (min(spent_s(unit * (size // len(unit))) for _ in range(2)) for size in (50_000, 400_000))
        assert long < 24 * short + 0.1, "8 times the text takes 64 times as long where it is quadratic"
