"""Finds the files under some paths, in a fixed order and with stable ids."""

from __future__ import annotations

import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from gnomon.core.errors import InvalidInput
from gnomon.core.paths import absolute, path_of, path_text, remote_scheme
from gnomon.text.decode import clean
from gnomon.text.file_trees import Entry, FileFacts, FileTree, LocalTree, is_there, tree_of
from gnomon.text.file_types import kind_of
from gnomon.text.ignore import IgnoreRules
from gnomon.text.settings import ReadSettings

_LEFT_OUT = frozenset({"__pycache__", "node_modules", "CVS", "venv"})
_CATALOG = "collection.db"
_NOT_DOCUMENTS = frozenset({_CATALOG, "pyvenv.cfg"})
_CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")
_FIRST_LINE_BYTES = 1 << 20
_BESIDE_CORPUS = frozenset({*_CORPUS, "queries.jsonl", "queries.jsonl.gz", "qrels"})


@dataclass(frozen=True, slots=True)
class DiscoveredFile:
    """A file: `path` is absolute, or of a file behind a URL as `path_of` makes it; `id` the name of its document.
    `kind` names its reader. `copy` is where the bytes of a file behind a URL are while it is read.

    `skipped` is empty, or says why the file or folder will not be read; kind is then "". `ignored`: a rule of an
    ignore file leaves it out. Times are in nanoseconds since 1970; `ctime_ns` is of the last change of the file or
    of what is known about it, which programs cannot set.
    """

    path: Path
    id: str
    size: int
    mtime_ns: int
    kind: str
    skipped: str = ""
    ctime_ns: int = 0
    ignored: bool = False
    copy: Path | None = None

    @property
    def local(self) -> Path:
        """The file of this machine that holds its bytes."""
        return self.copy or self.path


@dataclass(frozen=True, slots=True)
class _Walk:
    labels: Mapping[str, str]
    settings: ReadSettings
    tree: FileTree = field(default_factory=LocalTree)
    seen: set[str] = field(default_factory=set)
    files: set[tuple[int, ...]] = field(default_factory=set)
    links: list[Path] = field(default_factory=list)
    folder_ids: dict[str, str] = field(default_factory=dict)

    def id_of(self, path: Path) -> str:
        """The label of the innermost folder known, then the way down from there; in Unicode's composed form."""
        name = self.labels.get(path_text(path))
        if name is None:
            name = f"{self._folder_id(path.parent)}/{path_text(path.name)}"
        return name if name.isascii() else unicodedata.normalize("NFC", clean(name))

    def _folder_id(self, folder: Path) -> str:
        known = self.folder_ids.get(str(folder))
        if known is None:
            label = self.labels.get(path_text(folder))
            if label is None and folder == folder.parent:
                raise InvalidInput(f"no label for {folder}", expected="a path below one of the roots")
            known = f"{self._folder_id(folder.parent)}/{path_text(folder.name)}" if label is None else label
            self.folder_ids[str(folder)] = known
        return known

    def is_new(self, path: Path, facts: FileFacts) -> bool:
        """Whether neither this path nor this file by another name, through a link or a mount, came before."""
        known = str(path) in self.seen
        self.seen.add(str(path))
        # Size and time too: some file systems of networks have numbers that are not unique.
        file = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        known = known or (facts.st_ino != 0 and file in self.files)
        self.files.add(file)
        return not known


def discover(paths: Sequence[Path], *, settings: ReadSettings) -> Iterator[DiscoveredFile]:
    """Every file under the paths, folders in sorted order; files that no reader takes come as skipped.

    Left out: hidden names, version control, caches, virtual environments, gnomon collections, what `exclude`
    matches. What .gitignore and .gnomonignore leave out comes as skipped and `ignored`, a folder as one. Links to
    files are read, last; links to folders are skipped, so that no loop and no way out of the root exists. A file
    with several names (links, hard links, mounts) comes once. A folder holding a BEIR corpus.jsonl is that one file.
    Ids do not depend on the working directory: see `label_roots`.
    Raises InvalidInput for paths that do not exist, before anything is yielded.
    """
    labels = label_roots(paths, settings.labels)
    return _found(root_paths(paths, labels), _Walk(labels, settings))


def label_roots(paths: Sequence[str | Path], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """A short unique name for each given path, by absolute path (as `path_text` writes it): what its documents' ids
    begin with.

    The path's own name, with parents' names in front where it is taken already. Paths below a known
    one need none. Pass the result as `known` the next time, and no id ever changes or means two files.
    Raises InvalidInput for paths that do not exist.
    """
    labels = dict(known or {})
    # Outer folders first, so that the order of the arguments changes no id.
    for root in sorted(root_paths(paths, labels), key=lambda root: (len(root.parts), root)):
        if any(path_text(parent) in labels for parent in (root, *root.parents)):
            continue
        names = [unicodedata.normalize("NFC", path_text(name)) for name in root.parts[1:]] or ["root"]
        taken = set(labels.values())
        labels[path_text(root)] = next(
            (label for count in range(1, len(names) + 1) if not _meets(label := "/".join(names[-count:]), taken)),
            path_text(root.as_posix()),
        )
    return labels


def root_paths(paths: Sequence[str | Path], known: Mapping[str, str]) -> list[Path]:
    """The given paths, absolute; one below a known root, reached through another link, by that root's path.

    A path keeps its links otherwise: where one is pointed to another folder later, the same documents change.
    Raises InvalidInput for paths that do not exist.
    """
    given = _checked(paths)
    if all(path_text(root) in known for root in given):
        return given
    real = _real_roots(known)
    return [_by_known_root(root, known, real) for root in given]


def stored_paths(path: Path, known: Mapping[str, str]) -> list[Path]:
    """The paths by which a file or folder, which may be gone, can be known: as it is given, and below a known root."""
    given = absolute(path)
    return [given, _by_known_root(given, known, _real_roots(known))]


def _real_roots(known: Mapping[str, str]) -> dict[str, Path]:
    """The known roots of this machine by their paths without links."""
    return {str(path_of(root).resolve()): path_of(root) for root in known if not remote_scheme(root)}


def _by_known_root(root: Path, known: Mapping[str, str], real: Mapping[str, Path]) -> Path:
    if path_text(root) in known or remote_scheme(root):
        return root
    resolved = root.resolve()
    for parent in (resolved, *resolved.parents):
        if (there := real.get(str(parent))) is not None:
            return there / resolved.relative_to(parent)
    return root


def _meets(label: str, taken: set[str]) -> bool:
    """Whether ids under two labels could be the same: one is the other or lies below it."""
    return any(label == other or label.startswith(f"{other}/") or other.startswith(f"{label}/") for other in taken)


def _checked(paths: Sequence[str | Path]) -> list[Path]:
    if isinstance(paths, (str, Path)):
        raise InvalidInput(f"one path ({paths}) where several are taken", expected="a sequence", hint="write [path]")
    missing = [path_text(path) for path in paths if not is_there(Path(path))]
    if missing:
        raise InvalidInput(
            f"no such file or folder: {', '.join(missing)}",
            expected="files and folders that exist and may be looked at",
            hint="look for a typing error; relative paths count from the working directory",
        )
    roots = [absolute(Path(path)) for path in paths]
    for root in roots:
        if not remote_scheme(root) and is_there(root / _CATALOG):
            raise InvalidInput(
                f"{root} is a gnomon collection",
                expected="files and folders to index",
                hint="give the folder that holds your documents",
            )
    return roots


def is_excluded(path: Path, root: Path, patterns: Sequence[str]) -> bool:
    """Whether a path below a root, or a folder on the way to it, matches one of the patterns of `exclude`."""
    way = [each for each in (path, *path.parents) if each != root and each.is_relative_to(root)]
    return any(_matches(each, root, patterns) for each in way)


def _matches(path: Path, root: Path, patterns: Sequence[str]) -> bool:
    below = path.relative_to(root).as_posix()
    return any(
        fnmatch(below, pattern.strip("/")) or ("/" not in pattern and fnmatch(path.name, pattern))
        for pattern in patterns
    )


def _found(roots: Sequence[Path], walk: _Walk) -> Iterator[DiscoveredFile]:
    for root in roots:
        there = replace(walk, tree=tree_of(root))
        if there.tree.is_folder(root):
            yield from _folder(root, there)
        else:
            yield from _file(root, there, named=True)
    for link in walk.links:  # last: a file's own name is the better one
        yield from _file(link, walk)


def _folder(root: Path, walk: _Walk) -> Iterator[DiscoveredFile]:
    above = walk.settings.ignore_files and not remote_scheme(root)
    pending = [(root, IgnoreRules.above(root) if above else IgnoreRules())]
    while pending:
        here, rules = pending.pop()
        try:
            entries = sorted(walk.tree.entries(here), key=lambda entry: entry.name)
        except OSError as error:
            yield _skip(here, walk, f"the folder cannot be listed: {error.strerror}")
            continue
        names = {entry.name for entry in entries}
        if not names.isdisjoint(_NOT_DOCUMENTS):
            continue
        if walk.settings.ignore_files:
            rules = rules.below(here, names, walk.tree.beginning)
        entries = [entry for entry in entries if not _is_left_out(entry, here, root, walk=walk)]
        corpus = next((name for name in _CORPUS if _is_corpus(here / name, entries, rules, walk=walk)), "")
        if corpus:
            yield from _beir_folder(here, entries, corpus, walk=walk)
            continue
        folders = []
        for entry in entries:
            path = here / entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if by := rules.ignores(path, is_folder=is_folder):
                yield DiscoveredFile(path, walk.id_of(path), 0, 0, "", f"ignored by {by}", ignored=True)
            elif is_folder:
                folders.append((path, rules))
            elif entry.is_symlink() and path.is_dir():
                yield _skip(path, walk, "a link to a folder; name that folder itself to index it")
            elif entry.is_symlink():
                walk.links.append(path)
            else:
                yield from _file(path, walk)
        pending += reversed(folders)


def _is_corpus(path: Path, entries: Sequence[Entry], rules: IgnoreRules, *, walk: _Walk) -> bool:
    there = any(entry.name == path.name for entry in entries)
    return there and not rules.ignores(path, is_folder=False) and _is_beir(path, walk)


def _beir_folder(folder: Path, entries: Sequence[Entry], corpus: str, *, walk: _Walk) -> Iterator[DiscoveredFile]:
    yield from _file(folder / corpus, walk, beir=True)
    for entry in entries:
        if entry.name not in _BESIDE_CORPUS:
            reason = f"beside {corpus}, which stands for its folder; name it itself to index it"
            yield _skip(folder / entry.name, walk, reason)


def _is_left_out(entry: Entry, folder: Path, root: Path, *, walk: _Walk) -> bool:
    hidden = entry.name.startswith(".") or entry.name in _LEFT_OUT
    return hidden or _matches(folder / entry.name, root, walk.settings.exclude)


def _file(path: Path, walk: _Walk, *, named: bool = False, beir: bool = False) -> Iterator[DiscoveredFile]:
    try:
        facts = walk.tree.facts(path)
        if not walk.is_new(path, facts):
            return
        if not stat.S_ISREG(facts.st_mode):
            yield _skip(path, walk, "no regular file")
            return
        is_corpus = beir or (path.name in _CORPUS and _is_beir(path, walk))
        kind = "beir" if is_corpus else kind_of(path, named=named, beginning=walk.tree.beginning)
    except OSError as error:
        yield _skip(path, walk, f"cannot be opened: {error.strerror}")
        return
    reason = "" if kind else "no text, by its first bytes"
    if not kind and path.suffix:
        reason = f"no reader for {path_text(path.suffix.lower())} files"
    yield DiscoveredFile(
        path, walk.id_of(path), facts.st_size, facts.st_mtime_ns, kind, skipped=reason, ctime_ns=facts.st_ctime_ns
    )


def _skip(path: Path, walk: _Walk, reason: str) -> DiscoveredFile:
    return DiscoveredFile(path, walk.id_of(path), 0, 0, "", reason)


def _is_beir(path: Path, walk: _Walk) -> bool:
    from gnomon.text.readers.jsonl import is_beir

    with walk.tree.beginning(path, _FIRST_LINE_BYTES) as beginning:
        return is_beir(beginning)
