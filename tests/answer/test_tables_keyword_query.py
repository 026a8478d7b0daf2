"""Questions that a table answers by its words, and those it must not: no row is better than a wrong one."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gnomon
from gnomon.answer.tables import ask_tables, register, search_tables
from gnomon.answer.tables.question_words import fold, name_words, tokenize_question
from gnomon.core.errors import InvalidInput
from gnomon.testing.toys import HashEncoder

ORDERS = """\
order_id,customer,city,total,units,placed,paid,note
101,Meier,Berlin,120.50,3,2020-03-01,true,first order
102,Schmidt,Hamburg,700,1,2020-05-11,false,
103,Meier,Berlin,45,12,2021-01-15,true,two parts
104,Rossi,New York,980.25,7,2021-02-20,true,gift wrapped
105,Dupont,Paris,510,2,2022-07-07,false,late; call back
106,YORK,München,20,1,2022-12-31,true,
"""
CITIES = """\
name,country,founded,people
Oslo,Norway,1048,709037
Bergen,Norway,1070,289330
Rome,Italy,-753,2748109
"""


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    (folder / "orders.csv").write_text(ORDERS)
    (folder / "cities.csv").write_text(CITIES)
    with gnomon.open(folder / "kb", encoder=HashEncoder(32)) as collection:
        register(collection, folder / "orders.csv")
        register(collection, folder / "cities.csv")
        yield collection


def rows(kb, question, **given):
    return [passage.document for passage in ask_tables(kb, question, **given)]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("What did Meier order?", "1 3"),
        ("what did MEIER order", "1 3"),
        ("Show me Meier's orders", "1 3"),
        ("Orders by Meier and Rossi", "1 3 4"),
        ("orders from münchen", "6"),
        ("orders from New York", "4"),  # the longest value: not the customer YORK
        ("orders over 500", ""),  # of total or of units: not said
        ("orders with a total over 500", "2 4 5"),
        ("orders with a total of more than 1,000", ""),
        ("orders with total >= 510", "2 4 5"),
        ("orders with units of at least 7", "3 4"),
        ("orders with at most 1 units", "2 6"),
        ("orders with total between 100 and 600", "1 5"),
        ("total under 100 and units over 5", "3"),
        ("orders before 2021", "1 2"),
        ("orders placed after 2021", "5 6"),
        ("orders since 2021-02-20", "4 5 6"),
        ("orders until 2020-05-11", "1 2"),
        ("orders placed in May 2020", "2"),
        ("orders placed on 7 July 2022", "5"),
        ("orders placed on December 31, 2022", "6"),
        ("orders between January 2021 and February 2021", "3 4"),
        ("orders from 2020 to 2021", "1 2 3 4"),
        ("orders from Berlin before 2021", "1"),
        ("order 104", "4"),
        ("What is the total of order 102?", "2"),
        ("order id 105", "5"),
        ("paid orders from Paris", ""),
        ("paid orders in 2022", "6"),
        ("orders that were not paid", "2 5"),
        ('orders with the note "gift wrapped"', "4"),
        ('orders with "call"', "5"),
        ("Which order has the highest total?", "4 2 5 1 3"),
        ("the latest orders from Berlin", "3 1"),
        ("order with the fewest units", ""),  # a word that is not known is no order of rows
    ],
)
def test_rows_that_are_asked_for(kb, question, found):
    assert rows(kb, question) == [f"orders#{number}" for number in found.split()]


@pytest.mark.parametrize(
    "question",
    [
        "What is the incubation period of the virus?",
        "How do vaccines reach Berlin?",
        "Who paid for the study?",
        "What happened in 2020?",
        "How many people live in Germany?",
        "orders not from Berlin",
        "orders without a note from Meier",
        "orders except Meier's",
        'orders with "nothing of the kind"',
        "orders before yesterday over 10",
        "York",  # an answer only where the table or a column is named, or a value: this is one
        "",
        "?",
        "'",
        "the of and",
    ],
)
def test_questions_that_are_left_to_the_documents(kb, question):
    assert rows(kb, question) == (["orders#6"] if question == "York" else [])


def test_counts_are_cited_by_their_rows(kb):
    count, *some = ask_tables(kb, "How many orders from Berlin are there?")
    assert count.document == "orders#1,3"
    assert count.text == "count: 2 (2 rows of orders, city = 'Berlin')"
    assert count.metadata == {"count": 2, "rows": [1, 3], "rows_total": 2}
    assert [row.document for row in some] == ["orders#1", "orders#3"]
    (count,) = ask_tables(kb, "How many orders are there?")
    assert (count.document, count.text) == ("orders#1-6", "count: 6 (6 rows of orders)")
    (count,) = ask_tables(kb, "How many orders with a total over 5000?")
    assert (count.document, count.metadata["count"]) == ("orders", 0)
    # The sum of a column is not the number of rows.
    assert rows(kb, "How many units did Rossi order?") == ["orders#4"]


def test_the_table_that_explains_most_answers(kb):
    assert rows(kb, "cities in Norway") == ["cities#1", "cities#2"]
    assert rows(kb, "cities founded before 1060") == ["cities#1", "cities#3"]


def test_the_limit_and_the_score(kb):
    passages = ask_tables(kb, "Which order has the highest total?", limit=2)
    assert [(p.number, p.document) for p in passages] == [(1, "orders#4"), (2, "orders#2")]
    assert passages[0].stages == {"filter": 1.0}
    assert passages[0].heading == ('ordered by "total" DESC NULLS LAST',)
    (part,) = ask_tables(kb, "orders of gadgets from Hamburg")
    assert part.score == pytest.approx(2 / 3)  # nothing in the table says what gadgets are
    with pytest.raises(InvalidInput, match="limit = 0"):
        ask_tables(kb, "orders", limit=0)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("total > 500", "2 4 5"),
        ("TOTAL > 500 and city != 'Paris'", "2 4"),
        ("not (total > 500)", "1 3 6"),
        ("customer ilike '%e%' and not customer like 'M%'", ""),
        ("customer like '%t'", "2 5"),
        ("customer in ('Rossi', 'Dupont') or units = 12", "3 4 5"),
        ("units not in (1, 2, 3)", "3 4"),
        ("note is null", "2 6"),
        ("note is not null and paid = false", "5"),
        ("placed >= '2022'", "5 6"),
        ("total = '700'", ""),  # a number is not a text
        ("customer > 5", ""),
        ("units = true", ""),
        ("customer = 'it''s'", ""),
        ("customer = '''; DROP TABLE orders; --'", ""),
        ("pages > 5", ""),  # a field of documents
    ],
)
def test_a_condition(kb, where, found):
    expected = [f"orders#{number}" for number in found.split()]
    assert rows(kb, "anything at all", where=where) == expected


def test_a_condition_and_a_question(kb):
    assert rows(kb, "What did Meier order?", where="total < 100") == ["orders#3"]
    (count, _) = ask_tables(kb, "How many orders from Berlin?", where="total < 100")
    assert count.text == "count: 1 (1 row of orders, total < 100 and city = 'Berlin')"
    with pytest.raises(InvalidInput, match="ends too early"):
        ask_tables(kb, "orders", where="total >")


@given(st.text(max_size=200))
def test_any_question_is_answered_or_left_alone(kb, question):
    looked = search_tables(kb, question)
    assert looked.errors == ()
    assert all(passage.row for passage in looked.passages)


def test_words_in_any_order_find_only_rows_that_meet_what_is_shown(kb):
    draw = random.Random(7)
    pool = "orders Meier Berlin over 500 before 2021 total units paid not how many the highest between and"
    for _ in range(200):
        question = " ".join(draw.choices(pool.split(), k=6))
        for passage in ask_tables(kb, question):
            if "Berlin" in question.split() and "rows" not in passage.metadata:
                assert passage.metadata["city"] == "Berlin"


def test_words():
    said = [
        (word.kind, word.text)
        for word in tokenize_question("Rossi's “old town” 3 March 2021, -1,250.5 > A-17 U.S. 2021-02-30")
    ]
    assert said == [
        ("word", "Rossi"),
        ("quoted", "old town"),
        ("date", "2021-03-03"),
        ("number", "-1,250.5"),
        ("sign", ">"),
        ("word", "A-17"),
        ("word", "U.S"),
    ]
    assert tokenize_question("-1,250.5")[0].number == -1250.5
    assert [fold(word) for word in ("Boss", "status", "analyses", "Orders")] == [
        "boss",
        "status",
        "analyse",
        "order",
    ]
    assert name_words("shippingAddress_ID") == ("shipping", "address", "id")
