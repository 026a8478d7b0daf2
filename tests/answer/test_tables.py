"""Tables taken in: their kinds, their row numbers, and files that went wrong afterwards."""

import hashlib
import os
import sqlite3
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

import gnomon
from gnomon.answer.tables import TableInfo, ask_tables, register, registered, search_tables, unregister
from gnomon.answer.tables.load import ColumnKinds, parse_cell
from gnomon.answer.tables.source import derived_file
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.testing.toys import HashEncoder

ORDERS = """\
Order ID,customer,city,total,placed,paid,note
1,Meier,Berlin,120.50,2020-03-01,true,first order
2,Schmidt,Hamburg,700,2020-05-11,false,

4,Rossi,New York,980.25,20.2.2021,TRUE,"two
lines; and more"
"""


@pytest.fixture
def kb(tmp_path):
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as collection:
        yield collection


@pytest.fixture
def orders(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS)
    return path


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, born DATE, member BOOLEAN)")
        people = [(11, "Ada", "1815-12-10", 1), (17, "Grace", "1906-12-09", 0)]
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?)", people)
        connection.execute("CREATE TABLE stock (part TEXT PRIMARY KEY, number INT) WITHOUT ROWID")
        connection.executemany("INSERT INTO stock VALUES (?, ?)", [("screw", 12), ("bolt", 30), ("nut", 7)])
        connection.execute("CREATE VIEW young AS SELECT * FROM people")
    connection.close()
    return path


def kinds(info: TableInfo) -> dict[str, str]:
    return {column.name: column.kind for column in info.columns}


def test_a_csv_file_is_typed_and_cited_by_its_own_rows(kb, orders):
    info = register(kb, orders)
    assert (info.name, info.kind, info.rows, info.path) == ("orders", "csv", 3, str(orders))
    assert kinds(info) == {
        "Order ID": "integer",
        "customer": "text",
        "city": "text",
        "total": "real",
        "placed": "date",
        "paid": "truth",
        "note": "text",
    }
    (row,) = ask_tables(kb, "What did Rossi order?")
    assert row.document == "orders#4"  # the third row is empty and is counted
    assert row.text == (
        "Order ID: 4; customer: Rossi; city: New York; total: 980.25; placed: 2021-02-20; paid: true; "
        "note: two lines; and more"
    )
    assert row.metadata["paid"] is True
    assert row.metadata["note"] == "two\nlines; and more"
    assert (row.number, row.row, row.title, row.source) == (1, True, "orders", str(orders))
    assert (row.start, row.end) == (0, len(row.text))
    assert row.heading == ("customer = 'Rossi'",)


@pytest.mark.parametrize(
    ("cells", "kind", "first"),
    [
        (["1", "-20", ""], "integer", 1),
        (["1", "2.5", "1e3"], "real", 1.0),
        (["2020-02-29", "1.3.2020"], "date", "2020-02-29"),
        (["2020-02-29T10:00:00Z"], "date", "2020-02-29 10:00:00Z"),
        (["2020-02-30"], "text", "2020-02-30"),  # no such day
        (["3/4/2020"], "text", "3/4/2020"),  # which day, nobody knows
        (["007", "8"], "text", "007"),
        (["12345678901234567890"], "text", "12345678901234567890"),
        (["true", "FALSE"], "truth", 1),
        (["n/a", "3"], "integer", None),
        (["n/a", "x"], "text", "n/a"),
        (["", ""], "text", None),
        (["nan", "inf"], "text", "nan"),
        (["１２"], "text", "１２"),  # digits, but not those that SQLite reads
    ],
)
def test_kinds(cells, kind, first):
    kinds = ColumnKinds(1)
    for cell in cells:
        kinds.add_row([cell])
    assert kinds.detected() == (kind,)
    assert parse_cell(kinds.detected()[0], cells[0]) == first


def test_column_names_differ_and_stay_on_one_line(kb, tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text('Name,name,,"a\n</rows>b","say ""x"""\n1,2,3,4,5\n')
    info = register(kb, path)
    assert [c.name for c in info.columns] == ["Name", "name 2", "column 3", "a b", 'say "x"']
    (row,) = ask_tables(kb, "?", where='"say ""x""" = 5')
    assert row.metadata == {"Name": 1, "name 2": 2, "column 3": 3, "a b": 4, 'say "x"': 5}


def test_sqlite_is_read_where_it_lies(kb, shop):
    before = hashlib.sha256(shop.read_bytes()).hexdigest()
    people = register(kb, shop, table="people")
    assert kinds(people) == {"id": "integer", "name": "text", "born": "date", "member": "truth"}
    assert [p.document for p in ask_tables(kb, "people named Grace")] == ["people#17"]
    assert [p.document for p in ask_tables(kb, "people born before 1900")] == ["people#11"]
    stock = register(kb, shop, "parts", table="stock")
    assert (stock.name, stock.table) == ("parts", "stock")
    (row,) = ask_tables(kb, "parts: screw")
    assert (row.document, row.title) == ("parts#3", "parts (stock)")  # bolt, nut, screw
    assert hashlib.sha256(shop.read_bytes()).hexdigest() == before
    assert not (kb.tables.folder / "people.db").exists()


def test_which_of_several_tables(kb, shop):
    assert register(kb, shop, "stock").table == "stock"  # the name is one of them
    for table in (None, "young"):  # a view has no row numbers
        with pytest.raises(InvalidInput, match=r"has (2 tables|no table 'young')") as caught:
            register(kb, shop, table=table)
        assert caught.value.expected == "one of its tables: people, stock"
        assert "--table" in caught.value.hint


def test_parquet(kb, tmp_path):
    import datetime

    path = tmp_path / "trips.parquet"
    columns = {
        "place": ["Rome", "Oslo", None],
        "day": [datetime.date(2020, 1, 2), datetime.date(2021, 3, 4), None],
        "km": [12.5, float("nan"), 3.0],
        "seats": [4, 2, 1],
        "far": [True, False, None],
        "tags": [["a", "b"], [], None],
    }
    parquet.write_table(pa.table(columns), path)
    info = register(kb, path)
    assert list(kinds(info).values()) == ["text", "date", "real", "integer", "truth", "text"]
    (row,) = ask_tables(kb, "trips to Oslo")
    assert row.document == "trips#2"
    assert row.metadata == {"place": "Oslo", "day": "2021-03-04", "seats": 2, "far": False, "tags": "[]"}


def test_parquet_without_its_library(kb, tmp_path, monkeypatch):
    path = tmp_path / "trips.parquet"
    parquet.write_table(pa.table({"a": [1]}), path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInput, match="without the library") as caught:
        register(kb, path)
    assert "pip install 'gnomon[data]'" in caught.value.hint


def test_a_changed_file_is_read_again(kb, orders):
    register(kb, orders)
    made = derived_file("orders", kb.tables.folder)
    assert len(ask_tables(kb, "orders from Hamburg")) == 1
    first = made.stat().st_ino
    assert len(ask_tables(kb, "orders from Hamburg")) == 1
    assert made.stat().st_ino == first  # left alone
    os.utime(orders, (1, 1))
    assert len(ask_tables(kb, "orders from Hamburg")) == 1
    assert made.stat().st_ino == first  # touched only: the digest is the same
    orders.write_text(ORDERS.replace("Meier,Berlin", "Meier,Hamburg"))
    assert [p.document for p in ask_tables(kb, "orders from Hamburg")] == ["orders#1", "orders#2"]


@pytest.mark.parametrize("harm", ["delete", "cut", "garbage", "empty"])
def test_what_was_derived_is_made_again(kb, orders, harm):
    register(kb, orders)
    made = derived_file("orders", kb.tables.folder)
    if harm == "delete":
        made.unlink()
    elif harm == "empty":
        with sqlite3.connect(made) as connection:
            connection.execute("DELETE FROM data")
        connection.close()
    else:
        made.write_bytes(made.read_bytes()[:4096] if harm == "cut" else b"x" * 8192)
    assert [p.document for p in ask_tables(kb, "orders from Hamburg")] == ["orders#2"]
    assert not list(kb.tables.folder.glob(".*"))


def _rename(path):
    path.write_text(path.read_text().replace("customer", "buyer"))


@pytest.mark.parametrize(
    ("harm", "came"),
    [
        (lambda path: path.unlink(), "is gone or out of reach"),
        (lambda path: path.write_text(""), "is empty"),
        (lambda path: path.write_text(ORDERS.splitlines()[0]), "no rows in"),
        (lambda path: path.write_bytes(b"\x00\x01\x02" * 999), "holds binary data, not text"),
        (_rename, "changed: now without customer and with buyer"),
        (
            lambda path: path.write_text(ORDERS + "5,a,b,1,2020-01-01,true,x,y,z\n"),
            "row 5 has 9 values for 7",
        ),
        (lambda path: path.write_bytes(b"SQLite format 3\x00"), "is no csv file any more"),
        (lambda path: (path.unlink(), path.mkdir()), "is no file"),
    ],
)
def test_a_file_that_went_wrong_says_so_and_the_other_tables_answer(kb, orders, shop, harm, came):
    register(kb, orders)
    register(kb, shop, table="people")
    harm(orders)
    with pytest.raises(UnreadableFile, match="table orders: ") as caught:
        ask_tables(kb, "people named Grace")
    assert came in caught.value.message
    assert caught.value.expected
    assert "--name orders" in caught.value.hint
    looked = search_tables(kb, "people named Grace")
    assert [p.document for p in looked.passages] == ["people#17"]
    assert [error.message for error in looked.errors] == [caught.value.message]


@pytest.mark.parametrize(
    ("harm", "came"),
    [
        ("DROP TABLE people", "has no table people"),
        ("DELETE FROM people", "no rows in"),
        ("ALTER TABLE people RENAME COLUMN born TO birthday", "now without born and with birthday"),
    ],
)
def test_a_database_that_went_wrong(kb, shop, harm, came):
    register(kb, shop, table="people")
    with sqlite3.connect(shop) as connection:
        connection.execute(harm)
    connection.close()
    with pytest.raises(UnreadableFile, match="table people: ") as caught:
        ask_tables(kb, "people named Grace")
    assert came in caught.value.message


def test_a_database_that_is_being_written_is_not_read_half_way(kb, shop, monkeypatch):
    monkeypatch.setattr("gnomon.answer.tables.source._BUSY_TIMEOUT_S", 0.01)
    register(kb, shop, table="people")
    writer = sqlite3.connect(shop, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UnreadableFile, match=r"table people: .*locked"):
        ask_tables(kb, "people named Grace")
    writer.execute("ROLLBACK")
    writer.close()
    assert len(ask_tables(kb, "people named Grace")) == 1


def test_a_damaged_database(kb, shop):
    register(kb, shop, table="people")
    data = bytearray(shop.read_bytes())
    data[100:300] = b"\xff" * 200
    shop.write_bytes(data)
    with pytest.raises(UnreadableFile, match="table people: ") as caught:
        ask_tables(kb, "people named Grace")
    assert "malformed" in caught.value.message
    shop.write_bytes(bytes(data[:50]))
    with pytest.raises(UnreadableFile, match="table people: "):
        ask_tables(kb, "people named Grace")


def test_what_cannot_be_registered_leaves_nothing_behind(kb, tmp_path, orders):
    head = tmp_path / "head.csv"
    head.write_text("a,b\n")
    letter = tmp_path / "letter.docx"
    letter.write_text("x")
    for path, came in ((head, "no rows in"), (letter, "is no table that gnomon reads")):
        with pytest.raises(UnreadableFile, match=came):
            register(kb, path)
    for name in ("1st", "a b", "sqlite_x", "x" * 65, "a#b"):
        with pytest.raises(InvalidInput, match="for a table"):
            register(kb, orders, name)
    assert registered(kb) == ()
    assert not kb.tables.folder.exists() or not list(kb.tables.folder.iterdir())


def test_names_are_taken_once(kb, orders, tmp_path):
    register(kb, orders)
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    with pytest.raises(InvalidInput, match=r"'Orders', which .* is registered by as orders") as caught:
        register(kb, other, "Orders")
    assert "gnomon tables remove KB orders" in caught.value.hint
    orders.write_text(ORDERS.replace("customer", "buyer"))
    assert "buyer" in kinds(register(kb, orders))  # the same file, taken in anew
    unregister(kb, "orders")
    assert registered(kb) == ()
    assert not derived_file("orders", kb.tables.folder).exists()
    with pytest.raises(InvalidInput, match="no table 'orders' is registered"):
        unregister(kb, "orders")


def test_they_are_remembered(tmp_path, orders):
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as kb:
        info = register(kb, orders, "sales")
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as kb:
        assert registered(kb) == (info,)


def test_an_old_catalog_gets_the_table(tmp_path, orders):
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)):
        pass
    with sqlite3.connect(tmp_path / "kb" / "collection.db") as connection:
        connection.execute("DROP TABLE tables")
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
    connection.close()
    Catalog(tmp_path / "kb", create=False).close()
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as kb:
        register(kb, orders)
        assert len(registered(kb)) == 1


def test_nothing_registered_is_nothing_found(kb):
    assert ask_tables(kb, "orders over 500") == ()
    assert not kb.tables.folder.exists()


def test_long_cells_are_cut_in_the_text(kb, tmp_path):
    path = tmp_path / "notes.csv"
    path.write_text(f"key,note\nk1,{'word ' * 2000}\n")
    register(kb, path)
    (row,) = ask_tables(kb, "notes with key k1")
    assert len(row.text) < 400
    assert row.text.endswith("…")
    assert len(row.metadata["note"]) == 4000


def test_old_names_of_the_search_still_work_and_warn():
    import gnomon.answer.tables as tables

    with pytest.warns(DeprecationWarning, match="search_tables"):
        assert tables.look_up is tables.search_tables
    with pytest.warns(DeprecationWarning, match="TableSearchResult"):
        assert tables.Looked is tables.TableSearchResult
