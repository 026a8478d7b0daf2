"""Sessions of judging: what is asked, kept, estimated and written out."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import gnomon
from gnomon.answer.llm.endpoint import Endpoint
from gnomon.core.errors import InvalidInput
from gnomon.evaluate import load_dataset
from gnomon.evaluate.run import Run
from gnomon.judge import (
    JudgingReport,
    JudgingSession,
    JudgingSettings,
    ModelJudge,
    ModelJudgeSettings,
    judging_queries,
)
from gnomon.judge.answers import FILE
from gnomon.testing import HashEncoder
from support.endpoint_server import Asked, endpoint_server, replies
from support.judged_topics import QUERIES, TOPICS

FEW = {f"q{number}": f"about the {topic}" for number, topic in enumerate(TOPICS[:8])}


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[gnomon.Collection]:
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(), settings=gnomon.CollectionSettings(chunk_tokens=40)) as kb:
        kb.add(
            [{"id": f"d{n}", "title": topic, "text": f"You see the {topic} here."} for n, topic in enumerate(TOPICS)]
        )
        yield kb


def ranking(tmp_path: Path, name: str, queries: dict[str, str], *, first: int) -> str:
    """A saved run with the query's own document at one place, among others that are not relevant."""
    found = {}
    for number, query in enumerate(queries):
        others = [f"d{(number + step) % len(TOPICS)}" for step in range(1, 6)]
        others.insert(first, f"d{number}")
        found[query] = [(document, 1 / rank) for rank, document in enumerate(others, 1)]
    return str(Run.ranked(name, found).save(tmp_path / f"{name}.json"))


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    return [ranking(tmp_path, "late", FEW, first=5), ranking(tmp_path, "early", FEW, first=0)]


def opened(kb: gnomon.Collection, runs: list[str] | None, *, by: str = "ann", repeats: float = 0.0) -> JudgingSession:
    settings = JudgingSettings(grades=1, repeats=repeats) if runs else None
    return JudgingSession.open(kb, FEW if runs else None, runs, annotator=by, settings=settings)


def truth(query_id: str, document: str) -> int:
    return int(query_id[1:] == document[1:])


def judge_all(session: JudgingSession, most: int = 1000) -> JudgingReport:
    for _ in range(most):
        task = session.next()
        if task is None:
            break
        session.judge(task, truth(task.query_id, task.document))
    return session.report()


def test_the_better_candidate_is_found_and_its_difference_covered(kb: gnomon.Collection, runs: list[str]) -> None:
    report = judge_all(opened(kb, runs))
    (verdict,) = report.verdicts
    assert (verdict.baseline, verdict.candidate, verdict.outcome, verdict.needed) == (
        "late.json",
        "early.json",
        "better",
        0,
    )
    assert verdict.interval[0] <= 1 - 1 / 2.807354922057604 <= verdict.interval[1] + 1e-9  # log2(7) = 2.807
    assert report.is_decided
    assert report.judged <= report.pool
    assert "early.json is better than late.json" in report.explain()


def test_a_task_shows_the_passage_with_the_words_of_the_query(kb: gnomon.Collection, runs: list[str]) -> None:
    session = opened(kb, runs)
    while (task := session.next()) is not None and not truth(task.query_id, task.document):
        session.judge(task, 0)
    assert task is not None
    assert [task.text[start:end] for start, end in task.highlights] == [task.title]
    assert task.query == f"about the {task.title}"
    assert "is_repeat" not in task.to_json()
    assert session.next() == task  # the same until it is judged


def test_undo_asks_again_and_the_last_answer_counts(kb: gnomon.Collection, runs: list[str]) -> None:
    session = opened(kb, runs)
    assert session.undo() is None
    first = session.next()
    assert first is not None
    session.judge(first, 1)
    second = session.next()
    assert second is not None
    session.judge(second, 1)
    assert session.undo() is not None
    again = session.undo()
    assert again is not None
    assert (again.id, session.report().judged, session.report().skipped) == (first.id, 0, 0)
    session.judge(again, 0)
    assert session.next() == second or session.next().id == second.id  # type: ignore[union-attr]
    assert [judged.grade for judged in session.judgments()] == [0]
    entries = [json.loads(line)["kind"] for line in (session.folder / FILE).read_text().splitlines()]
    assert entries == ["judgment", "judgment", "undo", "undo", "judgment"]


def test_a_session_goes_on_where_it_was_left_with_the_same_question(kb: gnomon.Collection, runs: list[str]) -> None:
    session = opened(kb, runs)
    for _ in range(3):
        task = session.next()
        assert task is not None
        session.judge(task, truth(task.query_id, task.document))
    resumed = opened(kb, None)
    assert resumed.next() == session.next()
    assert resumed.report() == session.report()


def test_skipped_and_deleted_passages_count_for_neither(kb: gnomon.Collection, runs: list[str]) -> None:
    session = opened(kb, runs)
    kb.remove(["d0", "d1"])
    task = session.next()
    assert task is not None
    session.judge(task, None)
    report = judge_all(session)
    assert report.skipped > 1  # one by the annotator, the others since their documents are gone
    assert {judged.document for judged in session.judgments()}.isdisjoint({"d0", "d1"})


def test_documents_deleted_or_changed_since_are_noticed(kb: gnomon.Collection, runs: list[str], tmp_path: Path) -> None:
    session = opened(kb, runs)
    judge_all(session)
    gone, changed = (each.document for each in session.judgments()[:2])
    kb.remove([gone])
    kb.add([{"id": changed, "text": "Something else."}])
    notes = " ".join(session.report().notes)
    assert f"deleted since, such as {gone!r}" in notes
    assert f"changed since, such as {changed!r}" in notes
    lines = (session.export(tmp_path / "out") / "qrels" / "judged.tsv").read_text().splitlines()
    assert gone not in {line.split("\t")[1] for line in lines}


def test_two_annotators_at_once_share_a_session(kb: gnomon.Collection, runs: list[str]) -> None:
    opened(kb, runs)

    def work(name: str) -> None:
        judge_all(opened(kb, None, by=name))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ann", "bob", "cyd")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = opened(kb, None).report()
    assert report.verdicts[0].outcome == "better"
    assert sum(report.annotators.values()) == report.judged


def test_repeated_passages_measure_agreement_and_change_no_estimate(kb: gnomon.Collection, runs: list[str]) -> None:
    session, turn = opened(kb, runs, repeats=0.5), 0
    while (task := session.next(beyond_verdict=True)) is not None and turn < 300:
        turn += 1
        grade = truth(task.query_id, task.document)
        session.judge(task, 1 - grade if task.is_repeat else grade)  # contradicts herself
    report = session.report()
    (row,) = report.agreement
    assert (row["annotators with"], row["share"]) == ("themselves", 0.0)
    assert report.verdicts[0].outcome == "better"
    assert row["pairs"] < 5 or "not clear" in " ".join(report.notes)


@pytest.mark.parametrize(("grade", "kind"), [(0, "not relevant"), (1, "relevant")])
def test_judgments_that_are_all_alike_give_no_verdict(
    kb: gnomon.Collection, runs: list[str], grade: int, kind: str
) -> None:
    session = opened(kb, runs)
    while (task := session.next()) is not None:
        session.judge(task, grade)
    report = session.report()
    assert report.verdicts[0].outcome == "undecided"
    assert f"judgments are {kind}" in report.explain()
    assert "no verdict" in report.explain()


def test_what_is_written_is_read_as_judged_queries(kb: gnomon.Collection, runs: list[str], tmp_path: Path) -> None:
    session = opened(kb, runs)
    with pytest.raises(InvalidInput, match="no judgments"):
        session.export(tmp_path / "out")
    judge_all(session)
    for _ in range(2):  # an export takes the place of the one before
        folder = session.export(tmp_path / "out")
    dataset = load_dataset(folder)
    assert not dataset.faults
    assert set(dataset.queries) <= set(FEW)
    rows = [json.loads(line) for line in (folder / "propensities.jsonl").read_text().splitlines()]
    assert all(0 < row["probability"] <= 1 and set(row["weights"]) == {"early.json"} for row in rows)
    assert sum(map(len, dataset.relevant.values())) == len(rows)
    (tmp_path / "out" / "mine.txt").write_text("kept")
    with pytest.raises(InvalidInput, match="other files"):
        session.export(tmp_path / "out")


def test_wrong_input_is_refused(kb: gnomon.Collection, runs: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no session"):
        JudgingSession.open(kb)
    with pytest.raises(InvalidInput, match="no queries"):
        JudgingSession.open(kb, [" "], runs)
    with pytest.raises(InvalidInput, match="there is nothing to judge"):
        JudgingSession.open(kb, FEW, [runs[0], ranking(tmp_path, "same", FEW, first=5)])
    with pytest.raises(InvalidInput, match="2 to 8"):
        JudgingSession.open(kb, FEW, runs[:1])
    with pytest.raises(InvalidInput, match="is no candidate"):
        JudgingSession.open(kb, FEW, [runs[0], "model:all-MiniLM-L6-v2"])
    with pytest.raises(InvalidInput, match="name"):
        JudgingSession.open(kb, FEW, runs, name="../up")
    with pytest.raises(InvalidInput, match="holds none"):
        JudgingSession.open(kb, {"other": "about the whale"}, runs)
    session = opened(kb, runs)
    task = session.next()
    assert task is not None
    for bad in (2, -1, True):
        with pytest.raises(InvalidInput, match="grade"):
            session.judge(task, bad)
    session.judge(task, 1)
    with pytest.raises(InvalidInput, match="not the one"):
        session.judge(task, 1)
    with pytest.raises(InvalidInput, match="other queries and candidates"):
        JudgingSession.open(kb, QUERIES, [*runs, "other.json"])
    for wrong in ({"metric": "nDCG@10"}, {"grades": 0}, {"margin": 0.0}, {"alpha": 0.5}):
        with pytest.raises(InvalidInput):
            JudgingSettings(**wrong)


def test_modes_and_ready_versions_are_compared_by_default(kb: gnomon.Collection) -> None:
    session = JudgingSession.open(kb, list(FEW.values()), settings=JudgingSettings(metric="precision@3"))
    assert session.definition.candidates.names[0] == "kb"
    assert {name.partition(":")[2] for name in session.definition.candidates.names[1:]} <= {"dense", "lexical"}
    assert session.next() is not None


@pytest.mark.slow
def test_a_killed_process_loses_no_answer_that_was_acknowledged(kb: gnomon.Collection, runs: list[str]) -> None:
    folder = opened(kb, runs).folder
    program = (
        "import sys\nfrom pathlib import Path\nfrom gnomon.evaluate.active_sampling import Draw\n"
        "from gnomon.judge.answers import Answer, AnswerFile\n"
        "file = AnswerFile(Path(sys.argv[1]))\n"
        "for n in range(100000):\n"
        "    file.append(Answer('judgment', f't{n}', 'ann', 'now', 'q0', 'd0', 1, '', Draw(0, 1.0, (1.0,), (1.0,))))\n"
        "    print(n, flush=True)\n"
    )
    for moment in (3, 17, 40):
        (folder / FILE).unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(moment)]
        process.send_signal(signal.SIGKILL)
        acknowledged = int((process.stdout.read().split() or [lines[-1]])[-1])
        process.wait()
        with (folder / FILE).open("a") as file:
            file.write('{"kind": "judgment", "task": "cut')  # a write that the kill cut off
        session = opened(kb, None)
        task = session.next()
        assert task is not None
        session.judge(task, 0)  # begins on a line of its own
        kept = (folder / FILE).read_text().splitlines()
        assert sum('"t' in line and line.endswith("}") for line in kept) >= acknowledged + 1
        assert opened(kb, None).report().judged == 2


def test_queries_come_from_lines_json_lines_and_folders(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("one\ntwo\none\n\n")
    (tmp_path / "rows.jsonl").write_text('{"_id": "7", "text": "one"}\n{"_id": "8", "text": "two"}\n')
    (tmp_path / "beir").mkdir()
    (tmp_path / "beir" / "queries.jsonl").write_text('{"_id": "7", "text": "one"}\n')
    assert judging_queries(tmp_path / "plain.txt") == ["one", "two"]
    assert judging_queries(tmp_path / "plain.txt", most=1) == ["one"]
    assert judging_queries(tmp_path / "rows.jsonl") == {"7": "one", "8": "two"}
    assert judging_queries(tmp_path / "beir") == {"7": "one"}
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(InvalidInput, match="no query"):
        judging_queries(tmp_path / "none.txt")


def model_judge(judge_url: str, session: JudgingSession) -> ModelJudge:
    chat = Endpoint(judge_url, "toy", key="none", retries=0)
    return ModelJudge(chat, ModelJudgeSettings(threads=1), cache=session.folder / "model-replies.jsonl")


def right(request: Asked) -> str:
    """What a model that knows the answer says."""
    topic = request.prompt.split("about the ")[-1].split()[0]
    return f"Grade: {int(f'the {topic} here' in request.prompt)}"


def test_a_language_model_predicts_and_is_not_believed(kb: gnomon.Collection, runs: list[str]) -> None:
    session = opened(kb, runs)
    with endpoint_server(replies(right)) as server:
        found = session.ask_model(model_judge(server.url, session))
    assert sum(found.grades.values()) == len(FEW)
    report = session.report()
    assert report.model == "toy"
    assert report.verdicts[0].interval == report.verdicts[0].people_interval  # nothing is judged: nothing is known
    assert report.verdicts[0].outcome == "undecided"
    report = judge_all(JudgingSession.open(kb, annotator="ann"), most=8)
    assert report.verdicts[0].difference == pytest.approx(1 - 1 / math.log2(7), abs=0.1)
    assert "people alone ±" in report.explain()


def test_a_language_model_that_is_always_wrong_changes_no_verdict(kb: gnomon.Collection, runs: list[str]) -> None:
    session = opened(kb, runs)
    with endpoint_server(replies(lambda request: "Grade: 0" if right(request)[-1] == "1" else "Grade: 1")) as server:
        session.ask_model(model_judge(server.url, session))
    report = judge_all(session)
    low, high = report.verdicts[0].interval
    assert report.verdicts[0].outcome == "better"
    assert low - 1e-9 <= 1 - 1 / math.log2(7) <= high + 1e-9


def test_a_language_model_is_asked_before_the_first_judgment(kb: gnomon.Collection, runs: list[str]) -> None:
    session = opened(kb, runs)
    judge_all(session, most=1)
    with (
        endpoint_server(replies(right)) as server,
        pytest.raises(InvalidInput, match="a language model for a session with 1 judgments"),
    ):
        session.ask_model(model_judge(server.url, session))
    with pytest.raises(InvalidInput, match="a language model that grades up to 2"):
        JudgingSession.open(kb, FEW, runs, name="other", settings=JudgingSettings(grades=1)).ask_model(
            ModelJudge(Endpoint("http://127.0.0.1:1", "toy", key="none"), ModelJudgeSettings(grades=2))
        )
