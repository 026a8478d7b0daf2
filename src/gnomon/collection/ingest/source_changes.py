"""What became of the files that the catalog knows: moved, gone, or left out now.

A file is known by its path. A tree that was moved keeps its documents' ids, since the label of its root moves along;
a file that was renamed within its root gets the ids of its new name, and its documents that did not change stay.
Nothing is embedded again in either case.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon.core.paths import path_of, path_text, remote_scheme
from gnomon.text.discover import DiscoveredFile, is_excluded, root_paths
from gnomon.text.file_trees import is_there

_LEVELS = 4
"""Folders above or below a given one at which a moved root is looked for."""
_TRIED = 50
"""Files of a moved root that are looked at before it is given up where none is found."""

Stored = Mapping[str, Any]
"""The catalog's files by path: rows of size, mtime_ns and sha256."""


def moved_roots(paths: Sequence[Path], known: Mapping[str, str], stored: Stored) -> dict[str, str]:
    """Roots that are gone and lie at, below or above a given path now, by their path before.

    At least half of a root's files must be there, at the same place below it and with the same content. A root that
    still exists is never taken for moved, so copies are no moves. Raises InvalidInput for paths that do not exist.
    """
    roots = root_paths(paths, known)
    new = [root for root in roots if not any(path_text(above) in known for above in (root, *root.parents))]
    new = [root for root in new if not remote_scheme(root)]
    gone = [root for root in known if new and not remote_scheme(root) and is_missing(root)]
    if not gone:
        return {}
    files: dict[str, list[str]] = {root: [] for root in gone}
    for path in stored:
        for above in _upwards(path):
            if above in files:
                files[above].append(path)
    folders = [root for root in new if root.is_dir()]
    by_name = {root.name: root for root in new if not root.is_dir()}
    found: dict[str, str] = {}
    for old in sorted(gone, key=len):
        if any(_is_below(old, other) for other in found) or not files[old]:
            continue
        before = path_of(old)
        places = [place for folder in folders for place in _places(folder, before)]
        for place in dict.fromkeys([*places, *([by_name[before.name]] if before.name in by_name else [])]):
            if not _is_taken(path_text(place), known, found) and _holds(place, old, files[old], stored=stored):
                found[old] = path_text(place)
                break
    return found


def renamed_files(found: Sequence[DiscoveredFile], gone: Sequence[str], stored: Stored) -> dict[str, str]:
    """Files that are gone and are there by another name, by their path before: those of the same content."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for path in gone:
        if stored[path].sha256:
            by_size[stored[path].size].append(path)
    renamed: dict[str, str] = {}
    for item in found:
        new = path_text(item.path)
        if new in stored or not by_size.get(item.size):
            continue
        digest = _sha256(item.path)
        same = [path for path in by_size[item.size] if stored[path].sha256 == digest]
        if same:
            old = next((path for path in same if os.path.basename(path) == item.path.name), same[0])  # noqa: PTH119
            by_size[item.size].remove(old)
            renamed[old] = new
    return renamed


@dataclass(frozen=True)
class RunScope:
    """What an index run is about: the given `roots`, the `known` ones by path, and the patterns to leave out."""

    roots: Sequence[Path]
    known: Mapping[str, str]
    exclude: Sequence[str] = ()

    def gone(self, stored: Stored, found: Sequence[DiscoveredFile]) -> list[str]:
        """The stored files within the scope that do not exist any more, or are left out now.

        Files below a given path, and files that were once named one by one and lay in the folders of the files that
        are named now. One whose state is not known for certain stays: below a folder that cannot be listed, or that
        is empty where it held all files of a root, as the folder of a disk is that is not mounted.
        """
        seen = {path_text(item.path) for item in found if not item.skipped}
        unsure = {path_text(item.path) for item in found if item.skipped and not item.ignored}
        unsure.update(path_text(root) for root in self.empty_roots())
        given = {path_text(root) for root in self.roots}
        here = [root for root in self.roots if not remote_scheme(root)]
        beside = _common_folder([root for root in here if not root.is_dir()])
        gone = []
        for path in stored:
            if path in seen or not unsure.isdisjoint(_upwards(path)):
                continue
            within = next((above for above in _upwards(path) if above in given), None)
            if within is not None:
                if is_missing(path) or self._is_left_out(path, within):
                    gone.append(path)
            elif beside and path in self.known and _is_below(path, beside) and _is_gone_by_itself(path):
                gone.append(path)
        return gone

    def empty_roots(self) -> list[Path]:
        """Given folders without any entry."""
        return [root for root in self.roots if root.is_dir() and _is_empty(root)]

    def _is_left_out(self, path: str, root: str) -> bool:
        """Whether an existing file that was not found belongs to this root alone, or is excluded by pattern."""
        if is_excluded(path_of(path), path_of(root), self.exclude):
            return True
        return not any(above in self.known for above in _upwards(path) if above != root and _is_below(above, root))


def is_missing(path: str) -> bool:
    """Whether a stored path is certain not to exist. Raises what a server refuses, for one behind a URL."""
    if remote_scheme(path):
        return not is_there(path_of(path))
    try:
        path_of(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def below(path: str, paths: Mapping[str, Any]) -> list[str]:
    """Those of the paths that are a path or lie below it."""
    return [each for each in paths if _is_below(each, path)]


def _places(root: Path, old: Path) -> Iterator[Path]:
    """Where a root may lie now that a folder is given: there, some folders below, or some above."""
    yield root
    for count in range(1, _LEVELS + 1):
        yield root.joinpath(*old.parts[1:][-count:])
    yield from list(root.parents)[:_LEVELS]


def _holds(place: Path, old: str, files: Sequence[str], *, stored: Stored) -> bool:
    """Whether at least half of a root's files are at a place as they were."""
    same = 0
    for tried, path in enumerate(files, start=1):
        there = place if path == old else place / path_of(path).relative_to(path_of(old))
        same += _is_same(there, stored[path])
        if 2 * same >= len(files):
            return True
        if tried == _TRIED and not same:
            return False
    return False


def _is_same(path: Path, stored: Any) -> bool:
    try:
        facts = path.stat()
    except OSError:
        return False
    if not stored.sha256 or facts.st_size != stored.size:
        return False
    return bool(facts.st_mtime_ns == stored.mtime_ns or _sha256(path) == stored.sha256)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _is_taken(place: str, known: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Whether a root is at, above or below a place already, or was just found to be there."""
    return place in found.values() or any(_is_below(place, root) or _is_below(root, place) for root in known)


def _upwards(path: str) -> Iterator[str]:
    """The path and the folders above it."""
    while True:
        yield path
        shorter = path.rpartition("/")[0] or "/"
        if shorter == path:
            return
        path = shorter


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _common_folder(files: Sequence[Path]) -> str:
    return path_text(os.path.commonpath([file.parent for file in files])) if files else ""


def _is_gone_by_itself(path: str) -> bool:
    """Whether a file does not exist in a folder that has others, or whose folder does not exist in such a one."""
    folder = next(each for each in path_of(path).parents if each.is_dir())
    return is_missing(path) and not _is_empty(folder)


def _is_empty(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def is_unchanged(found: DiscoveredFile, stored: Any) -> bool:
    """Whether a file's size and times are those that the catalog has of it. Of one without a time it is not known."""
    if stored is None or not stored.sha256 or not found.mtime_ns:
        return False
    now = (found.size, found.mtime_ns, found.ctime_ns)
    return bool((stored.size, stored.mtime_ns, stored.ctime_ns) == now)
