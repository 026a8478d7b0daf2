"""The rules of .gitignore and .gnomonignore files, as git applies them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from gnomon.text.file_types import Beginning, beginning_of

NAMES = (".gnomonignore", ".gitignore")
"""Files of rules; of one folder's, the first decides."""
_REPOSITORY = ".git"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class _RuleFile:
    file: Path
    folder: Path
    spec: GitIgnoreSpec
    of_git: bool

    def decides(self, path: Path, *, is_folder: bool) -> bool | None:
        """True: ignored, False: taken back by a negated rule, None: no rule matches."""
        below = path.relative_to(self.folder).as_posix()
        return self.spec.check_file(f"{below}/" if is_folder else below).include


@dataclass(frozen=True)
class IgnoreRules:
    """The rules that hold in a folder, the innermost first. A later rule of a file outweighs an earlier one, a
    folder's own file those of the folders above it, and nothing below an ignored folder can be taken back.
    """

    files: tuple[_RuleFile, ...] = ()

    @classmethod
    def above(cls, root: Path) -> IgnoreRules:
        """Those of the folders above a root, up to its repository's; none outside of a repository.

        A file of rules that ignores the root itself is left out: who names a folder wants it.
        """
        repository = next((each for each in (root, *root.parents) if (each / _REPOSITORY).exists()), None)
        if repository is None:
            return cls()
        chain = [each for each in (root, *root.parents) if each.is_relative_to(repository)]
        files = [rules for folder in chain[1:] for rules in _rule_files(folder)]
        files += _read(repository / _REPOSITORY / "info" / "exclude", repository, of_git=True)
        tested = [each for each in reversed(chain) if each != repository]
        return cls(tuple(f for f in files if not any(_ignores(f, each) for each in tested)))

    def below(self, folder: Path, names: Sequence[str] | set[str], beginning: Beginning = beginning_of) -> IgnoreRules:
        """Those that hold within a folder that has entries of these names. `beginning` is as in `kind_of`."""
        files = self.files
        if _REPOSITORY in names and any(each.of_git and each.folder != folder for each in files):
            files = tuple(each for each in files if not each.of_git or each.folder == folder)
        own = _rule_files(folder, names, beginning)
        return IgnoreRules((*own, *files)) if own or files is not self.files else self

    def ignores(self, path: Path, *, is_folder: bool) -> str:
        """The file of rules that leaves a path out, or ""."""
        for each in self.files:
            if (decided := each.decides(path, is_folder=is_folder)) is not None:
                return str(each.file) if decided else ""
        return ""


def _ignores(rules: _RuleFile, folder: Path) -> bool:
    inside = folder != rules.folder and folder.is_relative_to(rules.folder)
    return inside and bool(rules.decides(folder, is_folder=True))


def _rule_files(folder: Path, names: Iterable[str] = NAMES, beginning: Beginning = beginning_of) -> list[_RuleFile]:
    named = [name for name in NAMES if name in names]
    return [
        rules
        for name in named
        for rules in _read(folder / name, folder, of_git=name == ".gitignore", beginning=beginning)
    ]


def _read(file: Path, folder: Path, *, of_git: bool, beginning: Beginning = beginning_of) -> list[_RuleFile]:
    """The rules of a file, of which git passes over those that it cannot read; none where there is no file."""
    try:
        with beginning(file, _MOST_BYTES) as copy:
            if not copy.is_file():
                return []
            lines = os.fsdecode(copy.read_bytes()).removeprefix("\ufeff").splitlines()
    except OSError:
        return []
    return [_RuleFile(file, folder, GitIgnoreSpec.from_lines([line for line in lines if _is_rule(line)]), of_git)]


def _is_rule(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
