"""Judgments and runs in the forms that tools write: one set of judgments, read alike from each."""

import json
from pathlib import Path

import pytest

from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.evaluate.datasets import kind_of, load_dataset
from gnomon.evaluate.judgments import check_dataset
from gnomon.evaluate.metrics import summary
from gnomon.evaluate.run import Run
from gnomon.evaluate.text_files import text_lines
from gnomon.evaluate.trec import load_qrels

ROWS = [("q1", "d1", 2), ("q1", "d2", 0), ("q1", "d3", 1), ("q2", "d2", 1), ("q2", "d4", -1)]
RELEVANT = {"q1": {"d1": 2, "d2": 0, "d3": 1}, "q2": {"d2": 1, "d4": -1}}


def lines(form: str) -> str:
    return "".join(form.format(*row) + "\n" for row in ROWS)


MTEB = "".join(json.dumps({"query-id": q, "corpus-id": d, "score": g}) + "\n" for q, d, g in ROWS)
FORMS = {
    "spaces": ("a.qrels", lines("{0}   0 {1}   {2}")),
    "tabs": ("a.tsv", lines("{0}\t0\t{1}\t{2}")),
    "a tab among spaces": ("a.qrels", lines("{0}   0   {1}\t   {2}")),
    "three columns without a header": ("a.tsv", lines("{0}\t{1}\t{2}")),
    "BEIR": ("a.tsv", "query-id\tcorpus-id\tscore\n" + lines("{0}\t{1}\t{2}")),
    "CSV": ("a.csv", "query-id,corpus-id,score\n" + lines("{0},{1},{2}")),
    "CSV without a header": ("a.csv", lines("{0},{1},{2}")),
    "MTEB": ("a.jsonl", MTEB),
    "MTEB with a mark and Windows' lines": ("a.jsonl", "\ufeff" + MTEB.replace("\n", "\r\n")),
    "ranx": ("a.json", json.dumps(RELEVANT)),
    "ranx, indented": ("a.json", json.dumps(RELEVANT, indent=2)),
}


@pytest.mark.parametrize(("name", "text"), FORMS.values(), ids=FORMS)
def test_judgments_in_any_form(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert kind_of(tmp_path / name) == "qrels"
    found = load_qrels(tmp_path / name)
    assert (found.relevant, found.faults) == (RELEVANT, ())


def test_mtebs_folder(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.jsonl").write_text(MTEB)
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps({"_id": q, "text": q}) + "\n" for q in ("q1", "q2")))
    documents = [{"_id": f"d{n}", "title": "", "text": f"text {n}"} for n in range(1, 5)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents))
    found = load_dataset(tmp_path)
    assert (found.relevant, found.split, check_dataset(found)) == (RELEVANT, "test", ())


def test_a_judgment_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(MTEB + '{"query-id": "q3", "corpus-id": ["d1"], "score": 1}\n')
    with pytest.raises(InvalidInput, match=r"a\.jsonl, line 6"):
        load_qrels(tmp_path / "a.jsonl")


def test_negative_grades_are_trecs_and_gain_nothing(tmp_path: Path) -> None:
    negative, zero = ({"q": {"d1": grade, "d2": 1}} for grade in (-1, 0))
    run = Run("r", {"q": {"d1": 2.0, "d2": 1.0}})
    assert [s.mean for s in summary(run, negative, ["nDCG@10"])] == [s.mean for s in summary(run, zero, ["nDCG@10"])]
    (tmp_path / "a.qrels").write_text("q 0 d1 -1\nq 0 d2 1\n")
    assert [issue.kind for issue in check_dataset(load_qrels(tmp_path / "a.qrels"))] == ["empty queries"]


def test_the_same_id_twice_is_said_as_it_is(tmp_path: Path) -> None:
    queries = [{"_id": "q", "text": "one"}, {"_id": "q", "text": "one"}, {"_id": "q", "text": "two"}]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    (tmp_path / "qrels.tsv").write_text("q\td\t1\n")
    faults = load_dataset((tmp_path / "queries.jsonl", tmp_path / "qrels.tsv")).faults
    assert [fault.what for fault in faults] == [
        "query 'q' again, with the same text",
        "query 'q' again, with another text",
    ]
    (tmp_path / "a.run").write_text("q Q0 d 1 3.0 r\nq Q0 d 2 0.5 r\n")
    with pytest.raises(InvalidInput, match=r"line 2: document 'd' is there already .* score 3, and now with 0\.5"):
        Run.load(tmp_path / "a.run")


def test_ranxs_run(tmp_path: Path) -> None:
    (tmp_path / "ranx.json").write_text(json.dumps({"q1": {"d1": 3.0, "d2": 1}}))
    assert Run.load(tmp_path / "ranx.json").results == {"q1": {"d1": 3.0, "d2": 1.0}}


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"gone\.tsv: no such file"):
        list(text_lines(tmp_path / "gone.tsv"))
