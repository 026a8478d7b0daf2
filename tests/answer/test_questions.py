import gzip
import json
import re

import pytest

from gnomon.answer.evaluation.questions import Question, read_questions
from gnomon.core.errors import InvalidInput, UnreadableFile


def written(folder, *rows):
    path = folder / "qa.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_every_form_of_a_row(tmp_path):
    path = written(
        tmp_path,
        {"id": "a", "question": "Who?", "answer": "Ada", "document": "d1", "more": [1]},
        "",
        {"question": "Where?", "answers": ["Rome", "In Rome", "Rome"], "documents": ["d1", 2, "d1"]},
        {"id": 7, "question": "When?", "answer": "1815", "doc": "d3"},
        {"id": "b", "question": "Why?", "answer": "No reason.", "document": None},
    )
    found = read_questions(path)
    assert found.questions == (
        Question("a", "Who?", ("Ada",), ("d1",)),
        Question("line-3", "Where?", ("Rome", "In Rome"), ("d1", "2")),
        Question("7", "When?", ("1815",), ("d3",)),
        Question("b", "Why?", ("No reason.",)),
    )
    assert found.of == 4
    (lone,) = found.findings
    assert str(lone) == ("warning: 1 questions without documents: search and abstention are not measured: b")
    packed = tmp_path / "qa.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_questions(packed).questions == found.questions


@pytest.mark.parametrize(
    ("row", "came"),
    [
        ({"answer": "x"}, "line 2: no question"),
        ({"question": " ", "answer": "x"}, "line 2: the question ' '"),
        ({"question": ["a"], "answer": "x"}, r"line 2: the question ['a']"),
        ({"question": "Who?"}, "line 2: no answer"),
        ({"question": "Who?", "answers": []}, "line 2: no answer"),
        ({"question": "Who?", "answer": ""}, "line 2: the answer ''"),
        ({"question": "Who?", "answer": 1815}, "line 2: the answer 1815"),
        ({"question": "Who?", "answers": ["x", None]}, "line 2: the answers ['x', None]"),
        ({"question": "Who?", "answer": "x", "doc": {"id": 1}}, "line 2: the doc {'id': 1}"),
        ({"question": "Who?", "answer": "x", "documents": [True]}, "line 2: the documents [True]"),
        ({"question": "Who?", "answer": "x", "id": ["a", "b"]}, "line 2: 2 ids"),
        ('{"question": "Who?"', "line 2: not usable JSON"),
        ("[1]", "line 2: a JSON list"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path, row, came):
    path = written(tmp_path, {"question": "Fine?", "answer": "Yes."}, row)
    with pytest.raises(InvalidInput, match=re.escape(came)) as error:
        read_questions(path)
    assert error.value.message.startswith(str(path))
    assert error.value.expected


def test_what_is_there_twice_is_reported(tmp_path):
    path = written(
        tmp_path,
        {"id": "a", "question": "Who?", "answer": "Ada", "doc": "d1"},
        {"id": "a", "question": "Where?", "answer": "Rome", "doc": "d1"},
        {"id": "c", "question": "who? ", "answer": "Bob", "doc": "d2"},
    )
    found = read_questions(path)
    assert [one.id for one in found.questions] == ["a", "c"]
    assert [str(finding) for finding in found.findings] == [
        "error: 1 rows with an id that another row has: left out: 'a' (line 2)",
        "warning: 1 questions that stand there more than once: 'who?'",
    ]


def test_evidence_that_is_not_in_the_collection(tmp_path):
    rows = [{"id": str(n), "question": f"Who {n}?", "answer": "x", "doc": f"d{n}"} for n in range(4)]
    found = read_questions(written(tmp_path, *rows))
    assert found.checked({"d0", "d1", "d2", "d3"}).findings == ()
    (finding,) = found.checked({"d0", "d2", "other"}).findings
    assert (finding.severity, finding.count, finding.examples) == ("error", 2, ("'d1'", "'d3'"))
    with pytest.raises(InvalidInput, match="none of the 4 documents") as error:
        found.checked({"docs/a.md"})
    assert "'d0', 'd1', 'd2'" in error.value.expected
    assert "'docs/a.md'" in error.value.hint


def test_the_first_questions(tmp_path):
    rows = [{"question": f"Who {n}?", "answer": "x"} for n in range(4)]
    found = read_questions(written(tmp_path, *rows))
    assert len(found.first(None).questions) == 4
    assert [one.text for one in found.first(2).questions] == ["Who 0?", "Who 1?"]
    assert found.first(2).of == 4
    with pytest.raises(InvalidInput, match="the first 0 questions"):
        found.first(0)


def test_a_file_without_questions(tmp_path):
    with pytest.raises(InvalidInput, match="holds no question"):
        read_questions(written(tmp_path))
    with pytest.raises(UnreadableFile):
        read_questions(tmp_path / "lost.jsonl")
