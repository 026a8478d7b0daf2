"""Writes, steps of builds, switches, ways back and clearing up in any order, beside a plain model."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gnomon.collection import CollectionSettings, RetrievalSettings
from gnomon.collection.catching_up import Manner
from gnomon.collection.version import NotReady
from gnomon.core.errors import InvalidInput
from gnomon.text.chunk import ChunkSettings

sys.path.insert(0, str(Path(__file__).parent))
from version_toys import check_sound, one, opened, served, text, three, two, until

SPECS: dict[str, tuple[Any, dict[str, Any]]] = {
    "first": (one, {}),
    "model": (two, {}),
    "words": (one, {"retrieval": RetrievalSettings(mode="lexical")}),
    "chunks": (one, {"chunking": ChunkSettings(max_tokens=10)}),
    "all": (three, {"chunking": ChunkSettings(max_tokens=12)}),
}
KEYS = [str(number) for number in range(8)]


@dataclass
class Modelled:
    """A version as it should be: `lacks` are documents that are to be brought, by key and revision."""

    kind: tuple[Any, ...]
    state: str = "building"
    lacks: list[tuple[str, int]] = field(default_factory=list)


class Histories(RuleBasedStateMachine):
    """The collection beside the model, with a second handle on it that only reads."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp()) / "kb"
        small = CollectionSettings(chunk_tokens=20, chunk_overlap=0)
        self.kb = opened(self.folder, settings=small)
        self.reader = opened(self.folder)
        self.documents: dict[str, tuple[int, str]] = {}
        self.versions = {"v1": Modelled((20, "one", "hybrid"), "live")}
        self.path = ["v1"]
        self.revision = 0

    @property
    def live(self) -> str:
        return self.path[-1]

    def behind(self, name: str) -> list[tuple[str, int]]:
        current = {(key, revision) for key, (revision, _) in self.documents.items()}
        return [each for each in self.versions[name].lacks if each in current]

    @initialize()
    def begin(self) -> None:
        self.add(KEYS[:5], 0)

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True), turn=st.integers(0, 2))
    def add(self, keys: list[str], turn: int) -> None:
        self.kb.add([{"id": key, "text": text(int(key), turn)} for key in keys])
        for key in keys:
            body = text(int(key), turn)
            if self.documents.get(key, (0, ""))[1] != body:
                self.revision += 1
                self.documents[key] = (self.revision, body)
                for version in self.versions.values():
                    if version.state == "building":
                        version.lacks.append((key, self.revision))

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True))
    def remove(self, keys: list[str]) -> None:
        self.kb.remove(keys)
        for key in keys:
            self.documents.pop(key, None)

    @rule(name=st.sampled_from(sorted(SPECS)))
    def begin_version(self, name: str) -> None:
        make, given = SPECS[name]
        live = self.versions[self.live].kind
        chunking, retrieval = given.get("chunking"), given.get("retrieval")
        kind = (
            live[0] if chunking is None else chunking.max_tokens,
            make.keywords.get("salt") or "one",
            live[2] if retrieval is None else retrieval.mode,
        )
        if chunking is not None or kind[0] <= make.keywords["max_tokens"]:
            same = [n for n, v in self.versions.items() if v.kind == kind and v.state != "retired"]
            if same and self.versions[same[0]].state != "building":
                with pytest.raises(InvalidInput, match="has the same model"):
                    self.kb.lineage.add(make(), **given)
                return
            found = self.kb.lineage.add(make(), **given).name
            if same:
                assert found == same[0]
                return
            assert found == f"v{len(self.versions) + 1}"
            lacks = sorted((revision, key) for key, (revision, _) in self.documents.items())
            self.versions[found] = Modelled(kind, lacks=[(key, revision) for revision, key in lacks])

    def building(self) -> list[str]:
        return [name for name, version in self.versions.items() if version.state == "building"]

    @precondition(lambda self: self.building())
    @rule(data=st.data(), count=st.integers(1, 4))
    def step(self, data: st.DataObject, count: int) -> None:
        name = data.draw(st.sampled_from(self.building()))
        lacking = self.behind(name)
        did = self.kb.lineage.catching_up(name, Manner(documents=count, slice_texts=2)).step()
        assert did == bool(lacking)
        done = set(lacking[:count])
        self.versions[name].lacks = [each for each in lacking if each not in done]

    @precondition(lambda self: self.building())
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.building()))
        if self.behind(name):
            with pytest.raises(NotReady, match="behind"):
                self.kb.lineage.ready(name)
        self.kb.lineage.catch_up(name)
        self.kb.lineage.ready(name)
        self.versions[name].state, self.versions[name].lacks = "ready", []

    @rule(data=st.data())
    def switch(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.versions)))
        version = self.versions[name]
        if version.state != "ready":
            with pytest.raises(InvalidInput):
                self.kb.switch(name)
            return
        self.kb.switch(name)
        self.moved(name)
        self.path.append(name)

    @rule()
    def back(self) -> None:
        former = [name for name in self.path[:-1] if self.versions[name].state == "ready"]
        if not former:
            with pytest.raises(InvalidInput, match="no former version"):
                self.kb.rollback()
            return
        assert self.kb.rollback().to == former[-1]
        self.moved(former[-1])
        del self.path[len(self.path) - self.path[::-1].index(former[-1]) :]

    def moved(self, name: str) -> None:
        self.versions[self.live].state, self.versions[name].state = "ready", "live"

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.versions)))
        if name == self.live:
            with pytest.raises(InvalidInput, match="is live"):
                self.kb.retire(name)
            return
        self.kb.retire(name)
        self.versions[name].state = "retired"

    @rule(vacuum=st.booleans())
    def prune(self, vacuum: bool) -> None:
        self.kb.prune(vacuum=vacuum)

    @rule()
    def reopen(self) -> None:
        self.kb.close()
        self.kb = opened(self.folder)

    @rule()
    def read(self) -> None:
        assert until(lambda: self.reader.version.name == self.live)
        assert plain(served(self.reader)) == self.texts()

    @invariant()
    def stands_as_modelled(self) -> None:
        for info in self.kb.versions():
            version = self.versions[info.name]
            assert info.state == version.state
            assert info.state == "retired" or info.behind == len(self.behind(info.name))

    @invariant()
    def serves_what_it_should(self) -> None:
        assert self.kb.version.name == self.live
        assert plain(served(self.kb)) == self.texts()

    def texts(self) -> dict[str, str]:
        return plain({key: body for key, (_, body) in self.documents.items()})

    def teardown(self) -> None:
        self.kb.close()
        self.reader.close()
        check_sound(self.folder)
        shutil.rmtree(self.folder.parent)


def plain(texts: dict[str, str]) -> dict[str, str]:
    """Without white space: a chunk begins and ends with a word."""
    return {key: "".join(body.split()) for key, body in texts.items()}


@pytest.mark.parametrize("examples", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_any_history(examples: int) -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=examples, stateful_step_count=25, deadline=None,
            suppress_health_check=list(HealthCheck), derandomize=examples == 10,
        ),
    )  # fmt: skip
