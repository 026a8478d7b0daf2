"""A collection with versions as it should be: what each thing done to it makes of it, in plain data.

What is done in several transactions goes through stages; a kill leaves one of them, with each version that is
backfilled as far as it came.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

Kind = tuple[int, str, str]
"""Of a version: the tokens of its chunks, its model, its mode of retrieval."""
Lacking = tuple[int, str]
"""A document that is to be brought: its revision, which rises, and its id."""


@dataclass
class Modelled:
    """A version as it should be."""

    kind: Kind
    state: str = "building"
    lacks: list[Lacking] = field(default_factory=list)


@dataclass
class Model:
    """The documents by id (revision, text), the versions by name, and the live ones in order."""

    documents: dict[str, tuple[int, str]]
    versions: dict[str, Modelled]
    path: list[str] = field(default_factory=lambda: ["v1"])
    revision: int = 0

    @property
    def live(self) -> str:
        return self.path[-1]

    def copy(self) -> Model:
        return deepcopy(self)

    def behind(self, name: str) -> list[Lacking]:
        """What a version lacks of the documents there are, in order."""
        if self.versions[name].state == "live":
            return []
        current = {(revision, key) for key, (revision, _) in self.documents.items()}
        return [each for each in self.versions[name].lacks if each in current]

    def named(self, *states: str) -> list[str]:
        return [name for name, version in self.versions.items() if version.state in states]

    def put(self, bodies: dict[str, str]) -> None:
        """Documents as one transaction puts them in: no version but the live one has the new ones yet."""
        for key, body in bodies.items():
            if self.documents.get(key, (0, ""))[1] != body:
                self.revision += 1
                self.documents[key] = (self.revision, body)
                for version in self.versions.values():
                    version.lacks.append((self.revision, key))

    def follow(self) -> None:
        """What a writer does then: those that are ready get all of it."""
        for name in self.named("ready"):
            self.versions[name].lacks = []

    def remove(self, keys: list[str]) -> None:
        for key in keys:
            self.documents.pop(key, None)

    def begin(self, kind: Kind) -> str:
        """A version that lacks everything; one that is being built of just that is gone on with."""
        for name in self.named("building"):
            if self.versions[name].kind == kind:
                return name
        name = f"v{len(self.versions) + 1}"
        lacks = sorted((revision, key) for key, (revision, _) in self.documents.items())
        self.versions[name] = Modelled(kind, lacks=lacks)
        return name

    def has(self, kind: Kind) -> bool:
        """Whether a version that is built is of just that."""
        return any(self.versions[name].kind == kind for name in self.named("ready", "live"))

    def backfilled(self, name: str, count: int | None = None) -> None:
        """The first documents that a version lacks are in it, or all."""
        lacking = self.behind(name)
        self.versions[name].lacks = [] if count is None else lacking[count:]

    def former(self) -> str | None:
        """The version to go back to."""
        kept = [name for name in self.path[:-1] if self.versions[name].state == "ready"]
        return kept[-1] if kept else None

    def switch(self, name: str) -> None:
        self._moved(name)
        self.path.append(name)

    def back(self, name: str) -> None:
        self._moved(name)
        before = self.path[:-1]
        del self.path[len(before) - before[::-1].index(name) :]

    def _moved(self, name: str) -> None:
        former, to = self.versions[self.live], self.versions[name]
        former.state, former.lacks = "ready", []
        to.state = "live"
