"""Ignore files, against git itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gnomon.text.discover import discover
from gnomon.text.settings import ReadSettings

RULES = {
    ".gitignore": "*.log\n!keep.log\n/top.txt\nbuild/\ndocs/**/draft.txt\n# a comment\n\\#sharp.txt\n!\n",
    "docs/.gitignore": "!important.log\nprivate\n*.tmp.txt\n",
    "docs/private/.gitignore": "!secret.txt\n",
    "docs/deep/.gitignore": "*\n!yes.txt\n!.gitignore\n",
    ".git/info/exclude": "*.bak.txt\n",
}
FILES = """a.txt a.log keep.log top.txt sub/top.txt build/x.txt sub/build/x.txt build.txt #sharp.txt x.bak.txt
    docs/b.txt docs/b.log docs/important.log docs/private/secret.txt docs/x.tmp.txt docs/y/draft.txt
    docs/y/z/draft.txt draft.txt
    docs/deep/yes.txt docs/deep/no.txt docs/deep/er/yes.txt"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in FILES.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / ".git/info").mkdir(parents=True)
    for name, rules in RULES.items():
        (tmp_path / name).write_text(rules)
    return tmp_path


def found(*paths: Path, root: Path, **chosen: bool) -> set[str]:
    files = discover(paths, settings=ReadSettings(**chosen))
    return {each.path.relative_to(root).as_posix() for each in files if not each.skipped}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_what_git_ignores_is_ignored(project: Path) -> None:
    shutil.rmtree(project / ".git")
    subprocess.run(["git", "init", "-q", project], check=True)
    (project / ".git/info/exclude").write_text(RULES[".git/info/exclude"])
    listed = subprocess.run(
        ["git", "ls-files", "-o", "--exclude-per-directory=.gitignore", "--exclude-from=.git/info/exclude"],
        cwd=project, check=True, capture_output=True, text=True,
    )  # fmt: skip
    theirs = {name for name in listed.stdout.splitlines() if not name.endswith(".gitignore")}
    assert found(project, root=project) == theirs
    assert "docs/important.log" in theirs
    assert "docs/private/secret.txt" not in theirs


def test_rules_above_the_given_folder_hold_up_to_the_repository(project: Path) -> None:
    assert "docs/y/draft.txt" not in found(project / "docs", root=project)
    assert found(project / "docs", root=project) == {n for n in found(project, root=project) if n.startswith("docs/")}
    assert found(project / "docs", root=project, ignore_files=False) == {
        name for name in FILES.split() if name.startswith("docs/")
    }
    shutil.rmtree(project / ".git")
    assert "docs/y/draft.txt" in found(project / "docs", root=project)


def test_what_is_named_is_read_whatever_ignores_it(project: Path) -> None:
    assert found(project / "build", project / "a.log", root=project) == {"build/x.txt", "a.log"}


def test_gnomonignore_outweighs_gitignore_and_a_repository_within_has_its_own_rules(project: Path) -> None:
    (project / ".gnomonignore").write_text("!a.log\na.txt\n")
    (project / "sub/.git").mkdir()
    (project / "sub/a.txt").write_text("text")
    (project / "sub/b.log").write_text("text")
    names = found(project, root=project)
    assert {"a.log", "sub/b.log", "sub/top.txt"} <= names
    assert names.isdisjoint({"a.txt", "sub/a.txt"})


def test_what_is_ignored_comes_with_its_rule_file_a_folder_once(project: Path) -> None:
    ignored = {each.id: each.skipped for each in discover([project], settings=ReadSettings()) if each.ignored}
    name = project.name
    assert ignored[f"{name}/build"] == f"ignored by {project / '.gitignore'}"
    assert ignored[f"{name}/docs/private"] == f"ignored by {project / 'docs/.gitignore'}"
    assert not any("secret" in each for each in ignored)
