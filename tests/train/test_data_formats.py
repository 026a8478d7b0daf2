"""Training files of other trainers: JSON arrays, rows and files without names, FlagEmbedding's fields."""

import json
import tomllib
import warnings

import pytest
import torch

from gnomon.core.errors import InvalidInput, UnusedColumns
from gnomon.train.data import DataSourceSettings, listed_source, open_source
from gnomon.train.losses.labels import require_binary
from gnomon.train.recipe.recipe import load_recipe

ROWS = [{"query": "what casts a shadow?", "positive": "a gnomon"}, {"query": "ä", "positive": "ö", "negative": "u"}]
TRIPLES = [("q1", "p1", "n1"), ("q2", "p2", "n2")]


def texts(source):
    return [(example.query, *example.documents) for example in source]


def opened(path, **settings):
    return open_source(DataSourceSettings(str(path), **settings))


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_file_is_an_array_or_json_lines(tmp_path, indent):
    file = tmp_path / "faq.json"
    file.write_text("\ufeff" + json.dumps(ROWS, indent=indent, ensure_ascii=False), encoding="utf-8")
    source = opened(file)
    assert texts(source) == [("what casts a shadow?", "a gnomon"), ("ä", "ö", "u")]  # a field of the second row alone
    assert source.where(1) == f"{file} item:2"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    assert texts(opened(file)) == texts(source)


def test_a_broken_array_is_named(tmp_path):
    file = tmp_path / "faq.json"
    file.write_text(json.dumps(ROWS, indent=1)[:-1], encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"faq.json:1 begins an array that is not usable JSON"):
        opened(file)
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(InvalidInput, match="holds no example"):
        opened(file)
    file.write_text(json.dumps([*ROWS, "text"]), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"faq.json:1: a JSON list"):
        opened(file)


@pytest.mark.parametrize("name", ["array.json", "lines.jsonl", "plain.tsv", "plain.csv"])
def test_rows_without_names_take_those_of_columns(tmp_path, name):
    file = tmp_path / name
    lines = {
        "array.json": json.dumps(TRIPLES),
        "lines.jsonl": "\n".join(map(json.dumps, TRIPLES)),
        "plain.tsv": "\n".join(map("\t".join, TRIPLES)),
        "plain.csv": "\n".join(map(",".join, TRIPLES)),
    }
    file.write_text(lines[name], encoding="utf-8")
    source = opened(file, columns=("query", "positive", "negative"))
    assert texts(source) == TRIPLES
    assert source.form == "triplets"
    with pytest.raises(
        InvalidInput, match=r'Hint: .*columns = \["query", "positive"\] in a recipe, or --columns query,'
    ):
        opened(file)
    with pytest.raises(InvalidInput, match=r"Expected: (a row of|2:) query, positive"):
        opened(file, columns=("query", "positive"))[1]


def test_one_line_of_an_array_of_texts_is_a_row(tmp_path):
    (tmp_path / "one.jsonl").write_text('["q", "p"]', encoding="utf-8")
    assert texts(opened(tmp_path / "one.jsonl", columns=("query", "positive"))) == [("q", "p")]


def test_a_row_of_the_same_names_is_no_example(tmp_path):
    (tmp_path / "a.csv").write_text('"query",positive\nq,p\n', encoding="utf-8")
    assert texts(opened(tmp_path / "a.csv", columns=("query", "positive"))) == [("q", "p")]


def test_a_recipe_lists_columns(tmp_path):
    (tmp_path / "r.toml").write_text(
        '[model]\nbackbone = "b"\n[[data.sources]]\npath = "t.tsv"\ncolumns = ["query", "positive"]\n'
        '[output]\nfolder = "m"\n',
        encoding="utf-8",
    )
    assert load_recipe(tmp_path / "r.toml").data.sources[0].columns == ("query", "positive")


def test_lists_of_columns_that_cannot_be(tmp_path):
    with pytest.raises(InvalidInput, match="columns query, query\nExpected: different names"):
        DataSourceSettings("x", columns=("query", "query"))
    with pytest.raises(InvalidInput, match="columns 'query'\nExpected: a list"):
        DataSourceSettings("x", columns="query")
    (tmp_path / "t.parquet").write_bytes(b"")
    with pytest.raises(InvalidInput, match="whose columns have names"):
        opened(tmp_path / "t.parquet", columns=("query", "positive"))


def test_listed_rows_take_names():
    assert texts(listed_source([("p", "q")], columns=("positive", "query"))) == [("q", "p")]


def test_fields_of_flag_embedding(tmp_path):
    row = {"query": "q", "pos": ["p"], "neg": ["n", "m"], "pos_scores": [0.9], "neg_scores": [0.2, 0.1]}
    file = tmp_path / "flag.jsonl"
    file.write_text(json.dumps({**row, "prompt": "Represent:", "type": "normal"}), encoding="utf-8")
    with pytest.warns(UnusedColumns, match=r"pos_scores, neg_scores, prompt, type of its rows are not used"):
        assert opened(file)[0].labels == (1.0, 0.0, 0.0)
    with pytest.warns(UnusedColumns, match=r"flag.jsonl: prompt, type of its rows"):
        scored = opened(file, columns={"label": ["pos_scores", "neg_scores"]})
    assert (scored.form, scored[0].labels) == ("scored", (0.9, 0.2, 0.1))
    file.write_text(json.dumps({"query": "q", "positive": "p", "type": "faq"}), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnusedColumns)
        assert len(opened(file)) == 1


def test_a_score_that_is_no_label_is_left_out_as_the_hint_says(tmp_path):
    file = tmp_path / "crawled.jsonl"
    file.write_text(json.dumps({"id": 1, "query": "q", "text": "p", "source": "web", "score": 0.5}), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"a label 0\.5") as raised:
        require_binary(torch.tensor([opened(file)[0].labels]), "infonce")
    columns = tomllib.loads(raised.value.hint[raised.value.hint.index("columns") :].removesuffix(" for that source"))
    assert (opened(file).form, opened(file, **columns).form) == ("scored", "pairs")
