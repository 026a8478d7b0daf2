"""What of a text can be quoted as an answer: whole units that say something by themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.answer.quotable import is_dependent, quotable_units, refers_elsewhere, stands_alone


def units(text: str) -> list[str]:
    return [text[left:right] for left, right in quotable_units(text)]


def test_a_block_of_code_is_one_unit_with_the_sentence_before_it() -> None:
    text = "Tables can be large.\nCopy one with\n\n```sql\nCOPY a\n\nTO 'b';\n```\n\nIt is fast."
    assert units(text) == ["Tables can be large.", "Copy one with\n\n```sql\nCOPY a\n\nTO 'b';\n```", "It is fast."]


def test_a_list_is_one_unit_with_its_introduction_and_so_is_each_item() -> None:
    text = "There are two kinds:\n\n* hot ones, that\n  are kept\n* cold ones\n    * and colder ones\n\nNo more."
    items = ["* hot ones, that\n  are kept", "* cold ones\n    * and colder ones"]
    assert units(text) == [text[: text.index("\n\nNo more")], *items, "No more."]


def test_steps_are_quoted_together() -> None:
    steps = "To renew:\n1. Stop it.\n2. Start it."
    assert units(f"{steps}\n\nDone then.") == [steps, "Done then."]


def test_an_option_is_quoted_with_the_first_sentence_on_it() -> None:
    table = "-t pattern\n--table=pattern\n\nDump only tables that match. More may be given."
    text = f"{table}\n\nlog_rate (integer)\n\nHow often."
    assert units(text) == [
        "-t pattern\n--table=pattern\n\nDump only tables that match.",
        "More may be given.",
        "log_rate (integer)\n\nHow often.",
    ]


def test_headings_and_a_synopsis_are_no_units() -> None:
    text = "# Copy\n\n## Synopsis\n\n```\nCOPY [a]\n```\n\nDescription\n-----------\n\nIt copies tables. # no heading"
    assert units(text) == ["It copies tables.", "# no heading"]


def test_a_hash_within_code_is_no_heading() -> None:
    text = "Run this:\n\n```\n# first\nrun\n```"
    assert units(text) == [text]


def test_what_lies_over_an_edge_is_left_out() -> None:
    text = "One is here. Two is here.\n\n```\ncode\n```\n"
    assert [text[a:b] for a, b in quotable_units(text, 4, 30)] == []
    assert [text[a:b] for a, b in quotable_units(text, 0, 30)] == ["One is here."]
    assert units("Open:\n```\nnever closed") == []


def test_what_is_too_long_to_be_read_is_left_out() -> None:
    assert units("word " * 151) == []
    assert units("x" * 1501) == []


@pytest.mark.parametrize(
    "text",
    [
        "See Section 9.7.3.",
        "See also the manual of tar.",
        "Please refer to [the guide](guide.md).",
        "For more information on locks, see Chapter 13.",
        "For details, refer to [the section on it](../x.md#y).",
        "More details can be found in the reference.",
        "This is described in Section 5.2.",
        "- See the next page.",
        "Which one is it?",
        "Do it like this:",
        "!!! note",
        "```\nkey renew\n```",
        "**Extra features**",
        "1.",
        "Run it: ```sh key renew",
        "(api-keys)=",
        "::: httpx.Client",
        "Prev | Up | Home | Next",
        "Release notes",
        "pg_dump [connection-option...] [option...] [dbname] and so on",
    ],
)
def test_what_says_nothing_by_itself(text: str) -> None:
    assert not stands_alone(text)


@pytest.mark.parametrize(
    "text",
    [
        "Keys expire.",
        "- stop it",
        "You can see the log in /var/log.",
        "For a list of rows use a cursor.",
        "string_agg (value) | Concatenates the values into one string.",
        "Copy it with\n```\nCOPY a\n```",
        "`timeout=None` disables it.",
        "東京の人口は千四百万人です。",
    ],
)
def test_what_says_something_by_itself(text: str) -> None:
    assert stands_alone(text)


def test_references_and_dependent_sentences_are_told() -> None:
    assert refers_elsewhere("Use COPY (see Section 14.4.2) for many rows.")
    assert not refers_elsewhere("You see all pages at once.")
    assert is_dependent("This is fast.")
    assert not is_dependent("Thistles grow.")


LINES = st.lists(
    st.sampled_from(["# A", "Words go on.", "and on", "- item", "1. step", "```", "~~~", "", "  more", "a | b", "---"])
)


@given(LINES, st.integers(0, 60), st.integers(0, 60))
def test_units_lie_within_the_edges_and_are_never_blank(lines: list[str], start: int, length: int) -> None:
    text = "\n".join(lines)
    end = min(len(text), start + length)
    for left, right in quotable_units(text, start, end):
        assert start <= left < right <= end
        assert text[left:right] == text[left:right].strip()
    whole = quotable_units(text)
    assert set(quotable_units(text, start, end)) <= set(whole)
