import json
import re

import pytest
from rich.text import Text

import gnomon
from gnomon.cli.main import run
from gnomon.evaluate import Run, load_dataset


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run(["compare", *map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments):
    capsys.readouterr()
    assert run(["compare", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_verdict_for_people(judged, saved, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    saved("before.json", 6)
    saved("after.json", 15)
    assert run(["compare", "before.json", "after.json", "--data", str(judged), "--changed", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("A     before.json: saved run before\nB     after.json: saved run after\n")
    assert "\nnDCG@10  after.json is better than before.json.\n" in out
    assert re.search(r"^  A +0\.3750  before.json\n  B +0\.9375  after.json$", out, re.M)
    assert re.search(r"^  B - A +\+0\.5625  95% interval \+0\.\d+ to \+0\.\d+$", out, re.M)
    assert re.search(r"^  p +0\.0039, paired randomisation test$", out, re.M)  # 2 of the 2 ** 9 sign patterns
    assert re.search(r"^  queries +16: B better on 9, the same on 7, worse on 0$", out, re.M)
    assert re.search(r"^  margin +a loss of 0\.01 would be accepted$", out, re.M)
    lines = out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  changed most"))
    assert lines[at + 1].split(maxsplit=4) == ["0.0000", "1.0000", "+1.0000", "q10", "about the anvil"]
    assert len(lines) == at + 3
    assert lines[at].index("B - A") + 5 == lines[at + 1].index("+1.0000") + 7  # heads stand above the numbers


def test_it_is_the_librarys_verdict(judged, saved, capsys):
    files = saved("before.json", 6), saved("after.json", 15)
    (plain,) = as_json(capsys, *files, "--data", judged, "--margin", "0.02")["verdicts"]
    runs = [Run.load(file) for file in files]
    verdict = gnomon.evaluate.compare(*runs, load_dataset(judged).relevant, metric="nDCG@10", margin=0.02)
    assert plain["interval"] == list(verdict.interval)
    assert (plain["outcome"], plain["p_value"], plain["margin"]) == ("better", verdict.p_value, 0.02)
    assert plain["changed"][0]["text"] == "about the anvil"
    assert len(plain["changed"]) == 5
    assert plain["explained"].startswith("after.json is better than before.json: nDCG@10 0.9375")


def test_several_metrics_are_corrected_and_it_is_said(judged, saved, capsys):
    files = saved("before.json", 6), saved("after.json", 15)
    given = [*files, "--data", judged, "--metric", "P@1", "--metric", "MRR"]
    body = as_json(capsys, *given)
    assert [verdict["metric"] for verdict in body["verdicts"]] == ["precision@1", "MRR"]
    assert [verdict["p_value"] for verdict in body["verdicts"]] == [2 / 256, 2 / 256]  # twice 1 / 256: Holm
    assert run(["compare", *map(str, given)]) == 0
    out = capsys.readouterr().out
    assert out.count("97.5% interval") == 2
    assert "p-values and intervals are corrected for 2 comparisons" in out
    assert "metrics MRR, MRR" in refused(capsys, *files, "--data", judged, "--metric", "MRR", "--metric", "rr")


def test_undecided_says_how_many_queries_would_settle_it(judged, saved, capsys):
    files = saved("before.json", 11), saved("after.json", 12)
    (verdict,) = as_json(capsys, *files, "--data", judged)["verdicts"]
    assert verdict["outcome"] == "undecided"
    assert run(["compare", *map(str, files), "--data", str(judged)]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"to settle +about {verdict['queries_to_settle']:,} such queries would settle it", out)


@pytest.mark.parametrize(
    ("right", "required", "code"),
    [
        ((6, 15), "better", 0),
        ((6, 15), "not-worse", 0),
        ((12, 12), "better", 1),
        ((15, 6), "not-worse", 1),
    ],
)
def test_what_is_required_decides_the_exit_code(judged, saved, capsys, right, required, code):
    files = saved("before.json", right[0]), saved("after.json", right[1])
    given = [*files, "--data", judged, "--require", required]
    body = as_json(capsys, *given, code=code)
    assert (body["required"], body["passed"]) == (required, code == 0)
    assert run(["compare", *map(str, given)]) == code
    assert ("falls short" in capsys.readouterr().out) == (code == 1)
    assert as_json(capsys, *files, "--data", judged)["required"] is None  # any verdict is exit code 0


def test_modes_versions_and_models_against_each_other(kb, model, judged, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    body = as_json(capsys, f"{kb}@v1:lexical", f"model:{model}", "--data", judged)
    assert body["baseline"]["run"]["mode"] == "lexical"
    assert body["candidate"]["run"]["mode"] == "dense"
    assert body["candidate"]["run"]["model"] == str(model)
    assert body["verdicts"][0]["n"] == 16
    assert body["verdicts"][0]["ties"] == 16
    assert body["verdicts"][0]["baseline"] == "kb@v1:lexical"
    assert "made for it in" in body["warnings"][0]


def test_two_of_one_name_are_told_apart(judged, saved, tmp_path, capsys):
    (tmp_path / "old").mkdir()
    old = saved("run.json", 6).rename(tmp_path / "old" / "run.json")
    body = as_json(capsys, old, saved("run.json", 15), "--data", judged)
    assert body["verdicts"][0]["baseline"] == str(old)
    assert body["verdicts"][0]["candidate"] == str(tmp_path / "run.json")


def test_a_picture_a_metric(judged, saved, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    files = saved("before.json", 6), saved("after.json", 15)
    given = [*files, "--data", judged, "--plot", tmp_path / "out" / "d.png"]
    assert as_json(capsys, *given)["plots"] == [str(tmp_path / "out" / "d.png")]
    assert (tmp_path / "out" / "d.png").read_bytes().startswith(b"\x89PNG")
    plots = as_json(capsys, *given, "--metric", "MRR", "--metric", "P@1")["plots"]
    assert [path.rsplit("/", 1)[1] for path in plots] == ["d-MRR.png", "d-precision@1.png"]


@pytest.mark.parametrize(
    ("arguments", "came"),
    [
        (["--margin", "0"], "a margin of 0"),
        (["--metric", "F1"], "there is no metric 'F1'"),
        (["--alpha", "0.9"], "alpha 0.9"),
        (["--plot", "out.bmp"], "--plot out.bmp"),
        (["--changed", "-1"], "--changed -1"),
        (["--k", "10"], "--k for two saved runs"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(judged, saved, capsys, arguments, came):
    files = saved("before.json", 6), saved("after.json", 15)
    assert came in refused(capsys, *files, "--data", judged, *arguments)


def test_data_that_no_verdict_can_rest_on(kb, judged, saved, tmp_path, capsys):
    whole, part = saved("whole.json", 6), saved("part.json", 6, queries=12)
    assert "4 of 16 judged queries are not in the run 'part.json'" in refused(capsys, whole, part, "--data", judged)
    other = saved("other.json", 6, documents="x")
    assert "other.json is a run of another corpus" in refused(capsys, whole, other, "--data", judged)
    few = tmp_path / "few.txt"
    few.write_text("".join(f"q{n} 0 d{n} 1\n" for n in range(9)))
    assert "9 queries: too few for a verdict" in refused(capsys, whole, whole, "--data", few)
    err = refused(capsys, whole, f"{kb}:lexical", "--data", judged / "queries.jsonl")
    assert "queries without judgments" in err
    assert "a run, which is compared" in refused(capsys, whole, whole, "--data", saved("run.trec", 3))


def test_faults_name_the_system_that_has_them(kb, judged, saved, capsys):
    with gnomon.open(kb, create=False) as collection:
        before = collection.ids()
    rows = (judged / "corpus.jsonl").read_text() + '{"_id": "new", "title": "", "text": "new"}\n'
    (judged / "corpus.jsonl").write_text(rows)
    with (judged / "qrels" / "test.tsv").open("a") as file:
        file.write("q3\tnew\t1\n")
    assert "new" not in before
    given = [saved("run.json", 6), f"{kb}:lexical", "--data", judged]
    (finding,) = as_json(capsys, *given)["findings"]
    assert finding["kind"] == "judged documents that the collection lacks (kb:lexical)"
    assert "since --strict was asked for" in refused(capsys, *given, "--strict")


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_it_fits(judged, saved, capsys, monkeypatch, tmp_path, width):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(tmp_path)
    rows = (judged / "queries.jsonl").read_text().replace("the anvil", "the anvil " * 40)
    (judged / "queries.jsonl").write_text(rows)
    saved("before.json", 6)
    saved("after.json", 15)
    assert run(["compare", "before.json", "after.json", "--data", str(judged)]) == 0
    plain = [Text.from_ansi(line).plain for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, plain)) <= width
    assert any(line.endswith("…") for line in plain)


def test_both_search_only_what_meets_a_condition(kb, judged, saved, capsys):
    given = [f"{kb}:lexical", f"{kb}:lexical", "--data", judged, "--where"]
    body = as_json(capsys, *given, "id in ('d0', 'd1', 'd2', 'd3')")
    (verdict,) = body["verdicts"]
    assert verdict["mean_baseline"] == verdict["mean_candidate"] == 0.25
    assert body["candidate"]["run"]["where"] == "id in ('d0', 'd1', 'd2', 'd3')"
    assert len(body["warnings"]) == 1  # the same of both
    assert "column 4" in refused(capsys, *given, "id lik 'd%'")
    given[1] = saved("run.json", 6)
    assert "a condition only for a collection" in refused(capsys, *given, "id = 'd0'")
