"""Finds the files under some paths, in a fixed order and with stable ids."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from gnomon.core.errors import InvalidInput
from gnomon.text.decode import clean
from gnomon.text.file_types import kind_of
from gnomon.text.settings import ReadSettings

_LEFT_OUT = frozenset({"__pycache__", "node_modules", "CVS", "venv"})
_CATALOG = "collection.db"
_NOT_DOCUMENTS = frozenset({_CATALOG, "pyvenv.cfg"})
_CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")


@dataclass(frozen=True, slots=True)
class DiscoveredFile:
    """A file: `path` is absolute, `id` the name of its document. `kind` names its reader.

    `skipped` is empty, or says why the file will not be read; kind is then "".
    """

    path: Path
    id: str
    size: int
    mtime_ns: int
    kind: str
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class _Walk:
    labels: Mapping[str, str]
    exclude: tuple[str, ...]
    seen: set[str]

    def id_of(self, path: Path) -> str:
        """The label of the innermost folder known, then the way down from there."""
        for parent in (path, *path.parents):
            label = self.labels.get(str(parent))
            if label is not None:
                below = path.relative_to(parent).as_posix()
                return clean(label if below == "." else f"{label}/{below}")
        raise InvalidInput(f"no label for {path}", expected="a path below one of the roots")

    def excludes(self, path: Path, root: Path) -> bool:
        below = path.relative_to(root).as_posix()
        return any(
            fnmatch(below, pattern.strip("/")) or ("/" not in pattern and fnmatch(path.name, pattern))
            for pattern in self.exclude
        )


def discover(paths: Sequence[Path], *, settings: ReadSettings) -> Iterator[DiscoveredFile]:
    """Every file under the paths, folders in sorted order; files that no reader takes come as skipped.

    Left out: hidden names, version control, caches, virtual environments, gnomon collections, what `exclude`
    matches. Links to files are read; links to folders are skipped, so that no loop and no way
    out of the root exists. A folder holding a BEIR corpus.jsonl is that one file.
    Ids do not depend on the working directory: see `label_roots`.
    Raises InvalidInput for paths that do not exist, before anything is yielded.
    """
    roots = _checked(paths)
    walk = _Walk(label_roots(paths, settings.labels), settings.exclude, set())
    return _found(roots, walk)


def label_roots(paths: Sequence[Path], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """A short unique name for each given path, by absolute path: what its documents' ids begin with.

    The path's own name, with parents' names in front where it is taken already. Paths below a known
    one need none. Pass the result as `known` the next time, and no id ever changes or means two files.
    Raises InvalidInput for paths that do not exist.
    """
    labels = dict(known or {})
    # Outer folders first, so that the order of the arguments changes no id.
    for root in sorted(_checked(paths), key=lambda root: (len(root.parts), root)):
        if any(str(parent) in labels for parent in (root, *root.parents)):
            continue
        names = root.parts[1:] or ("root",)
        taken = set(labels.values())
        labels[str(root)] = next(
            (label for count in range(1, len(names) + 1) if not _meets(label := "/".join(names[-count:]), taken)),
            root.as_posix(),
        )
    return labels


def _meets(label: str, taken: set[str]) -> bool:
    """Whether ids under two labels could be the same: one is the other or lies below it."""
    return any(label == other or label.startswith(f"{other}/") or other.startswith(f"{label}/") for other in taken)


def _checked(paths: Sequence[Path]) -> list[Path]:
    if isinstance(paths, (str, Path)):
        raise InvalidInput(f"one path ({paths}) where several are taken", expected="a sequence", hint="write [path]")
    missing = [str(path) for path in paths if not _is_there(Path(path))]
    if missing:
        raise InvalidInput(
            f"no such file or folder: {', '.join(missing)}",
            expected="files and folders that exist and may be looked at",
            hint="look for a typing error; relative paths count from the working directory",
        )
    roots = [Path(path).resolve() for path in paths]
    for root in roots:
        if _is_there(root / _CATALOG):
            raise InvalidInput(
                f"{root} is a gnomon collection",
                expected="files and folders to index",
                hint="give the folder that holds your documents",
            )
    return roots


def _is_there(path: Path) -> bool:
    """Path.exists raises where a folder above may not be entered, and for a NUL in the name."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _found(roots: Sequence[Path], walk: _Walk) -> Iterator[DiscoveredFile]:
    for root in roots:
        if root.is_dir():
            yield from _folder(root, root, walk)
        else:
            yield from _file(root, walk, named=True)


def _folder(folder: Path, root: Path, walk: _Walk) -> Iterator[DiscoveredFile]:
    pending = [folder]
    while pending:
        here = pending.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            yield _skip(here, walk, f"the folder cannot be listed: {error.strerror}")
            continue
        names = {entry.name for entry in entries}
        if not names.isdisjoint(_NOT_DOCUMENTS):
            continue
        corpus = next((name for name in _CORPUS if name in names and _is_beir(here / name)), None)
        if corpus is not None and not walk.excludes(here / corpus, root):
            yield from _file(here / corpus, walk, beir=True)
            continue
        folders = []
        for entry in entries:
            path = here / entry.name
            if entry.name.startswith(".") or entry.name in _LEFT_OUT or walk.excludes(path, root):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_symlink() and path.is_dir():
                yield _skip(path, walk, "a link to a folder; name that folder itself to index it")
            else:
                yield from _file(path, walk)
        pending += reversed(folders)


def _file(path: Path, walk: _Walk, *, named: bool = False, beir: bool = False) -> Iterator[DiscoveredFile]:
    if str(path) in walk.seen:
        return
    walk.seen.add(str(path))
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            yield _skip(path, walk, "no regular file")
            return
        kind = "beir" if beir or (path.name in _CORPUS and _is_beir(path)) else kind_of(path, named=named)
    except OSError as error:
        yield _skip(path, walk, f"cannot be opened: {error.strerror}")
        return
    if kind:
        yield DiscoveredFile(path, walk.id_of(path), facts.st_size, facts.st_mtime_ns, kind)
    else:
        reason = f"no reader for {path.suffix.lower()} files" if path.suffix else "no text, by its first bytes"
        yield DiscoveredFile(path, walk.id_of(path), facts.st_size, facts.st_mtime_ns, "", reason)


def _skip(path: Path, walk: _Walk, reason: str) -> DiscoveredFile:
    return DiscoveredFile(path, walk.id_of(path), 0, 0, "", reason)


def _is_beir(path: Path) -> bool:
    from gnomon.text.readers.jsonl import is_beir

    return is_beir(path)
