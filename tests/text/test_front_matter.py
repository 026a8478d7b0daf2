"""Front matter of Markdown: its types, what is not front matter, and what cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.text.readers.front_matter import front_matter
from gnomon.text.readers.plain import read_markdown
from gnomon.text.settings import ReadSettings

YAML = """---
title: Restore
tags:
  - ops
  - urgent
flow: [one, "two"]
summary: >
  Restores take an hour
  and need two people.
owners:
- Kim
nested:
  inner: {deep: 3}
---
Call the desk.
"""


def test_lists_folded_texts_and_mappings_are_kept() -> None:
    found = front_matter(YAML)
    assert found.text == "Call the desk.\n"
    assert found.lines == 14
    assert found.metadata == {
        "title": "Restore",
        "tags": ["ops", "urgent"],
        "flow": ["one", "two"],
        "summary": "Restores take an hour and need two people.",
        "owners": ["Kim"],
        "nested.inner.deep": 3,
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2023", 2023),
        ("-4.5", -4.5),
        ("1.5e3", 1500.0),
        ("true", True),
        ("False", False),
        ("2023-04-01", "2023-04-01"),
        ("2023-04-01T10:00:00+02:00", "2023-04-01T08:00:00Z"),
        ("2023-13-01", "2023-13-01"),
        ("", None),
        ("null", None),
        ("no", "no"),
        ("on", "on"),
        ("00123", "00123"),
        ("0123", "0123"),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        ("12345678901234567890", "12345678901234567890"),
        ("+49123", "+49123"),
        ("'2023'", "2023"),
    ],
)
def test_values_have_the_types_of_yaml_1_2(written: str, value: Any) -> None:
    found = front_matter(f"---\nx: {written}\n---\n").metadata["x"]
    assert (found, type(found)) == (value, type(value))


def test_toml() -> None:
    found = front_matter("+++\ntitle = 'A'\ndate = 2023-04-01\n[params]\nweight = 2\n+++\nBody\n")
    assert found.metadata == {"title": "A", "date": "2023-04-01", "params.weight": 2}
    assert (found.text, found.lines) == ("Body\n", 6)


@pytest.mark.parametrize(
    "text",
    [
        "---\nno pairs here\n---\ntext",
        "---\n\n# Title\n\nnote: a rule stood above\n\n---\ntext",
        "---\n- a\n- b\n---\ntext",
        "---\nkey: never closed\n",
        "text\n---\nkey: value\n---\n",
        "",
    ],
)
def test_rules_are_no_front_matter(text: str) -> None:
    found = front_matter(text)
    assert (found.text, found.metadata, found.lines, found.problem) == (text, {}, 0, "")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("inside", "problem"),
    [
        ("title: Backup: how", "mapping values are not allowed in this context, line 2"),
        ("a: 1\n\tb: 2", "found a tab character that violates indentation, line 3"),
        ("a: !python/object:os.system x", "could not determine a constructor for the tag"),
        ("a: &a [*a]", "more than 10,000 values, with its aliases followed"),
        (BOMB, "more than 10,000 values, with its aliases followed"),
        ("a: " + "[" * 5000, ""),
        ("a: " + "[" * 200 + "]" * 200, "nested more than 64 deep"),
    ],
    ids=["colon", "tab", "tag", "cycle", "bomb", "unclosed", "deep"],
)
def test_what_cannot_be_read_is_reported_and_stays_text(tmp_path: Path, inside: str, problem: str) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"---\n{inside}\n---\n# Head\n")
    reports: list[str] = []
    (document,) = read_markdown(path, ReadSettings(), reports.append)
    assert document.text == path.read_text()
    assert document.metadata == {}
    (report,) = reports
    assert report.startswith(f"{path}: its front matter cannot be read, and is kept as text: ")
    assert problem in report


def test_byte_order_marks_and_newlines_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes(YAML.replace("\n", "\r\n").encode(encoding))
        (document,) = read_markdown(path, ReadSettings(), print)
        assert (document.title, document.metadata["tags"]) == ("Restore", ["ops", "urgent"])


def test_its_words_can_be_searched_for(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(YAML.replace("flow:", "image: img/a.png\nyear: 2023\nday: 2023-04-01\nflow:"))
    (document,) = read_markdown(path, ReadSettings(), print)
    assert document.text == (
        "tags: ops, urgent\nflow: one, two\nsummary: Restores take an hour and need two people.\nowners: Kim\n\n"
        "Call the desk.\n"
    )


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#\n\t ,1?%@", max_size=60))
def test_any_text_is_front_matter_or_text(inside: str) -> None:
    text = f"---\n{inside}\n---\nbody"
    found = front_matter(text)
    assert text.endswith(found.text)
    assert text.count("\n") - found.text.count("\n") == found.lines
