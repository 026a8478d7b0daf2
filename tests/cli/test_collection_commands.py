import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import rich.console
from rich.text import Text

import gnomon
from gnomon.cli.main import run
from gnomon.cli.versions import print_status

SCRIPT = "import sys; from gnomon.cli.main import run; sys.exit(run(sys.argv[1:]))"
FILES = {
    "keys.md": "# Keys\n\nHow to rotate them: make a new key, then revoke the one before.\n",
    "sundial.md": "# Sundials\n\n## Parts\n\nThe gnomon casts the shadow that tells the hour of the day.\n",
    "bread.txt": "Mix flour, water and salt, let the dough rise, and bake it in a hot oven.\n",
}


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def kb(tmp_path_factory, minilm_folder):
    """A collection of FILES that no test changes."""
    folder = tmp_path_factory.mktemp("indexed")
    (folder / "docs").mkdir()
    for name, text in FILES.items():
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    given = ["index", str(folder / "docs"), "--into", str(folder / "kb"), "--model", str(minilm_folder)]
    assert run([*given, "--json"]) == 0
    return folder / "kb"


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_index_tells_what_it_did_and_then_touches_only_what_changed(docs, tmp_path, minilm_folder, capsys):
    given = ["index", str(docs), "--into", str(tmp_path / "kb"), "--model", str(minilm_folder)]
    assert run(given) == 0
    out = capsys.readouterr().out
    assert re.match(r"files     3 found: 3 new or changed, 0 unchanged\npassages  3 added\nembedded  \d+ tokens", out)
    assert out.endswith(f'next  gnomon search {tmp_path / "kb"} "your question"\n')
    (docs / "bread.txt").unlink()
    (docs / "keys.md").write_text("# Keys\n\nKeys live for a year.\n")
    report = as_json(capsys, *given)
    assert (report["files"], report["indexed"], report["unchanged"], report["removed"]) == (2, 1, 1, 1)
    assert {"collection", "chunks_added", "tokens", "seconds", "problems", "failed", "warnings"} <= set(report)


def test_a_file_that_cannot_be_read_is_told_and_strict_minds(docs, tmp_path, minilm_folder, capsys):
    (docs / "broken.pdf").write_bytes(b"not a pdf")
    given = ["index", str(docs), "--into", str(tmp_path / "kb"), "--model", str(minilm_folder)]
    assert run(given) == 0
    out = capsys.readouterr().out
    assert "1 failed" in out
    assert "1 problem\n  " in out
    assert "broken.pdf" in out
    assert as_json(capsys, *given, "--strict", code=1)["problems"][0]["path"].endswith("broken.pdf")
    assert run([*given, "--exclude", "*.pdf", "--strict"]) == 0


@pytest.mark.slow
def test_only_the_first_ten_problems_are_listed(tmp_path, minilm_folder, capsys):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "good.txt").write_text("Something to find.")
    for number in range(13):
        (folder / f"bad{number:02}.pdf").write_bytes(b"junk")
    given = ["index", str(folder), "--into", str(tmp_path / "kb"), "--model", str(minilm_folder)]
    assert run(given) == 0
    out = capsys.readouterr().out
    assert "bad09.pdf" in out
    assert "bad10.pdf" not in out
    assert "and 3 more: --json lists them all" in out
    assert len(as_json(capsys, *given)["problems"]) == 13


def test_nothing_to_index_is_exit_code_1(tmp_path, minilm_folder, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank.txt").write_text("")
    for path in ("empty", "blank.txt"):
        given = ["index", str(tmp_path / path), "--into", str(tmp_path / "kb"), "--model", str(minilm_folder)]
        for _ in range(2):  # the second time it is known and unchanged, and still nothing
            assert run(given) == 1
            assert capsys.readouterr().out.endswith("next  name files or folders with text in them\n")


def test_an_emptied_folder_keeps_its_documents_and_is_reported(docs, tmp_path, minilm_folder, capsys):
    given = ["index", str(docs), "--into", str(tmp_path / "kb"), "--model", str(minilm_folder)]
    assert run(given) == 0
    for path in docs.iterdir():
        path.unlink()
    report = as_json(capsys, *given, code=1)
    assert (report["removed"], report["problems"][0]["kind"]) == (0, "kept")


@pytest.mark.slow
def test_options_reach_the_collection(docs, tmp_path, minilm_folder, capsys):
    given = ["index", docs, "--into", tmp_path / "kb", "--model", minilm_folder, "--chunk-tokens", "100"]
    as_json(capsys, *given, "--overlap", "10", "--no-titles", "--language", "de", "--index", "hnsw")
    status = as_json(capsys, "status", tmp_path / "kb")
    chunking = status["chunking"]
    assert (chunking["max_tokens"], chunking["overlap"], chunking["prepend_title"]) == (100, 10, False)
    assert (status["retrieval"]["language"], status["retrieval"]["index"]) == ("de", "hnsw")
    as_json(capsys, *given, "--language", "de", "--index", "hnsw", "--threads", "1")


def test_other_settings_than_the_collections_are_refused(kb, docs, capsys):
    assert run(["index", str(docs), "--into", str(kb), "--chunk-tokens", "77"]) == 2
    assert (
        "hint      leave them out, or make a version with the new ones: gnomon migrate KB --chunk-tokens 77"
        in capsys.readouterr().err
    )
    assert run(["index", str(docs), "--into", str(kb), "--index", "annoy"]) == 2
    assert "expected  one of auto, exact, hnsw, ivf\n" in capsys.readouterr().err


def test_a_path_that_is_not_there_makes_no_collection(tmp_path, capsys):
    assert run(["index", str(tmp_path / "nothing"), "--into", str(tmp_path / "new")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_another_model_than_the_collections_is_refused(docs, tmp_path, minilm_folder, capsys):
    from gnomon.testing.toys import HashEncoder

    with gnomon.open(tmp_path / "kb", encoder=HashEncoder()) as collection:
        collection.add(["a text"])
    given = ["index", str(docs), "--into", str(tmp_path / "kb"), "--model", str(minilm_folder), "--json"]
    assert run(given) == 2
    assert json.loads(capsys.readouterr().err)["error"]["kind"] == "SpaceMismatch"


def test_a_path_that_does_not_exist(kb, capsys):
    assert run(["index", "no/such/place", "--into", str(kb)]) == 2
    assert "no/such/place" in capsys.readouterr().err


def test_search_finds_by_meaning(kb, capsys):
    found = as_json(capsys, "search", kb, "what shows the time by the sun", "-k", "2")
    assert {"query", "k", "mode", "by", "where", "seconds", "load_seconds", "hits", "warnings"} == set(found)
    first = found["hits"][0]
    assert first["rank"] == 1
    assert first["document"].endswith("sundial.md")
    assert len(found["hits"]) == 2
    source = FILES["sundial.md"]
    assert source[first["start"] : first["end"]] == first["text"]
    assert {"dense"} <= set(first["stages"])


def test_search_in_a_pipe_is_plain(kb, capsys):
    assert run(["search", str(kb), "rotate keys", "-k", "1", "--explain"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out
    lines = out.splitlines()
    assert re.match(r" 1  Keys.*  \d\.\d{3}$", lines[0])
    assert "rotate them" in lines[1]
    assert re.match(r"    dense \d\.\d{3}  lexical \d+\.\d{3}$", lines[2])
    assert re.search(r"keys\.md:\d+-\d+$", lines[3])
    assert err == ""


@pytest.mark.parametrize("width", [60, 120])
def test_search_on_a_terminal_fits_and_highlights(kb, capsys, monkeypatch, width):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    assert run(["search", str(kb), "rotate keys"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b[1;33mrotate\x1b[0m" in out
    assert max(len(Text.from_ansi(line).plain) for line in out.splitlines()) <= width
    assert "3 hits in" in err
    assert rich.console.Console().width == width  # the setting did reach rich


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("by", ["chunk", "document"])
def test_modes_and_groupings(kb, capsys, mode, by):
    found = as_json(capsys, "search", kb, "rotate keys", "--mode", mode, "--by", by)
    assert found["hits"][0]["document"].endswith("keys.md")
    assert (found["mode"], found["by"]) == (mode, by)


def test_nothing_found_is_said(kb, capsys):
    assert run(["search", str(kb), "zzzqqq", "--mode", "lexical"]) == 0
    assert capsys.readouterr().out == "Nothing found.\n"
    assert as_json(capsys, "search", kb, "zzzqqq", "--mode", "lexical")["hits"] == []


def test_a_question_longer_than_the_model_reads_is_noted(kb, capsys):
    question = "rotate keys " * 200
    assert run(["search", str(kb), question]) == 0
    assert capsys.readouterr().err.startswith("note  1 of 1 texts are longer than the 256 tokens")
    assert "longer than the 256 tokens" in as_json(capsys, "search", kb, question)["warnings"][0]


@pytest.mark.parametrize("arguments", [("", "-k", "3"), ("words", "-k", "0")])
def test_a_search_for_nothing_is_wrong_input(kb, arguments):
    assert run(["search", str(kb), *arguments]) == 2


def test_status(kb, capsys):
    plain = as_json(capsys, "status", kb)
    assert (plain["sources"], plain["documents"], plain["chunks"], plain["vectors"]) == (3, 3, 3, 3)
    assert plain["space"]["dim"] == 384
    assert run(["status", str(kb)]) == 0
    out = capsys.readouterr().out
    assert "384 dimensions, cosine" in out
    assert re.search(r"passages +3, \d+ tokens", out)
    assert re.search(r"dense index +current", out)
    assert re.search(r"search +hybrid, language auto( \(.*\))?\n", out)


def test_status_shows_what_is_not_as_by_default(kb, capsys):
    with gnomon.open(kb, create=False) as found:
        status = found.status()
    console = rich.console.Console(width=120)
    retrieval = {**status.retrieval, "rm3": {}, "neighbours": {}, "index": "hnsw"}
    space = {**status.space, "precision": "int8"}
    print_status(console, replace(status, retrieval=retrieval, space=space))
    out = capsys.readouterr().out
    assert "384 dimensions, cosine, int8\n" in out
    assert re.search(r"hybrid, language auto.*, with rm3, with neighbours, index hnsw\n", out)


@pytest.mark.parametrize("command", [("search", "kb", "x"), ("status", "kb")])
def test_a_collection_that_is_not_there(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(command) == 2
    assert "hint      make one: gnomon index PATH --into" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []  # looking for it does not make it


def test_a_damaged_catalog_is_exit_code_4(kb, tmp_path, capsys):
    broken = tmp_path / "kb"
    broken.mkdir()
    (broken / "collection.db").write_bytes((kb / "collection.db").read_bytes()[:3000])
    assert run(["search", str(broken), "x"]) == 4
    assert "is damaged" in capsys.readouterr().err


def test_a_place_that_cannot_hold_a_collection_is_exit_code_3(docs, minilm_folder, capsys):
    place = docs / "keys.md" / "kb"  # below a file
    given = ["index", str(docs), "--into", str(place), "--model", str(minilm_folder)]
    assert run(given) == 3
    assert "expected  a folder, where a file is" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_the_same_command_carries_on(tmp_path, minilm_folder):
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(4000):
        (folder / f"{number}.txt").write_text(f"Note {number} about the gnomon of sundial {number}.")
    command = [sys.executable, "-c", SCRIPT, "index", str(folder), "--into", str(tmp_path / "kb")]
    command += ["--model", str(minilm_folder), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    catalog = tmp_path / "kb" / "collection.db-wal"
    waited = time.monotonic() + 60
    while not (catalog.exists() and catalog.stat().st_size > 1_000_000) and time.monotonic() < waited:
        time.sleep(0.05)  # until some vectors are committed
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    report = json.loads(out)
    assert process.returncode == 130, err
    assert report["interrupted"] is True
    for path in list(folder.iterdir())[300:]:
        path.unlink()  # the rest would take its time
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(again.stdout)
    assert report["files"] == 300
    assert report["unchanged"] + report["indexed"] == 300


def test_a_condition_holds_the_search_to_some_documents(kb, capsys):
    found = as_json(capsys, "search", kb, "rotate keys", "--where", "id like '%keys%'")
    assert {hit["document"] for hit in found["hits"]} == {"docs/keys.md"}
    assert found["where"] == "id like '%keys%'"
    found = as_json(capsys, "search", kb, "rotate keys", "--where", "id not like '%keys%'", "--mode", "lexical")
    assert "docs/keys.md" not in {hit["document"] for hit in found["hits"]}


def test_a_condition_with_a_slip_is_pointed_at(kb, capsys):
    assert run(["search", str(kb), "keys", "--where", "id lik 'docs/%'"]) == 2
    _, shown, caret, *_ = capsys.readouterr().err.split("\n")
    assert shown[caret.index("^") :].startswith("lik 'docs/%'")
    assert run(["search", str(kb), "keys", "--where", "tilte = 'Keys'"]) == 2
    assert re.search(r"no document has a field 'tilte'(.|\n)*did you mean title\?", capsys.readouterr().err)


def test_remove_by_id_by_condition_and_by_source(docs, tmp_path, minilm_folder, capsys):
    kb = tmp_path / "kb"
    assert run(["index", str(docs), "--into", str(kb), "--model", str(minilm_folder)]) == 0
    capsys.readouterr()
    assert run(["remove", str(kb), "--where", "id like '%.md'", "--dry-run"]) == 0
    assert capsys.readouterr().out == "2 documents would be removed\n  docs/keys.md\n  docs/sundial.md\n"
    found = as_json(capsys, "remove", kb, "docs/keys.md", "docs/none.md", code=1)
    assert (found["documents"], found["passages"], found["unknown"]) == (1, 1, ["docs/none.md"])
    assert run(["remove", str(kb), "--source", str(docs / "bread.txt")]) == 0
    assert capsys.readouterr().out == "removed 1 document, 1 passage\n  docs/bread.txt\n"
    assert as_json(capsys, "status", kb)["documents"] == 1
    assert run(["remove", str(kb), "--source", str(tmp_path / "nowhere")]) == 1
    assert run(["remove", str(kb)]) == 2
    assert "nothing to remove" in capsys.readouterr().err
