"""Sources: every form of file gives the same examples, by number; bad rows are named by file and line."""

import csv
import gzip
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.train.batch import Batch, Example
from gnomon.train.data import (
    DataSourceSettings,
    from_documents,
    listed_source,
    open_source,
    prompts_by_source,
    spooled_source,
)
from gnomon.train.data.examples import detect_columns, to_row

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
PAIRS = [
    ("what casts a shadow?", "a gnomon"),
    ('who said "time flies",\nand when?', "Virgil; in verse"),
    ("ä", "ö"),
]


def json_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def texts(source) -> list[tuple[str, ...]]:
    return [(example.query, *example.documents) for example in source]


def test_jsonl_by_number_with_line_numbers(tmp_path):
    file = tmp_path / "faq.jsonl"
    lines = [json.dumps({"query": q, "answer": a}) for q, a in PAIRS]
    file.write_bytes(("﻿" + lines[0] + "\r\n\r\n\n" + lines[1] + "\n" + lines[2]).encode())
    source = open_source(file)
    assert source.name == "faq"
    assert source.form == "pairs"
    assert texts(source) == PAIRS
    assert [example.id for example in source] == [f"{file}:1", f"{file}:4", f"{file}:5"]
    assert source[2].query == "ä"
    assert source[0].source == "faq"
    assert source.digest() == sha256(file.read_bytes()).hexdigest()


def test_gzipped_is_told_by_content(tmp_path):
    file = json_lines(tmp_path / "plain.jsonl", [{"query": q, "answer": a} for q, a in PAIRS])
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert texts(open_source(packed)) == PAIRS
    assert open_source(packed).name == "packed"
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(UnreadableFile, match=r"packed.jsonl.gz cannot be read"):
        open_source(packed)


def test_csv_with_quotes_and_lines_in_cells(tmp_path):
    file = tmp_path / "faq.csv"
    rows = ["Question,Answer,page", *(f'"{q.replace(chr(34), chr(34) * 2)}","{a}",3' for q, a in PAIRS)]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    source = open_source(file)
    assert texts(source) == PAIRS
    assert source.where(2) == f"{file}:5"  # the second row takes two lines
    file.write_text("question;answer\na, b;c\n", encoding="utf-8")
    assert texts(open_source(file)) == [("a, b", "c")]


def test_tsv_knows_no_quotes(tmp_path):
    file = tmp_path / "faq.tsv"
    file.write_text('sentence1\tsentence2\tscore\n5" disk\ta "disk\t4.5\n', encoding="utf-8")
    source = open_source(DataSourceSettings(str(file), scale=(0, 5)))
    assert source.form == "scored"
    assert source[0].documents == ('a "disk',)
    assert source[0].labels == (0.9,)


def test_a_row_with_too_few_cells_is_named(tmp_path):
    file = tmp_path / "faq.csv"
    file.write_text("query,answer\na,b\nc\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"faq.csv:3: 1 cells\nExpected: 2: query, answer"):
        open_source(file)[1]


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"anchor": f"q{n}", "positive": f"p{n}", "negatives": [f"n{n}", f"m{n}"]} for n in range(25)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet", row_group_size=10)
    source = open_source(tmp_path / "t.parquet")
    assert len(source) == 25
    assert source[23].documents == ("p23", "n23", "m23")
    assert source[23].labels == (1.0, 0.0, 0.0)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(UnreadableFile, match="cannot be read as Parquet"):
        open_source(tmp_path / "bad.parquet")


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    (tmp_path / "t.parquet").write_bytes(b"")
    for wanted in (DataSourceSettings(str(tmp_path / "t.parquet")), DataSourceSettings("x/y", format="datasets")):
        with pytest.raises(InvalidInput, match=r"pip install 'gnomon\[data\]'"):
            open_source(wanted)


@pytest.mark.parametrize(
    ("names", "query", "rest", "form"),
    [
        (("anchor", "positive", "negative"), "anchor", ("positive", "negative"), "triplets"),
        (("question", "answer"), "question", ("answer",), "pairs"),
        (("Query", "Text", "id"), "Query", ("Text",), "pairs"),
        (
            ("query", "positive", "negative_1", "negative_2"),
            "query",
            ("positive", "negative_1", "negative_2"),
            "n-tuples",
        ),
        (("sentence1", "sentence2", "label"), "sentence1", ("sentence2",), "scored"),
        (("a", "b", "score", "src"), "a", ("b",), "scored"),
        (("source", "translation"), "source", ("translation",), "parallel"),
        (("query", "document", "source"), "query", ("document",), "pairs"),
    ],
)
def test_columns_by_their_names(names, query, rest, form):
    found = detect_columns(names)
    assert (found.query, (*found.positives, *found.negatives), found.form) == (query, rest, form)


def test_columns_that_are_not_clear_are_refused():
    with pytest.raises(InvalidInput, match=r"f has 2 columns for the positive: answer, text\nExpected: one"):
        detect_columns(("question", "answer", "text"), where="f")
    with pytest.raises(InvalidInput, match=r"none is the query\n.*sentence1 and sentence2\nHint: say which is which"):
        detect_columns(("title", "body"))
    with pytest.raises(InvalidInput, match=r"no column 'boddy'; its columns: title, body"):
        detect_columns(("title", "body"), {"query": "title", "positive": "boddy"})
    with pytest.raises(InvalidInput, match=r"columns.qery"):
        detect_columns(("title", "body"), {"qery": "title"})
    chosen = detect_columns(("title", "body", "label"), {"query": "title", "positive": ["body"], "label": ""})
    assert chosen.form == "pairs"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"query": "a"', "bad.jsonl:2: not usable JSON"),
        ('["a", "b"]', "bad.jsonl:2: a JSON list"),
        ('{"query": "a"}', "bad.jsonl:2: positive is missing"),
        ('{"query": "a", "positive": 7, "score": 1}', "bad.jsonl:2: positive holds 7\nExpected: a text"),
        ('{"query": "a", "positive": "b", "score": "neutral"}', "bad.jsonl:2: score holds 'neutral'"),
        ('{"query": "a", "positive": ["b", "c"], "score": [1]}', r"score holds \[1\]\nExpected: 2 numbers"),
        ('{"query": ["a", "b"], "positive": "c", "score": 1}', "query holds .*\nExpected: one text"),
    ],
)
def test_a_bad_row_is_named(tmp_path, line, said):
    file = tmp_path / "bad.jsonl"
    file.write_text('{"query": "a", "positive": "b", "score": 1}\n' + line + "\n", encoding="utf-8")
    source = open_source(file)
    assert source[0].labels == (1.0,)
    with pytest.raises(InvalidInput, match=said):
        source[1]


def test_not_utf8(tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_bytes(b'{"query": "a", "answer": "b"}\n{"query": "\xff", "answer": "b"}\n')
    with pytest.raises(UnreadableFile, match=r"bad.jsonl:2: not UTF-8 at byte 11"):
        open_source(file)[1]


def test_unknown_and_missing_files(tmp_path):
    with pytest.raises(InvalidInput, match=r"does not exist\n.*\nHint: .*format = \"datasets\""):
        open_source(tmp_path / "none.jsonl")
    (tmp_path / "a.xml").write_text("<a/>")
    with pytest.raises(InvalidInput, match=r"a file that ends with '.xml'"):
        open_source(tmp_path / "a.xml")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InvalidInput, match="holds no example"):
        open_source(tmp_path / "empty.jsonl")


def beir(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    json_lines(
        folder / "corpus.jsonl",
        [{"_id": f"d{n}", "title": "T" * (n == 1), "text": f"text {n}"} for n in range(4)],
    )
    json_lines(folder / "queries.jsonl", [{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}])
    head = "query-id\tcorpus-id\tscore\n"
    (folder / "qrels/train.tsv").write_text(head + "q1\td1\t1\nq1\td2\t2\nq1\td3\t0\n")
    (folder / "qrels/test.tsv").write_text(head + "q2\td0\t1\n")
    return folder


def test_beir(tmp_path):
    source = open_source(beir(tmp_path / "set"))
    assert texts(source) == [("one", "T\ntext 1"), ("one", "text 2")]
    assert source[0].also == ("text 2",)
    assert source.where(1).endswith("set/train:q1→d2")
    held = open_source(DataSourceSettings(str(tmp_path / "set"), split="test"))
    assert texts(held) == [("two", "text 0")]
    assert held.digest() != source.digest()
    with (tmp_path / "set/qrels/test.tsv").open("a") as file:
        file.write("q2\td9\t1\n")
    with pytest.raises(InvalidInput, match=r"test:q2→d9: corpus.jsonl lacks the document"):
        open_source(DataSourceSettings(str(tmp_path / "set"), split="test"))


def test_in_memory_and_spooled():
    rows = [("q1", "p1", "n1"), ("q2", "p2", "n2")]
    listed = listed_source(rows, name="mine")
    assert listed.form == "triplets"
    assert listed[1].id == "mine:2"
    spooled = spooled_source(iter(listed), name="mine")
    assert list(spooled) == list(listed)
    assert texts(spooled.without([0])) == [("q2", "p2", "n2")]
    assert texts(spooled.without([0]).without([0])) == []
    assert texts(listed_source([{"query": "a", "positive": "b"}]).first(1)) == [("a", "b")]
    assert list(listed_source(list(listed))) == [Example(e.query, e.documents, e.labels, "rows", e.id) for e in listed]
    with pytest.raises(InvalidInput, match=r"rows:2: \('q',\)"):
        listed_source([("q", "p"), ("q",)])[1]


def test_rows_come_back_as_they_were_written(tmp_path):
    cases = [
        Example("q", ("p",), (1.0,)),
        Example("q", ("p", "n", "m"), (1.0, 0.0, 0.0)),
        Example("q", ("p",), (0.25,)),
        Example("q", ("p", "n"), (3.5, -1.0)),
    ]
    for case in cases:
        back = open_source(json_lines(tmp_path / "x.jsonl", [to_row(case)]))[0]
        assert (back.query, back.documents, back.labels) == (case.query, case.documents, case.labels)


def test_examples_from_documents(tmp_path):
    text = "# Install\n\nRun the installer now.\n\n## Linux\n\nUse your package manager here.\n\n## Empty\n"
    page = Document("guide.md", text, title="Install", media_type="text/markdown")
    assert [(e.query, e.documents[0]) for e in from_documents([page], "headings")] == [
        ("Install", "Run the installer now."),
        ("Install > Linux", "Use your package manager here."),
    ]
    (title,) = from_documents([page], "titles")
    assert title.query == "Install"
    assert title.documents[0].startswith("Run the installer")
    prose = Document("p", " ".join(f"Sentence number {n} says a thing or two here." for n in range(40)))
    spans = list(from_documents([prose], "spans"))
    assert len(spans) > 2
    assert [one.documents[0] for one in spans[:-1]] == [one.query for one in spans[1:]]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/guide.md").write_text(text)
    source = open_source(DataSourceSettings(str(tmp_path / "docs"), format="documents", make="headings"))
    assert source[1].query == "Install > Linux"
    assert source.where(1).startswith("docs/guide.md@")
    with pytest.raises(InvalidInput, match=r"make 'title'"):
        DataSourceSettings("x", make="title")


def test_prompts_by_source_and_role():
    prompts = {"query": "query: ", "document": "passage: "}
    source = listed_source([("a", "b")], name="faq")
    assert prompts_by_source([source]) == {}
    with_prompts = type(source)(source.name, source.examples, prompts)
    assert prompts_by_source([with_prompts]) == {"faq/query": "query: ", "faq/document": "passage: "}


def slow_labels(examples, *, in_batch: bool) -> np.ndarray:
    """What the label matrix must be, by comparing every pair."""
    documents = [(at, text) for at, example in enumerate(examples) for text in example.documents]
    labels = np.full((len(examples), len(documents)), 0.0 if in_batch else np.nan, dtype=np.float32)
    for row, example in enumerate(examples):
        own = iter(example.labels)
        judged = {*example.documents, *example.also, example.query}
        for column, (other, text) in enumerate(documents):
            if other == row:
                labels[row, column] = next(own)
            elif text in judged or examples[other].query == example.query:
                labels[row, column] = np.nan
    return labels


@pytest.mark.parametrize("in_batch", [True, False])
def test_a_batchs_labels_are_those_of_the_slow_twin(in_batch):
    rng = np.random.default_rng(3)
    for _ in range(30):
        examples = []
        for _ in range(rng.integers(1, 12)):
            documents = tuple(f"t{n}" for n in rng.integers(0, 12, rng.integers(1, 4)))
            labels = tuple(float(n) for n in rng.integers(0, 2, len(documents)))
            also = tuple(f"t{n}" for n in rng.integers(0, 12, rng.integers(0, 3)))
            examples.append(Example(f"t{rng.integers(0, 8)}", documents, labels, also=also))
        found = Batch.of(examples, in_batch=in_batch).labels
        np.testing.assert_array_equal(found, slow_labels(examples, in_batch=in_batch))


@pytest.mark.skipif(not (DATA / "sts").is_dir(), reason="the shared data sets are not here")
def test_public_files():
    sts = open_source(DataSourceSettings(str(DATA / "sts/stsb.train.jsonl.gz"), scale=(0, 5)))
    assert (len(sts), sts.form) == (5749, "scored")
    assert sts[0].labels == (1.0,)
    assert len(open_source(DataSourceSettings(str(DATA / "scifact"), split="train"))) == 919  # rows of train.tsv


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.text('ab"\n, ä', max_size=6), st.text('ab"\n,', max_size=6)), min_size=1, max_size=12),
    st.integers(1, 9),
    st.booleans(),
)
def test_rows_are_found_across_blocks(tmp_path_factory, rows, block, ends):
    folder = tmp_path_factory.mktemp("blocks")
    with (folder / "x.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\r\n" if ends else "\n", quoting=csv.QUOTE_ALL)
        writer.writerows([("query", "answer"), *rows])
    json_lines(folder / "x.jsonl", [{"query": q, "answer": a} for q, a in rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gnomon.train.data.tables._BLOCK", block)
        assert texts(open_source(folder / "x.csv")) == rows
        assert texts(open_source(folder / "x.jsonl")) == rows
