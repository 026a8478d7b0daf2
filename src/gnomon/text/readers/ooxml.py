"""Office Open XML packages (.docx and its kin): a zip archive of XML parts that name each other by relationships.

Elements are told by their local names: the strict and the transitional form differ in their namespaces only.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon.core.errors import UnreadableFile
from gnomon.text.settings import ReadSettings

_OLE = b"\xd0\xcf\x11\xe0"
_UNPACKED = 4


@dataclass(frozen=True, slots=True)
class Relationship:
    """`kind` is the last word of the relationship's type, as `styles`; `target` the name of the part."""

    kind: str
    target: str


class Package:
    """An opened package: its parts as XML trees, and what each is related to."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {name.lstrip("/").lower(): name for name in archive.namelist()}

    def tree(self, part: str) -> Any | None:
        """The root element of a part; None where there is no such part."""
        from lxml.etree import XMLParser, fromstring

        name = self._names.get(part.lower())
        if name is None:
            return None
        parser = XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
        return fromstring(self._archive.read(name), parser=parser)

    def bytes(self, part: str) -> bytes:
        """A part as it stands; empty where there is no such part."""
        name = self._names.get(part.lower())
        return self._archive.read(name) if name is not None else b""

    def related(self, part: str) -> dict[str, Relationship]:
        """The relationships of a part by their ids, of the package itself for ""."""
        folder, name = posixpath.split(part)
        root = self.tree(posixpath.join(folder, "_rels", f"{name}.rels"))
        found = {}
        for each in root if root is not None else ():
            if each.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, each.get("Target", ""))).lstrip("/")
                found[each.get("Id", "")] = Relationship(each.get("Type", "").rsplit("/", 1)[-1], target)
        return found

    def first(self, part: str, kind: str) -> str:
        """The first part of this kind that a part is related to; "" without one."""
        return next((each.target for each in self.related(part).values() if each.kind == kind), "")

    def properties(self) -> dict[str, str]:
        """Title, author, subject and keywords, where the file has them."""
        root = self.tree(self.first("", "core-properties") or "docProps/core.xml")
        wanted = {"title": "title", "creator": "author", "subject": "subject", "keywords": "keywords"}
        given = {local_name(each): " ".join((each.text or "").split()) for each in (root if root is not None else ())}
        return {name: given[key] for key, name in wanted.items() if given.get(key)}


@contextmanager
def open_package(path: Path, settings: ReadSettings) -> Iterator[Package]:
    """The package in a file. Raises UnreadableFile for an encrypted, an older or a damaged one, and a bomb."""
    with path.open("rb") as file:
        beginning = file.read(4)
    kind = path.suffix.lower() or "Office"
    if beginning == _OLE:
        raise UnreadableFile(
            f"{path} is encrypted, or in the format of Office before 2007",
            expected=f"a {kind} file without password",
            hint=f"open it in Office or LibreOffice and save it as {kind} without password",
        )
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise UnreadableFile(
            f"{path} is no {kind} file, or a damaged one: {error}",
            expected=f"a {kind} file, which is a zip archive",
            hint="open it in Office or LibreOffice and save it again",
        ) from error
    with archive:
        unpacked = sum(
            part.file_size
            for part in archive.infolist()
            if part.filename.endswith((".xml", ".rels", ".xhtml", ".html", ".opf"))
        )
        if unpacked > _UNPACKED * settings.max_bytes:
            raise UnreadableFile(
                f"{path} unpacks to {unpacked / 1e6:,.0f} MB of XML",
                expected=f"at most {_UNPACKED} times max_file_mb, {_UNPACKED * settings.max_file_mb:g} MB",
                hint="raise max_file_mb if the file is to be trusted",
            )
        yield Package(archive)


def local_name(element: Any) -> str:
    """An element's tag without its namespace."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def children(element: Any, name: str) -> Iterator[Any]:
    """An element's children of this name."""
    return (each for each in element if local_name(each) == name)


def child(element: Any, *names: str) -> Any | None:
    """The first child of the first name, its first of the second, and so on; None where one is missing."""
    for name in names:
        element = next(children(element, name), None) if element is not None else None
    return element


def attribute(element: Any, name: str = "val", default: str = "") -> str:
    """An attribute by its local name."""
    if element is None:
        return default
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), default)


def is_on(element: Any) -> bool:
    """Whether a switch such as `w:vanish` is there and not turned off."""
    return element is not None and attribute(element, default="true").lower() not in ("0", "false", "off")
