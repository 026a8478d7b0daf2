"""gnomon mine: the command, run."""

import json

import pytest

from gnomon.cli.main import run
from gnomon.train.data import open_source

TOPICS = "sundial whale teapot glacier violin lantern orchard compass beetle harbour".split()


@pytest.fixture
def pairs(tmp_path):
    file = tmp_path / "pairs.jsonl"
    rows = [
        {"query": f"about the {topic}", "positive": f"You see the {topic} {place}."}
        for topic in TOPICS
        for place in ("here", "there", "at night")
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_it_writes_tuples_that_a_source_reads(pairs, tmp_path, capsys):
    corpus, out = tmp_path / "corpus.jsonl", tmp_path / "mined.jsonl"
    corpus.write_text("".join(json.dumps({"_id": t, "text": f"Not about a {t}."}) + "\n" for t in TOPICS))
    given = [
        "mine",
        str(pairs),
        "--out",
        str(out),
        "--corpus",
        str(corpus),
        "--ranks",
        "1:3",
        "--per-query",
        "1",
    ]
    assert run([*given, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["examples"], said["negatives"], said["out"]) == (30, 30, str(out))
    assert said["rates"]["withheld"]["hidden"] == 60
    assert said["rates"]["withheld"]["mined"] == 0  # hidden answers are not in this corpus
    mined = open_source(out)
    assert mined[0].documents == ("You see the sundial here.", "Not about a sundial.")
    assert not list(tmp_path.glob(".mined*"))
    assert run(given) == 0
    assert "0.0% were mined" in capsys.readouterr().out


def test_a_beir_folder_brings_its_corpus(tmp_path, capsys):
    (tmp_path / "set/qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "title": "Whale", "text": f"a whale {'sings ' * n}"} for n in range(4)]
    (tmp_path / "set/corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    (tmp_path / "set/queries.jsonl").write_text(json.dumps({"_id": "q", "text": "whale"}) + "\n")
    (tmp_path / "set/qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\n")
    out = tmp_path / "mined.jsonl"
    assert run(["mine", str(tmp_path / "set"), "--out", str(out), "--ranks", "1:3", "--per-query", "3"]) == 0
    (row,) = map(json.loads, out.read_text().splitlines())
    assert row["positive"] == "Whale\na whale "
    assert len(row["negative"]) == 3
    assert "3 of 4 texts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ranks", "ten"], "--ranks ten"),
        (["--method", "both"], "method 'both' without an encoder"),
        (["--ranks", "1:2"], "5 negatives of ranks 1 to 2"),
        (["--corpus", "."], "holds no corpus.jsonl"),
    ],
)
def test_wrong_input_is_named(pairs, tmp_path, capsys, options, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "mined.jsonl"
    assert run(["mine", str(pairs), "--out", str(out), *options]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("head", "columns"), [("", "query,positive"), ("ask\tbody\n", "query=ask,positive=body")])
def test_columns_are_named_on_the_command_line(tmp_path, head, columns):
    file, out = tmp_path / "pairs.tsv", tmp_path / "mined.jsonl"
    file.write_text(head + "".join(f"about the {topic}\tYou see the {topic} here.\n" for topic in TOPICS))
    asked = ["mine", str(file), "--out", str(out), "--ranks", "1:3", "--per-query", "1"]
    assert run(asked) == 2
    assert run([*asked, "--columns", columns]) == 0
    assert open_source(out)[0].documents[0] == "You see the sundial here."
