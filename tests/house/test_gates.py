"""A gate that cannot fail is worthless: each is shown a violation and must name the culprit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
PACKAGES = (
    "core kernels text encode index retrieve evaluate collection train word_vectors answer migrate doctor monitor cli "
    "evolve testing"
).split()
PUBLIC = '''"""A small package with the packages of the large one."""

__all__ = ["reply"]


def reply(question: str, *, loud: bool = False) -> str:
    """Say it."""
    return question.upper() if loud else question
'''


THIRD = '"""Third."""\n\nfrom gnomon.index.part import NAME\n\nOWN = NAME\n'


def module(name: str) -> str:
    return f'"""The {name} package."""\n\nNAME = "{name}"\n'


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tree that breaks no rule, with the real configuration and the real gates."""
    root = tmp_path_factory.mktemp("house")
    for name in ("pyproject.toml", "Makefile", "constraints.txt"):
        shutil.copy(HOUSE / name, root / name)
    about_gnomon = shutil.ignore_patterns("__pycache__", "recipe_keys.py", "fit")
    shutil.copytree(HOUSE / "tools", root / "tools", ignore=about_gnomon)
    files = {"src/gnomon/__init__.py": PUBLIC, "bench/speed/encode.py": '"""Nothing to measure."""\n'}
    for name in PACKAGES:
        files[f"src/gnomon/{name}/__init__.py"] = f'"""The {name} package."""\n'
        files[f"src/gnomon/{name}/part.py"] = module(name)
    files["src/gnomon/index/third.py"] = THIRD
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    assert gate(root, "api").returncode == 0
    return root


def gate(root: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    """Run make's own gate in `root` with this environment, which is taken as up to date."""
    venv = Path(sys.prefix)
    command = ["make", "--no-print-directory", f"--assume-old={venv}/.dev", f"VENV={venv}", *targets]
    return subprocess.run(
        command,
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": str(root / "src"),
            "MAKEFLAGS": "",
            "NO_COLOR": "1",
            "COLUMNS": "200",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


def broken(clean: Path, tmp_path: Path, file: str, text: str) -> Path:
    root = tmp_path / "tree"
    shutil.copytree(clean, root)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text, encoding="utf-8")
    return root


PART = "src/gnomon/{}/part.py"
LONG = '"""Long."""\n\n\ndef long() -> None:\n    """Long."""\n' + "    str()\n" * 49
CIRCLE = 'NAME = "index"\n\n\ndef late() -> object:\n    from gnomon.index import third\n\n    return third\n'
WIDE = '"""Wide."""\n\n\ndef wide(a, *, b, c, d, e, f, g, h, i) -> None:\n    """Wide."""\n'
POSITIONAL = '"""Positional."""\n\n\ndef act(a: int, b: int, c: int, d: int) -> None:\n    """Act."""\n'
MANY = '"""Many."""\n\n\ndef many() -> None:\n    """Many."""\n' + "    str()\n" * 41
REACH = '"""Reach."""\n\n\ndef reach(kb: object) -> object:\n    """Reach."""\n    return kb._catalog\n'
SWALLOW = "try:\n    import os\nexcept Exception:\n    pass\n"
VIOLATIONS = {
    "a package imports a higher one": (
        "layers-gate",
        PART.format("kernels"),
        "from gnomon.index import part\n",
        "gnomon.kernels.part -> gnomon.index.part",
    ),
    "core imports the whole package": (
        "layers-gate",
        PART.format("core"),
        "def late() -> None:\n    import gnomon.collection.part\n",
        "gnomon.core.part -> gnomon.collection.part",
    ),
    "a package imports its neighbour": (
        "layers-gate",
        PART.format("text"),
        "from gnomon.encode.part import NAME\n",
        "gnomon.text.part -> gnomon.encode.part",
    ),
    "testing imports an encoder": (
        "layers-gate",
        PART.format("testing"),
        "from gnomon.encode.part import NAME\n",
        "gnomon.testing.part -> gnomon.encode.part",
    ),
    "the product imports a toy": (
        "layers-gate",
        PART.format("collection"),
        "from gnomon.testing.part import NAME\n",
        "gnomon.collection.part -> gnomon.testing.part",
    ),
    "a circle within a package": (
        "layers-gate",
        PART.format("index"),
        CIRCLE,
        "No cycles are allowed in gnomon.index",
    ),
    "a package without a place": ("layers-gate", "src/gnomon/attic/__init__.py", '"""Old things."""\n', "attic"),
    "torch": (
        "layers-gate",
        PART.format("encode"),
        "def load() -> None:\n    import torch\n",
        "gnomon.encode.part -> torch",
    ),
    "sentence-transformers": (
        "layers-gate",
        PART.format("encode"),
        "from sentence_transformers import SentenceTransformer\n",
        "gnomon.encode.part -> sentence_transformers",
    ),
    "501 lines": ("budgets-gate", PART.format("core"), "A = 1\n" * 501, "core/part.py:1: file has 501 lines"),
    "601 lines of test": (
        "budgets-gate",
        "tests/test_a.py",
        "A = 1\n" * 601,
        "test_a.py:1: file has 601 lines",
    ),
    "51 lines of function": (
        "budgets-gate",
        PART.format("core"),
        LONG,
        "core/part.py:4: function long has 51 lines",
    ),
    "9 parameters": ("lint-gate", PART.format("core"), WIDE, "too-many-arguments"),
    "4 positional parameters": ("lint-gate", PART.format("core"), POSITIONAL, "too-many-positional-arguments"),
    "41 statements": ("lint-gate", PART.format("core"), MANY, "too-many-statements"),
    "a private name of another class": ("lint-gate", PART.format("cli"), REACH, "private-member-access"),
    "unfinished work": (
        "budgets-gate",
        "docs/plan.md",
        "# Plan\n\nTO" + "DO later\n",
        "docs/plan.md:3: TO" + "DO",
    ),
    "work to mend": (
        "lint-gate",
        PART.format("cli"),
        "A = 1  # FIX" + "ME\n",
        "line-contains-fixme",
    ),
    "a path of one machine": (
        "budgets-gate",
        PART.format("cli"),
        'A = "/ho' + 'me/ada/models"\n',
        "cli/part.py:1: machine path /ho" + "me/ada/models",
    ),
    "a swallowed error": ("lint-gate", PART.format("index"), SWALLOW, "try-except-pass"),
    "an undeclared package": ("dependencies-gate", PART.format("index"), "import celery\n", "DEP001"),
    "a stub": (
        "budgets-gate",
        PART.format("index"),
        "def f() -> None:\n    raise NotImplementedError\n",
        "index/part.py:2: NotImplementedError",
    ),
    "a vague name": ("budgets-gate", "src/gnomon/core/utils.py", module("utils"), "file name utils.py"),
    "an unused import": ("lint-gate", PART.format("core"), '"""Core."""\n\nimport os\n', "unused-import"),
    "a print": ("lint-gate", PART.format("core"), '"""Core."""\n\nprint(1)\n', "print:"),
    "an assert on input": ("lint-gate", PART.format("core"), '"""Core."""\n\nassert 1\n', "assert:"),
    "no docstring": ("lint-gate", PART.format("core"), "A = 1\n", "undocumented-public-module"),
    "loose format": ("format-gate", PART.format("core"), '"""Core."""\n\nA  =  1\n', "core/part.py"),
    "a new public name": (
        "api-gate",
        "src/gnomon/__init__.py",
        PUBLIC.replace('["reply"]', '["reply", "extra"]') + "\n\nextra = 1\n",
        "+gnomon.extra: 1",
    ),
    "a changed signature": (
        "api-gate",
        "src/gnomon/__init__.py",
        PUBLIC.replace("loud: bool = False", "loud: bool = True"),
        "+gnomon.reply(question: str, *, loud: bool = True) -> str",
    ),
    "a lost public name": (
        "api-gate",
        "src/gnomon/__init__.py",
        PUBLIC.replace('["reply"]', "[]"),
        "-gnomon.reply(question: str",
    ),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_gate_refuses(name: str, clean: Path, tmp_path: Path) -> None:
    target, file, text, culprit = VIOLATIONS[name]
    run = gate(broken(clean, tmp_path, file, text), target)
    assert run.returncode != 0, run.stdout
    assert culprit in run.stdout


def test_clean_tree_passes_the_quick_gates(clean: Path) -> None:
    run = gate(clean, "format-gate", "lint-gate", "layers-gate", "budgets-gate", "api-gate")
    assert run.returncode == 0, run.stdout
    assert "4 kept, 0 broken" in run.stdout


def test_types_gate_passes_the_clean_tree_and_refuses_an_untyped_function(clean: Path, tmp_path: Path) -> None:
    root = broken(
        clean,
        tmp_path,
        "src/gnomon/core/extra.py",
        '"""Extra."""\n\n\ndef typed(a: int) -> int:\n    return a\n',
    )
    run = gate(root, "types-gate")
    assert run.returncode == 0, run.stdout
    (root / "src/gnomon/core/extra.py").write_text('"""Extra."""\n\n\ndef untyped(a):\n    return a\n')
    run = gate(root, "types-gate")
    assert run.returncode != 0
    assert "core/extra.py:4: error: Function is missing a type annotation" in run.stdout


def test_budgets_allow_what_is_just_within(clean: Path, tmp_path: Path) -> None:
    within = LONG.replace("    str()\n", "", 1)
    within += "A = 1\n" * (500 - len(within.splitlines()))
    run = gate(broken(clean, tmp_path, PART.format("core"), within), "budgets-gate")
    assert run.returncode == 0, run.stdout


def test_check_runs_every_gate() -> None:
    listing = subprocess.run(
        ["make", "-n", "check", f"--assume-old={sys.prefix}/.dev", f"VENV={sys.prefix}"],
        cwd=HOUSE,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for part in ("ruff format --check", "ruff check", "mypy", "lint-imports", "deptry", "budgets.py", "api.py --check"):
        assert part in listing
