import gzip
import json
from pathlib import Path

import pytest

from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.evaluate.datasets import load_dataset
from gnomon.evaluate.judgments import Judgment, collect_judgments

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def write(path: Path, *lines: object, packed: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


def beir(folder: Path, splits: tuple[str, ...] = ("test", "train"), packed: bool = False) -> Path:
    end = ".gz" if packed else ""
    write(
        folder / f"corpus.jsonl{end}",
        *({"_id": f"d{i}", "title": "t", "text": "x"} for i in range(4)),
        packed=packed,
    )
    queries = [{"_id": f"q-{split}", "text": f"about {split}"} for split in splits]
    write(folder / f"queries.jsonl{end}", *queries, {"_id": "q-none", "text": "never judged"}, packed=packed)
    for at, split in enumerate(splits):
        write(folder / "qrels" / f"{split}.tsv", "query-id\tcorpus-id\tscore", f"q-{split}\td{at}\t{at + 1}")
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_beir_folder_takes_the_test_split_and_its_own_queries(tmp_path: Path, packed: bool) -> None:
    found = load_dataset(beir(tmp_path / "set", packed=packed))
    assert (found.name, found.split) == ("set", "test")
    assert found.queries == {"q-test": "about test", "q-none": "never judged"}
    assert found.relevant == {"q-test": {"d0": 1}}
    assert found.documents == {"d0", "d1", "d2", "d3"}
    assert found.judged == {"q-test": "about test"}
    assert found.faults == ()
    assert not found.pseudo


def test_another_split_is_taken_by_name_or_because_it_is_the_only_one(tmp_path: Path) -> None:
    assert load_dataset(beir(tmp_path / "a"), split="train").relevant == {"q-train": {"d1": 2}}
    assert load_dataset(beir(tmp_path / "b", ("dev",))).split == "dev"


def test_a_split_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has no split 'final'; its splits: test, train"):
        load_dataset(beir(tmp_path / "a"), split="final")
    with pytest.raises(InvalidInput, match=r"no split 'test'; its splits: dev, train\n.*more than one"):
        load_dataset(beir(tmp_path / "b", ("dev", "train")))


def test_json_lines_with_lists_or_grades_and_ids_where_given(tmp_path: Path) -> None:
    rows = [
        {"query": "first", "relevant": ["a", 7]},
        {"id": "x", "query": "second", "relevant": {"a": 2, "b": 0}},
        {"query": "third", "relevant": []},
    ]
    for packed in (False, True):
        path = write(tmp_path / ("own.jsonl.gz" if packed else "own.jsonl"), *rows, packed=packed)
        found = load_dataset(path)
        assert found.name == "own"
        assert found.queries == {"1": "first", "x": "second", "3": "third"}
        assert found.relevant == {"1": {"a": 1, "7": 1}, "x": {"a": 2, "b": 0}}
        assert found.documents is None
        assert list(found.judged) == ["1", "x"]


@pytest.mark.parametrize(
    "judgments",
    [
        ["q1 0 d1 2", "q2 0 d2 0"],
        ["q1\t0\td1\t2", "q2\t0\td2\t0"],
        ["q1 d1 2", "q2 d2 0"],
        ["query-id\tcorpus-id\tscore", "q1\td1\t2", "q2\td2\t0"],
        ["docid qid relevance", "d1 q1 2.0", "d2 q2 0"],
    ],
)
@pytest.mark.parametrize("header", [[], ["qid\tquery"]])
def test_trec_files_as_a_pair_and_as_a_folder(tmp_path: Path, judgments: list[str], header: list[str]) -> None:
    topics = write(tmp_path / "topics.tsv", *header, "q1\twhat is it", "q2\tand that")
    qrels = write(tmp_path / "qrels.txt", *judgments)
    for found in (load_dataset((topics, qrels)), load_dataset(tmp_path)):
        assert found.queries == {"q1": "what is it", "q2": "and that"}
        assert found.relevant == {"q1": {"d1": 2}, "q2": {"d2": 0}}
        assert found.documents is None


def test_a_trec_folder_has_splits_by_name(tmp_path: Path) -> None:
    for split in ("dev", "test"):
        write(tmp_path / f"topics.{split}.tsv", f"{split}1\ta question")
        write(tmp_path / f"qrels.{split}.txt", f"{split}1 0 d1 1")
    assert load_dataset(tmp_path).queries == {"test1": "a question"}
    assert load_dataset(tmp_path, split="dev").relevant == {"dev1": {"d1": 1}}


def test_a_tabbed_id_may_hold_spaces(tmp_path: Path) -> None:
    topics = write(tmp_path / "t.tsv", "q 1\twords")
    assert load_dataset((topics, write(tmp_path / "q.tsv", "q 1\tmy file.txt\t1"))).relevant == {
        "q 1": {"my file.txt": 1}
    }


def test_what_a_mapping_cannot_hold_is_recorded() -> None:
    rows = [
        Judgment("q", "d", "1", "f:1"),
        Judgment("q", "d", "1", "f:2"),
        Judgment("q", "d", "3", "f:3"),
        Judgment("q", "e", "0.5", "f:4"),
        Judgment("r", "e", "nan", "f:5"),
        Judgment("q", "", "1", "f:6"),
    ]
    relevant, faults = collect_judgments(rows)
    assert relevant == {"q": {"d": 1}}
    assert [(fault.kind, fault.where) for fault in faults] == [
        ("duplicate judgments", "f:2"),
        ("conflicting grades", "f:3"),
        ("non-integer grades", "f:4"),
        ("non-integer grades", "f:5"),
        ("empty ids", "f:6"),
    ]
    assert faults[1].what == "query 'q', document 'd': 1, then 3"


def test_a_second_query_of_one_id_is_recorded(tmp_path: Path) -> None:
    path = write(
        tmp_path / "own.jsonl",
        {"id": "q", "query": "one", "relevant": ["a"]},
        {"id": "q", "query": "two", "relevant": ["b"]},
    )
    found = load_dataset(path)
    assert found.queries == {"q": "one"}
    assert [(fault.kind, fault.where) for fault in found.faults] == [("duplicate query ids", "own.jsonl:2")]


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("run.txt", ["q1 Q0 d1 1 0.9 mine"], "a run, which is compared"),
        ("qrels.txt", ["q1 0 d1 1"], "judgments without their queries"),
        ("topics.tsv", ["q1\twords"], r"queries \(topics\) without judgments"),
        ("queries.jsonl", ['{"_id": "1", "text": "x"}'], "queries without judgments"),
        ("corpus.jsonl", ['{"_id": "1", "title": "", "text": "x"}'], "documents, no queries"),
        ("notes.txt", ["just a sentence"], "an unknown form"),
        ("empty.txt", [], "an unknown form"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, name: str, lines: list[str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        load_dataset(write(tmp_path / name, *lines))
    assert "BEIR folder" in refused.value.expected
    assert refused.value.hint
    with pytest.raises(InvalidInput, match=said):
        load_dataset(tmp_path)


def test_wrong_lines_are_named(tmp_path: Path) -> None:
    topics = write(tmp_path / "t.tsv", "q1\twords")
    cases: list[tuple[list[object], str]] = [
        (["q1 0 d1 1", "q1 0 d2"], r"line 2: 3 columns"),
        (["q1 Q0 d1 1 0.9 mine"], r"line 1: 6 columns .* that is a run"),
    ]
    for lines, said in cases:
        with pytest.raises(InvalidInput, match=said):
            load_dataset((topics, write(tmp_path / "q.txt", *lines)))
    rows: list[tuple[object, str]] = [
        ({"query": "x", "relevant": "a"}, r"line 2: .*relevant"),
        ({"query": 3, "relevant": ["a"]}, "line 2"),
        ("{broken", "line 2: not usable JSON"),
        ("[1]", "line 2: a JSON list"),
        ('{"query": "x", "relevant": {"a": 1, "a": 2}}', "line 2: .*'a' is there twice"),
    ]
    for row, said in rows:
        with pytest.raises(InvalidInput, match=said):
            load_dataset(write(tmp_path / "own.jsonl", {"query": "x", "relevant": ["a"]}, row))


def test_no_judgment_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no judgment"):
        load_dataset(write(tmp_path / "own.jsonl", {"query": "x", "relevant": []}))
    with pytest.raises(InvalidInput, match="does not exist"):
        load_dataset(tmp_path / "nowhere")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"query": "x", "relevant": ["a"]}\n' * 1000)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFile, match=r"cut\.jsonl\.gz cannot be read after line"):
        load_dataset(tmp_path / "cut.jsonl.gz")
    (tmp_path / "latin.tsv").write_bytes("q1\tcafé\n".encode("latin-1"))
    with pytest.raises(UnreadableFile, match="line 1: not UTF-8"):
        load_dataset(tmp_path / "latin.tsv")


@pytest.mark.parametrize(
    ("name", "split", "queries", "documents"),
    [("scifact", None, 300, 5183), ("cranfield", None, 225, 1400), ("insuranceqa", "dev", 2000, 27413)],
)
def test_public_sets(name: str, split: str | None, queries: int, documents: int) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the public data set {name} is not there")
    found = load_dataset(SHARED / name, split=split)
    assert len(found.judged) == len(found.queries) == len(found.relevant) == queries
    assert found.documents is not None
    assert len(found.documents) == documents
