import io
import json
import shlex

import pytest
from rich.console import Console

import gnomon
from gnomon.cli import demo as demo_command
from gnomon.cli.demo import (
    QUESTIONS,
    demo_json,
    index_documents,
    next_commands,
    print_answers,
    print_figures,
    python_documentation,
    search_all,
)
from gnomon.cli.main import run
from gnomon.testing.toys import HashEncoder


@pytest.fixture(scope="module")
def corpus():
    wanted = ("asyncio.wait", "statistics", "tempfile", "getpass", "functools", "timeit", "topic/raise")
    return [d for d in python_documentation() if d.id.removeprefix("python/").startswith(wanted)]


@pytest.fixture(scope="module")
def built(corpus, tmp_path_factory):
    """A demo of toy vectors: its folder, what building said, its answers and its passages."""
    folder = tmp_path_factory.mktemp("demo") / "demo-kb"
    with gnomon.open(folder, encoder=HashEncoder()) as kb:
        done = index_documents(kb, corpus, Console(file=io.StringIO()))
        return folder, done, search_all(kb, QUESTIONS), kb.status().chunks


def test_everything_goes_in_once(built, corpus):
    folder, done, _, passages = built
    assert done.documents == done.changed == len(corpus)
    assert done.passages == passages
    with gnomon.open(folder, encoder=HashEncoder()) as kb:
        again = index_documents(kb, corpus, Console(file=io.StringIO()))
    assert (again.changed, again.passages, again.tokens) == (0, 0, 0)


def test_five_questions_are_answered(built):
    _, _, answers, _ = built
    assert len(QUESTIONS) == 5
    assert [answer.question for answer in answers] == list(QUESTIONS)
    assert all(len(answer.hits) == 3 and answer.seconds > 0 for answer in answers)


def test_what_it_prints(built):
    folder, done, answers, passages = built
    out = io.StringIO()
    console = Console(file=out, width=80)
    print_answers(console, answers)
    print_figures(console, folder, done, answers=answers, passages=passages)
    text = out.getvalue()
    assert all(f"? {question}\n\n 1  " in text for question in QUESTIONS)
    assert f"holds     {passages:,} passages of this Python's own documentation, in {folder}\n" in text
    assert "tokens/s\n" in text
    assert " ms: the middle of these 5\n\nTry next\n" in text
    assert text.endswith("".join(f"  {command}\n" for command in next_commands(folder)))


def test_as_json(built):
    folder, done, answers, passages = built
    plain = json.loads(json.dumps(demo_json(folder, done, answers, passages=passages), allow_nan=False))
    assert set(plain) == {"collection", "passages", "indexed", "query_p50_ms", "answers", "next"}
    assert plain["indexed"]["tokens"] == done.tokens
    assert plain["answers"][0]["hits"][0]["rank"] == 1


def test_the_whole_command_with_the_real_model(corpus, tmp_path, minilm_folder, monkeypatch, capsys):
    # A part of the corpus: all of it takes a minute, and is what `make demo` runs.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gnomon.cli.demo.python_documentation", lambda: corpus)
    assert run(["demo", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answers"][0]["hits"][0]["title"] == "statistics.median"
    assert found["warnings"] == []
    commands = next_commands(demo_command.FOLDER)
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "gnomon"
        assert run(words[1:]) == 0
        assert "Nothing found" not in capsys.readouterr().out
