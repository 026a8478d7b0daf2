"""gnomon eval answers: what it says of good and of bad input."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import gnomon
from gnomon.answer.evaluation.evaluate import evaluate_answers
from gnomon.answer.evaluation.metrics import JUDGED, MEASURES
from gnomon.answer.evaluation.questions import read_questions
from gnomon.cli.main import run
from support import endpoint_server as servers

TOPICS = (
    "sundial whale teapot glacier violin lantern orchard compass beetle harbour anvil meadow quarry saddle "
    "thimble walnut"
).split()
ALWAYS = [name for name in MEASURES if name not in (JUDGED, "abstention precision")]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def model(model):
    """The words' model, with every letter beside them: an answer may say anything."""
    known = load_file(model / "model.safetensors")["embeddings"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,?"
    pieces = [*letters, *(f"##{letter}" for letter in letters)]
    table = np.zeros((len(known) + len(pieces), known.shape[1] + len(pieces)), dtype=np.float32)
    table[: len(known), : known.shape[1]] = known
    table[len(known) :, known.shape[1] :] = 0.01 * np.eye(len(pieces))
    save_file({"embeddings": table}, model / "model.safetensors")
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    tokenizer["model"] = {
        "type": "WordPiece",
        "vocab": {**words, **{piece: len(words) + n for n, piece in enumerate(pieces)}},
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    }
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    return model


@pytest.fixture
def kb(model, tmp_path):
    """A collection of a document a topic, in words that the model knows."""
    folder = tmp_path / "kb"
    rows = [
        {"_id": f"d{n}", "title": "", "text": f"The {t} was moved {n + 20} km north."} for n, t in enumerate(TOPICS)
    ]
    corpus = write_lines(tmp_path / "corpus.jsonl", rows)
    assert run(["index", str(corpus), "--into", str(folder), "--model", str(model)]) == 0
    return folder


@pytest.fixture
def qa(tmp_path):
    rows = [
        {"id": f"q{n}", "question": f"About the {topic}?", "answer": f"{n + 20} km north", "doc": f"d{n}"}
        for n, topic in enumerate(TOPICS)
    ]
    return write_lines(tmp_path / "qa.jsonl", rows)


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == code, capsys.readouterr().err
    out, err = capsys.readouterr()
    return json.loads(out if code == 0 else err.splitlines()[-1])


def refused(capsys, *arguments):
    """What an error says."""
    body = as_json(capsys, "eval", "answers", *arguments, code=2)["error"]
    assert body["expected"]
    return body


def metrics(body):
    return {score["metric"]: score for score in body["metrics"]}


def test_figures_with_intervals_and_what_they_count(kb, qa, capsys):
    assert run(["eval", "answers", str(kb), "--data", str(qa), "--set", "abstain_below=0"]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"^target +{re.escape(str(kb))}$", out, re.M)
    assert re.search(r"^data +\S+qa.jsonl: 16 questions$", out, re.M)
    assert re.search(r"^answers +extractive: sentences quoted$", out, re.M)
    assert re.search(r"^asked +16 answered$", out, re.M)
    assert re.search(r"^again +with the evidence left out of the search: 1?\d answered", out, re.M)
    assert re.search(r"^threshold +0.000, below which there is no answer; from 0.000 on it", out, re.M)
    assert re.search(r"^figure +mean +95% interval +n$", out, re.M)
    for name in ALWAYS:
        assert re.search(rf"^{re.escape(name)} +[01]\.\d{{4}} +[01]\.\d{{4}} to [01]\.\d{{4}} +\d+$", out, re.M)
    assert re.search(r"^evidence@10 +1\.0000 +0\.8\d+ to 1\.0000 +16$", out, re.M)
    assert re.search(r"^citation precision +1\.0000 ", out, re.M)
    assert "right, as a model judges" not in out


def test_the_figures_are_those_of_the_library(kb, qa, capsys):
    body = as_json(capsys, "eval", "answers", kb, "--data", qa)
    with gnomon.open(kb, create=False) as collection:
        report = evaluate_answers(collection, read_questions(qa))
        assert set(collection.ids()) == {f"d{n}" for n in range(16)}  # nothing was deleted
    assert [score["mean"] for score in body["metrics"]] == [score.mean for score in report.scores]
    assert [score["low"] for score in body["metrics"]] == [score.low for score in report.scores]
    assert all(score["says"] == MEASURES[score["metric"]] for score in body["metrics"])
    assert body["data"] == {"path": str(qa), "questions": 16, "of": 16}
    assert sum(body["outcomes"]["with evidence"].values()) == 16
    assert sum(body["outcomes"]["evidence left out"].values()) == 16
    assert (body["written_by"], body["judged_by"], body["against"]) == (None, None, None)
    assert [point["threshold"] for point in body["curve"]][:3] == [0.0, 0.05, 0.1]
    assert body["settings"]["context"]["passages"] == 6
    assert body["findings"] == body["warnings"] == []


def test_the_threshold_trades_answers_for_abstentions(kb, qa, capsys):
    found = {}
    for threshold in ("0", "1"):
        body = as_json(capsys, "eval", "answers", kb, "--data", qa, "--set", f"abstain_below={threshold}")
        assert body["threshold"] == float(threshold)
        found[threshold] = metrics(body)
        curve = {point["threshold"]: point for point in body["curve"]}
        assert curve[0.0]["answered"] == 1
        assert curve[0.0]["abstained"] == 0
    assert found["0"]["answered with evidence"]["mean"] == 1
    assert found["1"]["answered with evidence"]["mean"] == found["1"]["token F1"]["mean"] == 0
    assert found["1"]["abstention recall"]["mean"] == 1
    assert (found["1"]["abstention precision"]["mean"], found["1"]["abstention precision"]["n"]) == (0.5, 32)
    assert "citation precision" not in found["1"]


def test_each_answer_is_kept_and_compared_with(kb, qa, tmp_path, capsys):
    before = tmp_path / "before.jsonl"
    given = ["eval", "answers", kb, "--data", qa, "--set", "abstain_below=0"]
    first = as_json(capsys, *given, "--per-query", before)
    rows = [json.loads(line) for line in before.read_text().splitlines()]
    assert len(rows) == 16
    assert (rows[1]["id"], rows[1]["documents"], rows[1]["outcome"]) == ("q1", ["d1"], "answered")
    assert "The whale was moved 21 km north." in rows[1]["answer"]
    assert "whale" not in rows[1]["without"]["answer"]
    assert rows[1]["found"][0] == "d1"
    assert rows[1]["citations"][0]["quote"] in "The whale was moved 21 km north."
    f1 = sum(row["metrics"]["token F1"] for row in rows) / 16
    assert metrics(first)["token F1"]["mean"] == pytest.approx(f1)

    same = as_json(capsys, *given, "--against", before)["against"]
    assert (same["metric"], same["difference"], same["ties"], same["n"]) == ("token F1", 0.0, 16, 16)
    assert (same["baseline"], same["candidate"]) == ("before", str(kb))
    assert run([*map(str, given), "--against", str(before), "--set", "abstain_below=1"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^token F1  \S+ is worse than before\.$", out, re.M), out
    assert re.search(r"^ +queries +16: B better on 0, the same on 0, worse on 16$", out, re.M)


def test_what_is_set_is_what_answers(kb, qa, tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    given = ["eval", "answers", f"{kb}:lexical", "--data", qa, "--per-query", rows, "--limit", 3]
    body = as_json(capsys, *given, "--where", "id != 'd0'", "--set", "context.passages=1")
    assert body["data"] == {"path": str(qa), "questions": 3, "of": 16}
    settings = body["settings"]
    assert (settings["mode"], settings["where"]) == ("lexical", "id != 'd0'")
    assert settings["context"]["passages"] == 1
    first, second, _ = (json.loads(line) for line in rows.read_text().splitlines())
    assert "d0" not in first["found"]  # what the condition leaves out is not found
    assert first["metrics"]["evidence@10"] == 0
    assert second["passages"] == ["d1"]
    assert run([*map(str, given)]) == 0
    assert re.search(r"^data +\S+qa.jsonl: 3 questions, the first of 16$", capsys.readouterr().out, re.M)


def test_settings_that_there_are_not(kb, qa, capsys):
    def error(text):
        return refused(capsys, kb, "--data", qa, "--set", text)

    assert "sentence" in error("sentence=3")["message"]
    assert "'sentences'" in error("sentence=3")["hint"]
    assert "'passages'" in error("context.pasages=3")["hint"]
    assert error("sentences=many")["expected"] == "a whole number"
    assert error("sentences=0")["message"].endswith("sentences = 0")
    assert error("sentences")["expected"] == "NAME=VALUE, such as sentences=3"
    assert "hybrid, dense, lexical" in error("mode=fast")["expected"]
    assert error("abstain_below=1.5")["expected"] == "0 to 1"


def test_options_that_would_do_nothing(kb, qa, judged, saved, tmp_path, capsys):
    for option in ("--metric", "--k", "--save-run", "--pseudo", "--strict", "--fit", "--expect", "--split"):
        assert refused(capsys, kb, "--data", qa, option, "x")["message"].startswith(f"No such option: {option}")
    assert "--llm-model m without --llm" in refused(capsys, kb, "--data", qa, "--llm-model", "m")["message"]
    assert "run.json" in refused(capsys, saved("run.json", 3), "--data", qa)["message"]
    assert "--per-query" in refused(capsys, kb, "--data", qa, "--per-query", tmp_path / "x.csv")["message"]
    lost = ["--per-query", tmp_path / "lost" / "rows.jsonl"]
    error = as_json(capsys, "eval", "answers", kb, "--data", qa, *lost, code=3)["error"]
    assert (error["kind"], error["hint"]) == ("StorageError", "make the folder first, or name another place")
    assert "the first 0 questions" in refused(capsys, kb, "--data", qa, "--limit", 0)["message"]


def test_answers_to_other_questions_are_not_compared_with(kb, qa, tmp_path, capsys):
    given = ["eval", "answers", kb, "--data", qa, "--limit", 12]
    as_json(capsys, *given, "--per-query", tmp_path / "before.jsonl")
    more = refused(capsys, kb, "--data", qa, "--against", tmp_path / "before.jsonl")
    assert "holds 12 answers, and not to the 16 questions asked" in more["message"]
    assert "line 1: no answer with its token F1" in refused(capsys, *given[2:], "--against", qa)["message"]


def test_evidence_that_is_not_there(kb, qa, capsys):
    rows = [json.loads(line) for line in qa.read_text().splitlines()]
    rows[0]["doc"], rows[1]["doc"] = "lost", None
    write_lines(qa, rows)
    body = as_json(capsys, "eval", "answers", kb, "--data", qa)
    found = {finding["kind"]: finding["examples"] for finding in body["findings"]}
    assert found == {
        "documents that are not in the collection": ["'lost'"],
        "questions without documents: search and abstention are not measured": ["q1"],
    }
    counts = {name: score["n"] for name, score in metrics(body).items()}
    assert counts["token F1"] == 16
    assert counts["evidence@10"] == 15  # lost evidence was not found
    assert counts["abstention recall"] == 14
    for row in rows:
        row["doc"] = "lost"
    assert "none of the 1 documents" in refused(capsys, kb, "--data", write_lines(qa, rows))["message"]
    del rows[2]["answer"]
    assert "line 3: no answer" in refused(capsys, kb, "--data", write_lines(qa, rows))["message"]


def speaks(asked):
    """Grades a candidate, and otherwise says what stands in the passage that is first for the question."""
    if "You grade answers" in asked.prompt:
        return "Wrong." if "whale" in asked.prompt else "RIGHT" if "teapot" not in asked.prompt else "Hm."
    topic = next(topic for topic in TOPICS if f"About the {topic}?" in asked.prompt)
    moved = f"The {topic} was moved {TOPICS.index(topic) + 20} km north"
    return f"{moved} [1]. Nobody has read its old books since [1]."


def test_a_language_model_writes_and_another_judges(kb, qa, capsys):
    pytest.importorskip("openai", reason="an endpoint wants the extra gnomon[answer]")
    with servers.endpoint_server(servers.replies(speaks)) as server:
        given = ["eval", "answers", kb, "--data", qa, "--limit", 12, "--set", "abstain_below=0"]
        models = ["--llm", server.url, "--llm-model", "toy", "--judge", server.url, "strict-toy"]
        try:
            body = as_json(capsys, *given, *models)
        finally:
            assert not server.faults, server.faults[0]
        assert run([*map(str, given), *models]) == 0
    out = capsys.readouterr().out
    assert (body["written_by"], body["judged_by"], body["unjudged"]) == ("toy", "strict-toy", 1)
    found = metrics(body)
    assert (found[JUDGED]["mean"], found[JUDGED]["n"]) == (pytest.approx(10 / 11), 11)
    assert found["citation recall"]["mean"] == 0.5  # the other sentence is in no document
    assert found["citation precision"]["mean"] == 1
    assert re.search(r"^answers +written by toy$", out, re.M)
    assert re.search(r"^judge +strict-toy, a language model; of 1 it said nothing usable$", out, re.M)
    assert re.search(r"^right, as a model judges +0\.9091 ", out, re.M)


def test_an_endpoint_that_is_down_ends_it_and_one_that_stumbles_does_not(kb, qa, capsys):
    pytest.importorskip("openai", reason="an endpoint wants the extra gnomon[answer]")
    given = ["eval", "answers", kb, "--data", qa, "--limit", 12, "--set", "abstain_below=0"]
    with servers.endpoint_server(servers.fails(401)) as server:
        models = ["--llm", server.url, "--llm-model", "toy"]
        error = as_json(capsys, *given, *models, code=3)["error"]
        assert error["kind"] == "GenerationFailed"
        assert "5 questions in a row got no answer" in error["message"]
        assert len(server.requests) <= 10
    with servers.endpoint_server(servers.fails(401), servers.replies(speaks)) as server:
        body = as_json(capsys, *given, "--llm", server.url, "--llm-model", "toy")
    assert body["outcomes"]["with evidence"]["failed"] == 1
    (failure,) = body["failures"]
    assert failure.startswith("generating: ")
    assert metrics(body)["token F1"]["n"] == 12
    assert metrics(body)["abstention recall"]["n"] == 11
