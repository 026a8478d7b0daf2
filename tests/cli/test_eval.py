import json
import re

import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.evaluate import PSEUDO_NOTE, Run, load_dataset, summary

DEFAULT = ["nDCG@10", "recall@10", "recall@100", "MRR@10", "MAP", "precision@1", "precision@10", "success@5"]


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments):
    """The three lines of an error."""
    capsys.readouterr()
    assert run([*map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_collection_is_measured(kb, judged, capsys):
    assert run(["eval", "queries", f"{kb}:lexical", "--data", str(judged)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^target +\S+:lexical: lexical, v1$", out, re.M)
    assert re.search(r"^data +topics, test: 16 queries, 16 judgments, corpus of 16$", out, re.M)
    assert re.search(r"^measured +16 queries, the first 100 documents of each, in .* queries/s\)$", out, re.M)
    assert re.search(r"^metric +mean +95% interval$", out, re.M)
    assert re.search(r"^nDCG@10 +1\.0000 +0\.8\d+ to 1\.0000$", out, re.M)
    assert re.search(r"^precision@10 +0\.1000 ", out, re.M)


def test_its_figures_are_those_of_the_library(kb, judged, capsys):
    body = as_json(capsys, "eval", "queries", kb, "--mode", "lexical", "--data", judged)
    with gnomon.open(kb, create=False) as collection:
        dataset = load_dataset(judged)
        found = collection.run(dataset.judged, mode="lexical")
    assert [metric["metric"] for metric in body["metrics"]] == DEFAULT
    assert [metric["low"] for metric in body["metrics"]] == [s.low for s in summary(found, dataset.relevant)]
    assert body["run"]["mode"] == "lexical"
    assert body["data"]["documents"] == 16
    assert body["queries"] == {"measured": 16, "without_results": 0, "left_out": {}}
    assert body["seconds"] > 0
    assert body["queries_per_second"] == pytest.approx(16 / body["seconds"], rel=0.01)
    assert body["findings"] == body["warnings"] == []


def test_what_was_found_and_each_query_are_kept(kb, judged, tmp_path, capsys):
    files = [tmp_path / "queries.jsonl", tmp_path / "run.json", tmp_path / "run.trec"]
    given = ["eval", "queries", f"{kb}:lexical", "--data", judged, "--metric", "rr@10"]
    first = as_json(capsys, *given, "--per-query", files[0], "--save-run", files[1])
    as_json(capsys, *given, "--save-run", files[2])
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    assert rows[0] == {"query": "q0", "text": "about the sundial", "metrics": {"MRR@10": 1.0}}
    assert len(rows) == 16
    for file in files[1:]:
        body = as_json(capsys, "eval", "queries", file, "--data", judged, "--metric", "MRR@10")
        assert body["metrics"] == first["metrics"]
        assert body["seconds"] is None


def test_a_run_needs_no_texts_and_a_collection_does(kb, judged, saved, capsys):
    qrels = judged / "qrels" / "test.tsv"
    body = as_json(capsys, "eval", "queries", saved("run.trec", 12), "--data", qrels, "--metric", "P@1")
    assert body["metrics"][0]["mean"] == 0.75
    assert body["findings"] == []
    assert "has no query with a text and a judgment" in refused(capsys, "eval", "queries", kb, "--data", qrels)


def test_topics_and_judgments_in_two_files(kb, tmp_path, capsys):
    (tmp_path / "topics.tsv").write_text("1\tabout the whale\n2\tabout the violin\n")
    (tmp_path / "judgments.qrels").write_text("1 0 d1 2\n2 0 d4 1\n")
    data = ["--data", tmp_path / "topics.tsv", "--data", tmp_path / "judgments.qrels"]
    assert as_json(capsys, "eval", "queries", f"{kb}:lexical", *data)["queries"]["measured"] == 2
    assert "--data 3 times" in refused(capsys, "eval", "queries", kb, *data, "--data", tmp_path)
    err = refused(capsys, "eval", "queries", kb, "--data", tmp_path, "--data", tmp_path / "topics.tsv")
    assert "expected  one folder, or two files: topics, then judgments" in err
    assert "(--data twice)" in refused(capsys, "eval", "queries", kb, *data[:2])


def test_everything_left_out_is_told(kb, judged, capsys):
    with (judged / "queries.jsonl").open("a") as file:
        file.write('{"_id": "x1", "text": "never judged"}\n{"_id": "x2", "text": "all bad"}\n')
        file.write('{"_id": "x3", "text": "zzz"}\n')
    with (judged / "qrels" / "test.tsv").open("a") as file:
        file.write("x2\td1\t0\nx3\td2\t1\nghost\td3\t1\nq0\tlost\t1\nq1\td2\t-1\n")
    given = ["eval", "queries", f"{kb}:lexical", "--data", str(judged)]
    assert run(given) == 0
    out = capsys.readouterr().out
    assert re.search(r"^measured +17 queries", out, re.M)
    assert re.search(r"^of these +1 found nothing and count 0$", out, re.M)
    assert re.search(
        r"^left out +1 without judgments, 1 judged but without a text, 1 with nothing relevant$", out, re.M
    )
    for line in (
        r"error    1 judged documents that are not there: 'lost' (query 'q0')",
        r"error    1 judged queries that are not there: 'ghost'",
        r"warning  1 queries without judgments: 'x1'",
        r"warning  1 queries with nothing relevant: 'x2'",
    ):
        assert f"\n{line}\n" in out, out
    found = {finding["kind"]: finding["count"] for finding in as_json(capsys, *given)["findings"]}
    assert found["judged documents that are not there"] == 1
    assert "since --strict was asked for" in refused(capsys, *given, "--strict")


def test_strict_minds_a_collection_that_lacks_documents(kb, judged, capsys):
    with gnomon.open(kb, create=False) as collection:
        assert "d3" in collection.ids()
    rows = (judged / "corpus.jsonl").read_text() + '{"_id": "new", "title": "", "text": "new"}\n'
    (judged / "corpus.jsonl").write_text(rows)
    with (judged / "qrels" / "test.tsv").open("a") as file:
        file.write("q3\tnew\t1\n")
    assert run(["eval", "queries", f"{kb}:lexical", "--data", str(judged)]) == 0
    err = refused(capsys, "eval", "queries", f"{kb}:lexical", "--data", judged, "--strict")
    assert "1 judged documents that the collection lacks: 'new'" in err


@pytest.mark.parametrize(
    ("arguments", "came"),
    [
        (["--metric", "nDCX@10"], "there is no metric 'nDCX@10'"),
        (["--metric", "recall"], "the metric 'recall' without a number of results"),
        (["--k", "0"], "--k 0"),
        (["--k", "10"], "recall@100 of a run that holds 10 documents a query"),
        (["--split", "dev"], "has no split 'dev'; its splits: test"),
        (["--per-query", "figures.csv"], "--per-query figures.csv"),
        (["--save-run", "run.pickle"], "--save-run run.pickle"),
        (["--mode", "dense"], "--mode dense for"),
        (["--fit", "x"], "No such option: --fit"),
        (["--per-kind", "3"], "No such option: --per-kind"),
        (["--expect", "x"], "No such option: --expect"),
    ],
)
def test_what_cannot_be_is_refused(kb, judged, capsys, arguments, came):
    err = refused(capsys, "eval", "queries", f"{kb}:lexical", "--data", judged, *arguments)
    assert err.startswith("error     ")
    assert came in err
    assert "\nexpected  " in err
    if "nDCX@10" in arguments:
        assert "nDCG@k, recall@k, MRR@k, MAP@k" in err


@pytest.mark.slow
def test_names_that_mean_nothing(kb, judged, tmp_path, capsys):
    err = refused(capsys, "eval", "queries", "nowhere", "--data", judged)
    assert err.startswith("error     there is no collection and no run at nowhere\nexpected  a collection's folder")
    assert "hint      a model is named model:all-MiniLM-L6-v2" in refused(
        capsys, "eval", "queries", "all-MiniLM-L6-v2", "--data", judged
    )
    assert "there is no mode 'denze'" in refused(capsys, "eval", "queries", f"{kb}:denze", "--data", judged)
    assert "has no version v7; its versions: v1" in refused(
        capsys, "eval", "queries", f"{kb}@v7:lexical", "--data", judged
    )
    assert as_json(capsys, "eval", "queries", f"{kb}@v1:lexical", "--data", judged)["run"]["version"] == "v1"
    assert "--data is missing" in refused(capsys, "eval", "queries", f"{kb}:lexical")
    assert "no collection at" in refused(capsys, "eval", "queries", tmp_path / "topics", "--data", judged)


def test_another_corpus_is_no_bad_figure_but_an_error(kb, judged, tmp_path, saved, capsys):
    other = saved("other.json", 16, documents="elsewhere-")
    assert "is a run of another corpus: none of the 16 documents" in refused(
        capsys, "eval", "queries", other, "--data", judged
    )
    foreign = gnomon.evaluate.Run("foreign", {"z1": {"d1": 1.0}}).save(tmp_path / "foreign.json")
    err = refused(capsys, "eval", "queries", foreign, "--data", judged)
    assert "holds none of the 16 judged queries" in err
    assert "its queries are 'z1'" in err
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"query": "about the whale", "relevant": ["whales.txt"]}\n')
    err = refused(capsys, "eval", "queries", f"{kb}:lexical", "--data", answers)
    assert "none of the 1 judged documents is among the 16 of" in err
    assert "such as 'whales.txt'" in err


def test_queries_that_a_run_lacks_are_told(judged, saved, capsys):
    body = as_json(capsys, "eval", "queries", saved("part.json", 10, queries=10), "--data", judged, "--metric", "MRR")
    assert body["metrics"][0]["mean"] == 0.625
    assert body["findings"][0]["kind"] == "judged queries that the run lacks; they count 0"
    assert body["findings"][0]["count"] == 6
    body = as_json(capsys, "eval", "queries", saved("part.trec", 10, queries=10), "--data", judged, "--metric", "MRR")
    assert body["metrics"][0]["mean"] == 0.625
    assert "6 judged queries are not in it and count as having found nothing" in body["warnings"][0]
    assert "--k for a saved run" in refused(
        capsys, "eval", "queries", saved("all.json", 9), "--data", judged, "--k", 10
    )


@pytest.mark.slow
def test_a_model_gets_its_collection_once(model, judged, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    body = as_json(capsys, "eval", "queries", f"model:{model}", "--data", judged, "--metric", "MRR")
    assert body["metrics"][0]["mean"] == 1.0
    assert "a collection of corpus.jsonl made for it in" in body["warnings"][-1]
    again = as_json(capsys, "eval", "queries", f"model:{model}", "--data", judged, "--metric", "MRR")
    assert "made before" in again["warnings"][-1]
    assert again["metrics"] == body["metrics"]
    assert len(list((tmp_path / "cache" / "evaluations").iterdir())) == 1
    with (judged / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "more", "title": "", "text": "The whale again."}\n')
    as_json(capsys, "eval", "queries", f"model:{model}", "--data", judged, "--metric", "MRR")
    assert len(list((tmp_path / "cache" / "evaluations").iterdir())) == 2
    (judged / "corpus.jsonl").unlink()
    assert "has no corpus" in refused(capsys, "eval", "queries", f"model:{model}", "--data", judged)


def test_pseudo_queries_are_marked_everywhere(kb, tmp_path, capsys):
    with gnomon.open(kb, create=False) as collection:
        assert len(collection.ids()) == 16
    given = ["eval", "pseudo", f"{kb}:lexical", "--metric", "success@10"]
    rows = tmp_path / "rows.jsonl"
    assert run([*given, "--per-query", str(rows)]) == 0
    out = capsys.readouterr().out
    assert f"mark    {PSEUDO_NOTE}\n" in out
    assert re.search(r"^kind +queries +metric +mean +95% interval$", out, re.M)
    assert re.search(r"^heading +16 +success@10 +1\.0000 ", out, re.M) or "first sentence" in out
    assert all(json.loads(line)["pseudo"] is True for line in rows.read_text().splitlines())
    body = as_json(capsys, *given)
    assert (body["note"], body["pseudo"], body["data"]["pseudo"]) == (PSEUDO_NOTE, True, True)
    assert body["alarms"] is None


def test_less_found_than_expected_is_an_alarm(tmp_path, capsys):
    from gnomon.testing.toys import HashEncoder

    texts = [f"Number {n} of the otters swims to river {n} each day before it rains there." for n in range(60)]
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as collection:
        collection.add(texts)
    given = ["eval", "pseudo", f"{tmp_path / 'kb'}:lexical", "--per-kind", "60"]
    body = as_json(capsys, *given)
    sound, better = tmp_path / "sound.json", tmp_path / "better.json"
    sound.write_text(json.dumps(body))
    assert as_json(capsys, *given, "--expect", sound)["alarms"] == []
    found = {kind: {"hits": 60, "queries": 60} for kind in body["found"]}
    low = {kind: {"hits": 0, "queries": 60} for kind in body["found"]}
    better.write_text(json.dumps({**body, "found": found}))
    sound.write_text(json.dumps({**body, "found": low}))
    assert as_json(capsys, *given, "--expect", sound)["alarms"] == []  # more than expected is no alarm
    hits = sum(one["hits"] for one in body["found"].values())
    assert hits > 0
    better.write_text(json.dumps({**body, "run": {**body["run"], "mode": "dense"}}))
    assert "measured in mode dense, for mode lexical" in refused(capsys, *given, "--expect", better)
    better.write_text("{}")
    assert "expected  what gnomon eval pseudo kb --json printed" in refused(capsys, *given, "--expect", better)


def test_pseudo_queries_are_made_from_collections_only(saved, capsys):
    assert "eval pseudo of" in refused(capsys, "eval", "pseudo", saved("run.json", 3))


def test_a_model_on_a_task(model, tmp_path, capsys):
    file = tmp_path / "pairs.tsv"
    lines = [("the whale", "whale", 5.0), ("whale teapot", "whale", 3.0), ("the whale", "violin", 0.0)]
    lines += [("glacier", "the glacier", 4.8), ("glacier lantern", "lantern", 2.9), ("beetle", "anvil", 0.1)]
    file.write_text("".join(f"{a}\t{b}\t{score}\n" for a, b, score in lines))
    given = ["eval", "task", str(model), "sts", "--data", str(file)]
    body = as_json(capsys, *given)
    assert (body["task"], body["covered"]) == ("sts", 6)
    assert run(given) == 0
    out = capsys.readouterr().out
    assert "measured  6 of 6 items" in out
    assert re.search(r"^figure +value +95% interval$", out, re.M)
    assert "Missing option '--data'" in refused(capsys, "eval", "task", model, "sts")
    assert "is not one of" in refused(capsys, "eval", "task", model, "summaries", "--data", file)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_it_fits(kb, judged, capsys, monkeypatch, width):
    from rich.text import Text

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(kb.parent)
    assert run(["eval", "queries", "kb:lexical", "--data", str(judged)]) == 0
    out = capsys.readouterr().out
    assert max(len(Text.from_ansi(line).plain) for line in out.splitlines()) <= width


def test_a_place_that_cannot_be_written(kb, judged, capsys):
    place = judged / "queries.jsonl" / "run.json"  # below a file
    assert run(["eval", "queries", f"{kb}:lexical", "--data", str(judged), "--save-run", str(place)]) == 3
    assert "cannot be written" in capsys.readouterr().err


def test_saved_runs_say_how_they_were_made(kb, judged, tmp_path):
    file = tmp_path / "run.json"
    assert run(["eval", "queries", f"{kb}:lexical", "--data", str(judged), "--save-run", str(file)]) == 0
    about = Run.load(file).about
    assert (about["mode"], about["k"], about["version"]) == ("lexical", 100, "v1")


def test_only_documents_that_meet_a_condition_are_searched(kb, judged, tmp_path, capsys):
    given = ["eval", "queries", f"{kb}:lexical", "--data", judged, "--metric", "success@5", "--where"]
    half = "id in ('d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6', 'd7')"
    file = tmp_path / "half.json"
    body = as_json(capsys, *given, half, "--save-run", file)
    assert body["metrics"][0]["mean"] == 0.5
    assert body["run"]["where"] == half
    assert body["warnings"] == [f"8 of 16 judged documents do not meet {half}; they count as not found"]
    returned = {name for found in Run.load(file).results.values() for name in found}
    assert returned <= {f"d{n}" for n in range(8)}
    assert as_json(capsys, *given, "id like 'd%'")["metrics"][0]["mean"] == 1.0
    assert run([*map(str, given), half]) == 0
    assert re.search(r"^target +\S+: lexical, v1, where id in \('d0', ", capsys.readouterr().out, re.M)


def test_a_condition_that_cannot_be(kb, judged, saved, model, capsys):
    given = ["eval", "queries", f"{kb}:lexical", "--data", judged, "--where"]
    err = refused(capsys, *given, "id lik 'd%'")
    assert "column 4\n          id lik 'd%'\n             ^\n" in err
    assert "no document has a field 'yaer'" in refused(capsys, *given, "yaer > 2020")
    assert "an empty condition" in refused(capsys, *given, "")
    err = refused(capsys, *given, "id = 'elsewhere'")
    assert "none of the 16 judged documents meets id = 'elsewhere'" in err
    assert "0 documents meet it: change the condition" in err
    for target in (saved("run.json", 3), f"model:{model}"):
        err = refused(capsys, "eval", "queries", target, "--data", judged, "--where", "id = 'd0'")
        assert f"--where for {target}" in err.replace("\n          ", "")
        assert "a condition only for a collection" in err
    assert "No such option: --where" in refused(capsys, "eval", "pseudo", kb, "--where", "id = 'd0'")
