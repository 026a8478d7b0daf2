"""Attacks on the connection that runs a model's SQL: each fails, and the file stays as it was."""

import hashlib
import sqlite3
import threading

import pytest

from gnomon.answer.tables.sandbox import QueryLimits, QueryRefused, open_sandboxed
from gnomon.answer.tables.source import inspect_table
from gnomon.answer.tables.text_to_sql import parse_statement
from gnomon.answer.tables.types import Column, TableInfo
from gnomon.core.errors import UnreadableFile

PEOPLE = TableInfo(
    "people",
    "shop.db",
    "sqlite",
    (Column("id", "integer"), Column("name", "text"), Column("row_number", "integer")),
    3,
    "people",
)


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, row_number INT)")
        connection.executemany("INSERT INTO people VALUES (?, ?, ?)", [(n, f"n{n}", -n) for n in range(1, 4)])
        connection.execute("CREATE TABLE secrets (word TEXT)")
        connection.execute("INSERT INTO secrets VALUES ('sesame')")
        connection.execute("CREATE VIEW peep AS SELECT * FROM secrets")
    connection.close()
    return path


@pytest.fixture
def people(shop):
    with open_sandboxed(PEOPLE, inspect_table("people", shop, "people"), limits=QueryLimits(time_s=0.5)) as table:
        yield table


ATTACKS = [
    "DELETE FROM people",
    "UPDATE people SET name = 'x'",
    "INSERT INTO people VALUES (9, 'x', 0)",
    "INSERT INTO main.people VALUES (9, 'x', 0) RETURNING *",
    "DROP TABLE people",
    "DROP VIEW people",
    "CREATE TABLE t (x)",
    "CREATE TEMP TABLE t (x)",
    "CREATE TEMP VIEW v AS SELECT * FROM secrets",
    "CREATE TEMP TRIGGER t INSTEAD OF INSERT ON people BEGIN SELECT 1; END",
    "ALTER TABLE people ADD COLUMN x",
    "CREATE VIRTUAL TABLE f USING fts5(x)",
    "ATTACH 'other.db' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH temp",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "REINDEX",
    "ANALYZE",
    "PRAGMA query_only=OFF",
    "PRAGMA writable_schema=ON",
    "PRAGMA table_list",
    "PRAGMA database_list",
    "PRAGMA temp_store_directory='.'",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "SAVEPOINT s",
    "EXPLAIN DELETE FROM people",
    "SELECT * FROM secrets",
    "SELECT * FROM main.secrets",
    "SELECT * FROM peep",
    "SELECT name, (SELECT word FROM secrets) FROM people",
    "SELECT * FROM people WHERE name IN (SELECT word FROM secrets)",
    "SELECT * FROM people UNION ALL SELECT word, 1, 1, 1 FROM secrets",
    "WITH s AS (SELECT * FROM secrets) SELECT * FROM s",
    "SELECT name FROM main.people",  # below the view, rows are not restricted
    "SELECT * FROM sqlite_master",
    "SELECT * FROM sqlite_temp_master",
    "SELECT * FROM main.sqlite_schema",
    "SELECT * FROM pragma_table_list",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM json_each('[1]')",
    "SELECT * FROM json_tree('[1]')",
    "SELECT * FROM generate_series(1, 9)",
    "SELECT load_extension('x.so')",
    "SELECT readfile('shop.db')",
    "SELECT writefile('x', 'y')",
    "SELECT edit('x')",
    "SELECT randomblob(1000000000)",
    "SELECT zeroblob(1000000000)",
    "SELECT hex(zeroblob(100000000))",
    "SELECT printf('%1000000000d', 1)",
    "SELECT format('%1000000000d', 1)",
    "SELECT sqlite_version()",
    "SELECT sqlite_compileoption_get(1)",
    "SELECT last_insert_rowid()",
    "SELECT fts3_tokenizer('simple')",
    "SELECT row_number() OVER () FROM people",
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n LIMIT 5",
    "SELECT name FROM people; DELETE FROM people",
    "SELECT name FROM people; SELECT name FROM people",
    "SELECT name FROM people\0; DELETE FROM people",
    "",
    "-- nothing",
    "SELECT ?",
    "SELECT 'x' REGEXP 'y'",
    "SELECT name FROM people WHERE name MATCH 'x'",
]


@pytest.mark.parametrize("sql", ATTACKS)
def test_an_attack_is_refused(people, shop, sql):
    before, files = hashlib.sha256(shop.read_bytes()).hexdigest(), sorted(shop.parent.iterdir())
    with pytest.raises(QueryRefused):
        people.select(sql, limit=10)
    assert hashlib.sha256(shop.read_bytes()).hexdigest() == before
    assert sorted(shop.parent.iterdir()) == files
    assert people.select("SELECT count(*) FROM people", limit=1).rows == ((3,),)  # it still serves


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM people a, people b, people c, people d, people e, people f, people g, "
        "people h, "
        "people i, people j, people k, people l, people m, people n, people o, people p, people q, people r",
        "SELECT name FROM people a, people b, people c, people d, people e, people f, people g, "
        "people h, "
        "people i, people j, people k, people l, people m, people n, people o ORDER BY a.id + b.id + c.id",
    ],
)
def test_a_query_that_does_not_end_is_ended(people, sql):
    with pytest.raises(QueryRefused, match=r"longer than 0\.5 seconds|ambiguous"):
        people.select(sql.replace("SELECT name", "SELECT a.name"), limit=10)


def test_values_cannot_be_made_large(people):
    grown = "name || name || name || name || name || name || name || name"
    for _ in range(3):
        grown = f"replace({grown}, 'n', '{'n' * 200}')"
    with pytest.raises(QueryRefused, match="too big"):
        people.select(f"SELECT length({grown}) FROM people", limit=10)


def test_deep_and_long_queries_are_refused(people):
    for sql in (f"SELECT {'-' * 5000}1", f"SELECT {'(' * 2000}1{')' * 2000}", f"SELECT '{'x' * 300_000}'"):
        with pytest.raises(QueryRefused):
            people.select(sql, limit=1)


def test_rows_are_bounded_and_more_is_told(people):
    found = people.select("SELECT name FROM people", limit=2)
    assert found.rows == (("n1",), ("n2",))
    assert found.more
    assert not people.select("SELECT name FROM people", limit=3).more


def test_the_rows_number_has_a_name_of_its_own(people):
    assert people.number == "row_number_"
    assert people.select("SELECT row_number_, row_number FROM people LIMIT 1", limit=1).rows == ((1, -1),)


def test_only_some_rows_can_be_seen(shop):
    location = inspect_table("people", shop, "people")
    with open_sandboxed(PEOPLE, location, condition='"id" > 1') as table:
        assert table.select("SELECT id FROM people", limit=9).rows == ((2,), (3,))
        assert table.select("SELECT count(*) FROM people", limit=9).rows == ((2,),)
        with pytest.raises(QueryRefused):
            table.select("SELECT id FROM main.people", limit=9)


def test_a_writer_is_not_in_the_way(shop):
    """A database in WAL mode that another process writes is read as it was committed."""
    writer = sqlite3.connect(shop, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM people WHERE id = 1")
    with open_sandboxed(PEOPLE, inspect_table("people", shop, "people")) as table:
        assert table.select("SELECT count(*) FROM people", limit=1).rows == ((3,),)
    writer.execute("COMMIT")
    with open_sandboxed(PEOPLE, inspect_table("people", shop, "people")) as table:
        assert table.select("SELECT count(*) FROM people", limit=1).rows == ((2,),)
    writer.close()


def test_a_hostile_schema_runs_nothing(tmp_path):
    """A generated column that calls a function is not trusted, and a view or virtual table is no table."""
    path = tmp_path / "evil.db"
    with sqlite3.connect(path) as connection:
        connection.create_function("spy", 1, lambda text: text, deterministic=True)
        connection.execute("CREATE TABLE t (a TEXT, b TEXT AS (spy(a)))")
        connection.execute("INSERT INTO t (a) VALUES ('x')")
    connection.close()
    with pytest.raises(UnreadableFile, match=r"table t: .*spy"):
        inspect_table("t", path, "t")


def test_threads_have_a_connection_each(shop):
    found = []

    def ask():
        with open_sandboxed(PEOPLE, inspect_table("people", shop, "people")) as table:
            found.append(table.select("SELECT count(*) FROM people", limit=1).rows)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [((3,),)] * 8


@pytest.mark.parametrize(
    ("sql", "aggregate", "items"),
    [
        ("select name from people", False, ("name",)),
        ("SELECT * FROM people p WHERE p.id > 1;", False, ("*",)),
        ('SELECT "name", id AS "the id" FROM people ORDER BY "the id"', False, ('"name"', "id")),
        ("SELECT max(id, 2) FROM people", False, ("max(id, 2)",)),
        ("SELECT max(id) FROM people", True, ("max(id)",)),
        (
            "SELECT 1 + count(*), name FROM people GROUP BY name HAVING count(*) > 1",
            True,
            ("1 + count(*)", "name"),
        ),
        ("SELECT name FROM people WHERE id = (SELECT max(id) FROM people)", False, ("name",)),
        (
            "SELECT (SELECT count(*) FROM people), name FROM people",
            False,
            ("(SELECT count(*) FROM people)", "name"),
        ),
        ("SELECT DISTINCT name FROM people -- all of them", False, ("name",)),
        ("SELECT name /* ; */ FROM [people] LIMIT 1", False, ("name",)),
        ("SELECT ';' FROM people WHERE name = 'it''s; FROM'", False, ("';'",)),
    ],
)
def test_statements_are_taken_apart(people, sql, aggregate, items):
    read = parse_statement(sql, [PEOPLE])
    assert (read.aggregate, read.items) == (aggregate, items)
    assert people.select(read.sql, limit=5).columns[-1] in ("row_number_", 'json_group_array("row_number_")')


@pytest.mark.parametrize(
    "items",
    [
        "name || '-' || id, id / 2, id % 2, -id, id * 1.5, 7 / 2, 7 / 2.0",
        "ifnull(name, 'x'), coalesce(NULL, id), nullif(id, 2), iif(id > 1, 'a', 'b'), typeof(id), abs(row_number)",
        "substr(name, 1, 1), length(name), upper(name), instr(name, '2'), trim(' a '), replace(name, 'n', 'm')",
        "strftime('%Y-%m', '2024-03-05'), date('2024-03-05', '+1 month'), julianday('2024-03-05'), round(2.345, 2)",
        "id = 1, id <> 1, id != 1, id IS NULL, name LIKE 'N%', name GLOB 'n[12]', id BETWEEN 1 AND 2, id NOT IN (1, 2)",
        "CASE id WHEN 1 THEN 'one' ELSE 'more' END, CAST(id AS TEXT), CAST('3x' AS INTEGER), x'41', 1e3, NOT id > 1",
        "count(*), count(DISTINCT name), sum(id), total(id), avg(id), min(name), max(id), group_concat(name, ';')",
        "sum(CASE WHEN id > 1 THEN 1 ELSE 0 END), count(*) FILTER (WHERE id > 1), max(id) - min(id)",
    ],
)
def test_a_parsed_query_means_what_was_written(people, items):
    for rest in (
        "",
        " WHERE id > 1 AND name IS NOT NULL ORDER BY 1 DESC NULLS LAST LIMIT 2",
        " GROUP BY id % 2 ORDER BY 1",
    ):
        sql = f"SELECT {items} FROM people{rest}"
        own = people.select(parse_statement(sql, [PEOPLE]).sql, limit=9).rows
        assert [row[:-1] for row in own] == list(people.select(sql, limit=9).rows)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("DELETE FROM people", "begin with SELECT"),
        ("WITH x AS (SELECT 1) SELECT * FROM people", "begin with SELECT"),
        ("SELECT 1", "no FROM"),
        ("SELECT (SELECT name FROM people)", "no FROM"),
        ("SELECT 1 FROM people, people", "name one table"),
        ("SELECT 1 FROM people JOIN people b", "without a JOIN"),
        ("SELECT 1 FROM (SELECT * FROM people)", "name one table"),
        ("SELECT 1 FROM main.people", "name one table"),
        ("SELECT 1 FROM secrets", "no table secrets; there are: people"),
        ("SELECT 1 FROM people UNION SELECT 2 FROM people", "UNION is not allowed"),
        ("SELECT sum(id) OVER () FROM people", "OVER is not allowed"),
        ("SELECT 1 FROM people; SELECT 2", "more than one statement"),
        ("SELECT (1 FROM people", r"not understood: Expecting \)"),
        ("SELECT 1) FROM people", r"not understood: .* at \)"),
        ("SELECT name FROM people WHERE name = 'x", "is not understood"),
        ("SELECT name FROM people WHERE name = ?", "is not understood"),
        ("SELECT name FROM people WHERE \"nmae\" = 'x'", "no such column: nmae"),
        ("SELECT FROM people", "selects nothing"),
        ("SELECT name FROM people WHERE 1 FROM people", "not understood: .* at FROM"),
        ("SELECT name, " + "x" * 5000 + " FROM people", "longer than 4000"),
        ("SELECT name \0 FROM people", "is not understood"),
    ],
)
def test_what_is_no_plain_select_is_refused_with_the_reason(sql, why):
    with pytest.raises(QueryRefused, match=why):
        parse_statement(sql, [PEOPLE])
