import inspect
import json
import re
import shlex
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import gnomon
from gnomon.cli.app import COMMANDS, PANELS
from gnomon.cli.main import app, run
from gnomon.cli.renamed import with_new_names
from gnomon.text.settings import ReadSettings


def all_commands():
    """Every command with its path, those of groups too."""
    for name, command in typer.main.get_command(app).commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", each) for inner, each in command.commands.items())
        else:
            yield name, command


PATHS = [path for path, _ in all_commands()]
EXAMPLES = [
    re.split(r" [|>] (?=[^\")]*$)", line.removeprefix("[dim]$[/dim] ").replace("\\[", "["))[0]
    for _, command in all_commands()
    for line in command.epilog.splitlines()
    if "[/dim] gnomon " in line
]


def shown(*arguments):
    done = CliRunner().invoke(app, [*arguments])
    return done.exit_code, re.sub(r"\x1b\[[0-9;]*m", "", done.output)


@pytest.mark.parametrize("path", PATHS)
def test_every_command_says_how_it_is_used_with_an_example(path):
    code, text = shown(*path.split(), "--help")
    assert code == 0
    assert re.search(r"Examples?\n\s*\n.*\$.* gnomon " + path, text) or f"gnomon {path}" in text.split("Example")[1]
    assert "--json" in text or path == "mcp"  # whose stdout is the protocol's


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_command_line_that_is_parsed(example):
    words = shlex.split(example)
    assert words[0] == "gnomon"
    assert with_new_names(words[1:]) == words[1:]  # the current spelling
    group = typer.main.get_command(app)
    context, rest = typer.Context(group), words[1:]
    while hasattr(group, "commands"):
        name, *rest = rest
        group = group.commands[name]
        context = typer.Context(group, parent=context, info_name=name)
    group.parse_args(context, rest)


def test_help_shows_the_commands_in_groups_in_the_order_of_use_and_the_exit_codes():
    code, text = shown("--help")
    assert code == 0
    names = [path.split()[0] for path in PATHS]
    assert set(names) == set(COMMANDS)
    listed = [line.split()[1] for line in text.splitlines() if line.startswith("│ ") and not line.startswith("│  ")]
    assert [word for word in listed if word in names] == list(COMMANDS)
    assert [panel for panel in re.findall(r"╭─ (.*?) ─", text) if panel != "Options"] == list(PANELS)
    for exit_code in (
        "0  done",
        "1  index: nothing",
        "2  wrong input",
        "3  the surroundings",
        "4  damage",
        "5  ask",
        "130  ",
    ):
        assert exit_code in text
    assert "--install-completion" in text
    assert "$ gnomon index docs/ --into kb" in text


def test_help_fits_eighty_columns():
    for path in ["", "eval", "tables", "words", *PATHS]:
        _, text = shown(*path.split(), "--help")
        assert max(map(len, text.splitlines())) <= 80


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gnomon {gnomon.__version__}\n"


def test_without_a_command_it_shows_help(capsys):
    assert run([]) == 2
    assert "gnomon search kb" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "came", "after"),
    [
        (["serach"], "No such command 'serach'. Did you mean 'search'?", "gnomon --help shows what it takes"),
        (["search"], "Missing argument 'COLLECTION'", "gnomon search --help shows what it takes"),
        (["status", "kb", "--fast"], "No such option: --fast", "gnomon status --help shows what it takes"),
        (["index", "docs"], "Missing option '--into'", "gnomon index --help shows what it takes"),
    ],
)
def test_wrong_usage_is_an_error_like_any_other(capsys, arguments, came, after):
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == f"error     {came}"
    assert lines[1].startswith("expected  gnomon ")
    assert lines[2] == f"hint      {after}"


def test_wrong_usage_as_json(capsys):
    assert run(["search", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert set(json.loads(err)["error"]) == {"kind", "message", "expected", "hint"}


def test_a_defect_is_not_swallowed(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(gnomon, "open", broken, raising=False)
    with pytest.raises(ZeroDivisionError):
        run(["status", "kb"])


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom gnomon.cli.main import run\nrun(['--help'])\n"
        "print(sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(eval(done.stderr))
    heavy = {
        "numpy",
        "openvino",
        "faiss",
        "tantivy",
        "sqlalchemy",
        "tokenizers",
        "huggingface_hub",
        "torch",
        "openai",
        "jinja2",
    }
    assert not heavy & loaded


def test_models_does_not_know_every_name(capsys):
    assert run(["models", "no-such-model"]) == 2
    assert "no model card for 'no-such-model'" in capsys.readouterr().err


def test_a_reader_that_closes_the_pipe_is_no_defect():
    code = "import sys; from gnomon.cli.main import run; sys.exit(run(['models', '--json']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1
    process.stderr.close()


def test_bounds_of_a_file_are_the_librarys_own_defaults():
    from gnomon.cli.index import index

    defaults = {name: value.default for name, value in inspect.signature(index).parameters.items()}
    for name in ("max_file_mb", "max_file_s", "max_memory_mb"):
        assert defaults[name] == getattr(gnomon.IndexOptions(), name) == getattr(ReadSettings(), name)
