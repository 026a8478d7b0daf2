"""What docs/serving.md tells works: its curl commands, in their order, its commands of gnomon, and its Python."""

import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer

import gnomon
from gnomon.cli.main import app
from gnomon.migrate import migrate
from support.serve_app import client, make_collection

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
LINES = [line for kind, block in BLOCKS if not kind for line in block.replace("\\\n", " ").splitlines()]
CURL = [line for line in LINES if line.startswith("curl ") and not re.search("/judging|/feedback", line)]
SIGNALS = [line for line in LINES if line.startswith("curl ") and line not in CURL]
"""These need the documents that the others delete, and a query log."""
GNOMON = [line.split(" #")[0] for line in LINES if re.match(r"(\w+=\S+ )?gnomon ", line)]
NOTES = '{"id": "note-2", "text": "A pool is closed.", "metadata": {"year": 2025}}\n'


def request(command):
    """Method, path, headers and body of a curl command."""
    words = iter(shlex.split(command.split(" > ")[0])[1:])
    method, address, headers, body = None, "", {}, None
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                body = next(words)
            case "--data-binary":
                assert next(words) == "@notes.jsonl"
                body = NOTES
            case "-N":
                pass
            case _:
                address = word
    parts = urlsplit(address)
    assert parts.netloc == "127.0.0.1:8080"
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return method or ("GET" if body is None else "POST"), path, headers, body


@pytest.mark.slow
def test_each_curl_command_works(tmp_path):
    folder = make_collection(tmp_path)
    with gnomon.open(folder, create=False) as kb:
        migrate(kb, retrieval={"mode": "lexical"})
    assert len(CURL) >= 10
    with client({"kb": folder}) as http:
        for command in CURL:
            method, path, headers, body = request(command)
            answer = http.request(method, path, headers=headers, content=body)
            over = "migrations/current" in path and answer.status_code == 409  # it has ended by itself
            assert answer.status_code < 300 or over, (command, answer.text)


def test_each_command_of_judging_and_feedback_works(tmp_path):
    task = "none"
    with client({"kb": make_collection(tmp_path)}, query_log=True) as http:
        for command in SIGNALS:
            method, path, headers, body = request(command.replace("TASK", task))
            answer = http.request(method, path, headers=headers, content=body)
            assert answer.status_code < 300, (command, answer.text)
            task = (answer.json().get("task") or {"id": task})["id"]
    assert len(SIGNALS) == 5


@pytest.mark.parametrize("command", GNOMON)
def test_each_command_is_one(command):
    group = typer.main.get_command(app)
    words = shlex.split(command)
    name, *rest = words[words.index("gnomon") + 1 :]
    known = group.commands[name]
    if hasattr(known, "commands"):
        known = known.commands[rest[0]]
    options = {option for parameter in known.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} <= options


def test_the_python_is_python():
    code = [block for kind, block in BLOCKS if kind == "python"]
    assert len(code) >= 3
    for block in code:
        compile(block, str(PAGE), "exec")
