"""Tables as spreadsheets and exports write them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.documents import Document
from gnomon.text.discover import discover
from gnomon.text.read import read
from gnomon.text.settings import ReadSettings


def rows(path: Path, content: str | bytes, reports: list[str] | None = None) -> list[Document]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (found,) = discover([path], settings=ReadSettings())
    return list(read(found, settings=ReadSettings(), report=(reports if reports is not None else []).append))


def texts(path: Path, content: str | bytes) -> list[str]:
    return [document.text for document in rows(path, content)]


@pytest.mark.parametrize("line", ["sep=;\r\n", "SEP=;\n", '"sep=;"\r\n'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_separator_that_excel_states(tmp_path, line, encoding):
    table = f"{line}Name;Note, with commas\r\nHuber;a, b, c\r\n".encode(encoding)
    assert texts(tmp_path / "a.csv", table) == ["Name: Huber\nNote, with commas: a, b, c"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('"Family name, first name";Age\n"Huber, Anna";44\n', ["Family name, first name: Huber, Anna\nAge: 44"]),
        ("text\nThe pump, which is old, leaks.\n", ["text: The pump, which is old, leaks."]),
        (
            "When and what|Event\n2025-01-05|Start; stop; start\n",
            ["When and what: 2025-01-05\nEvent: Start; stop; start"],
        ),
        ("Ort;Wert, EUR\nGraz;1,5\nLinz;2,5\n", ["Ort: Graz\nWert, EUR: 1,5", "Ort: Linz\nWert, EUR: 2,5"]),
        ("a,b,c\n1\n2,3\n", ["a: 1", "a: 2\nb: 3"]),
        ('a,b\r\nx,"one\r\ntwo"\r\n', ["a: x\nb: one\ntwo"]),
    ],
)
def test_the_separator_is_the_one_by_which_the_rows_agree(tmp_path, table, expected):
    assert texts(tmp_path / "a.csv", table) == expected


WORDS = st.text(st.sampled_from("ab ,;|\t\"'\nß"), min_size=1, max_size=8).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_any_table_is_read_as_it_was_written(tmp_path_factory, cells, delimiter, encoding, quoting):
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, quoting=quoting).writerows([("One", "Two", "Three"), *cells])
    found = rows(tmp_path_factory.getbasetemp() / "any.csv", written.getvalue().encode(encoding))
    assert [tuple(row.metadata.values()) for row in found] == [tuple(cell.strip() for cell in row) for row in cells]


def test_a_first_row_of_values_names_no_columns(tmp_path):
    path = tmp_path / "a.csv"
    assert texts(path, "Huber,0664 1234\nMoser,0664 5678\n") == [
        "column 1: Huber\ncolumn 2: 0664 1234",
        "column 1: Moser\ncolumn 2: 0664 5678",
    ]
    for named in ("Region,2023,2024\nNorth,5,7\n", "id,0,1\n7,5,7\n", "Huber,Graz\nMoser,Linz\n", "a,5\nb,x\n"):
        assert len(rows(path, named)) == 1


def test_lines_above_the_names_are_the_title_of_each_row(tmp_path):
    path = tmp_path / "a.csv"
    for above in ("Open claims, 2025\n\n", "Open claims 2025\n", "Open\nclaims\n\n"):
        found = rows(path, f"{above}id,customer,claim\n1,Huber,glass\n2,Moser,parcel\n")
        assert [row.text for row in found] == [
            "id: 1\ncustomer: Huber\nclaim: glass",
            "id: 2\ncustomer: Moser\nclaim: parcel",
        ]
        assert found[0].title.startswith("Open")
    reports: list[str] = []
    rows(path, f"{'long ' * 60}\n\nid,customer\n1,Huber\n", reports)
    assert "left out: long" in reports[0]


def test_a_late_byte_decides_the_encoding_of_the_whole_file(tmp_path):
    early = "name;text\n" + f"plain;{'words ' * 20_000}\n" * 10
    reports: list[str] = []
    last = rows(tmp_path / "a.csv", (early + "Müller;größer\n").encode("cp1252"), reports)[-1]
    assert last.text == "name: Müller\ntext: größer"
    assert reports == [f"{tmp_path / 'a.csv'}: not UTF-8; read as cp1252, which is a guess"]
    # One byte that is lost in a text of UTF-8 does not turn all of it.
    broken = (early + "Müller;größer\n" * 20).encode() + b"x;\xff\n"
    assert rows(tmp_path / "a.csv", broken)[-2].text == "name: Müller\ntext: größer"
