"""What may happen to a collection with versions, in any order and cut off anywhere, beside a plain model."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gnomon.collection import Collection, CollectionSettings, RetrievalSettings
from gnomon.collection.catalog.versions import NotReady
from gnomon.collection.ingest.backfill import BackfillOptions
from gnomon.core.errors import InvalidInput
from gnomon.text.chunk import ChunkSettings
from support.version_collections import built, check_catalog, one, opened, rows, served, text, three, two, until
from support.version_kills import Fuse, abandoned, boundaries, copied, lit
from support.version_model import Kind, Model, Modelled

SPECS: dict[str, tuple[Any, dict[str, Any]]] = {
    "first": (one, {}),
    "model": (two, {}),
    "words": (one, {"retrieval": RetrievalSettings(mode="lexical")}),
    "chunks": (one, {"chunking": ChunkSettings(max_tokens=10)}),
    "all": (three, {"chunking": ChunkSettings(max_tokens=12)}),
}
KEYS = [str(number) for number in range(8)]
FIRST = {key: text(int(key)) for key in KEYS[:5]}
SETTINGS = CollectionSettings(chunk_tokens=20, chunk_overlap=0)
CUT_OFF = {
    "add": 20, "remove": 8, "begin": 3, "step": 9, "finish": 20, "switch": 5, "back": 4, "retire": 3,
    "prune": 15, "reopen": 6, "index": 10,
}  # fmt: skip
"""What a kill may interrupt, and about how many boundaries it has."""
STANDING = """SELECT v.id, v.state, CASE v.state WHEN 'live' THEN 0 WHEN 'retired' THEN NULL
    ELSE (SELECT count(*) FROM documents d WHERE d.id > v.upto) END FROM versions v"""
"""How each version stands, asked in fewer words than by `versions()`, which takes a fifth of all time."""
DONE: Counter[str] = Counter()
"""How often each thing happened in this process."""

Act = tuple[Callable[[Collection], Any], list[Model]]
"""What is done to the collection, and the stages that it goes through, the last of which it ends at."""


@functools.cache
def _template(is_built: bool) -> Path:
    """A collection that histories begin with a copy of: v1 alone, or with others that are ready or begun."""
    folder = Path(tempfile.mkdtemp()) / "kb"
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    fill(folder, is_built=is_built)
    return folder


def fill(place: Path | str, *, is_built: bool) -> None:
    """Make the collection that histories begin with."""
    with opened(place, settings=SETTINGS) as kb:
        kb.add([{"id": key, "text": body} for key, body in FIRST.items()])
        if is_built:
            for name in ("model", "chunks", "all"):
                make, given = SPECS[name]
                built(kb, make(), **given) if name != "all" else kb.versions.add(make(), **given)


def _model(is_built: bool) -> Model:
    """That collection."""
    documents = {key: (at, body) for at, (key, body) in enumerate(FIRST.items(), 1)}
    model = Model(documents, {"v1": Modelled((20, "one", "hybrid"), "live")}, revision=len(FIRST))
    if is_built:
        model.versions["v2"] = Modelled((20, "two", "hybrid"), "ready")
        model.versions["v3"] = Modelled((10, "one", "hybrid"), "ready")
        model.begin((12, "three", "hybrid"))
    return model


def counted(**given: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule whose steps are counted by its name."""

    def wrapped(method: Callable[..., None]) -> Any:
        @functools.wraps(method)
        def stepped(self: Any, *positional: Any, **named: Any) -> None:
            DONE[method.__name__] += 1
            method(self, *positional, **named)

        return rule(**given)(stepped)

    return wrapped


class Histories(RuleBasedStateMachine):
    """The collection beside the model, with a second handle on it that only reads."""

    def __init__(self) -> None:
        super().__init__()
        DONE["histories"] += 1
        self.parent = Path(tempfile.mkdtemp())
        self.place: Path | str = self.parent / "kb"
        self.copies = 0
        self.is_looked_at = False

    @initialize(is_built=st.booleans())
    def start(self, is_built: bool) -> None:
        self.make(is_built)
        self.kb, self.reader = opened(self.place), None
        self.model = _model(is_built)

    def make(self, is_built: bool) -> None:
        """Make what the history begins with, at its place."""
        shutil.copytree(_template(is_built), self.place)

    # What may be done: each gives the call, and the stages of the model

    def act_add(self, keys: list[str], turn: int) -> Act:
        bodies = {key: text(int(key), turn) for key in keys}
        lagging = self.model.copy()
        lagging.put(bodies)
        after = lagging.copy()
        after.follow()
        given = [{"id": key, "text": body} for key, body in bodies.items()]
        return lambda kb: kb.add(given), [lagging, after]

    def act_remove(self, keys: list[str]) -> Act:
        after = self.model.copy()
        after.remove(keys)
        return lambda kb: kb.remove(keys), [after]

    def act_begin(self, spec: str) -> Act:
        make, given = SPECS[spec]
        after = self.model.copy()
        after.begin(self.kind(spec))
        return lambda kb: kb.versions.add(make(), **given), [after]

    def act_step(self, name: str, count: int) -> Act:
        after = self.model.copy()
        after.backfilled(name, count)
        options = BackfillOptions(batch_documents=count, slice_texts=2)
        return lambda kb: kb.versions.prepare_backfill(name, options).step(), [after]

    def act_finish(self, name: str) -> Act:
        backfilled = self.model.copy()
        backfilled.backfilled(name)
        after = backfilled.copy()
        after.versions[name].state = "ready"

        def finish(kb: Collection) -> None:
            kb.versions.backfill(name)
            kb.versions.mark_ready(name)
            kb.versions.build_indexes(name)

        return finish, [backfilled, after]

    def act_index(self, name: str) -> Act:
        def index(kb: Collection) -> None:
            with suppress(NotReady):  # of a version that lacks documents nothing is taken in
                kb.versions.build_indexes(name)

        return index, [self.model.copy()]

    def act_switch(self, name: str) -> Act:
        backfilled = self.model.copy()
        backfilled.backfilled(name)
        after = backfilled.copy()
        after.switch(name)
        return lambda kb: kb.switch(name), [backfilled, after]

    def act_back(self) -> Act:
        name = self.model.former()
        assert name is not None
        backfilled = self.model.copy()
        backfilled.backfilled(name)
        after = backfilled.copy()
        after.back(name)
        return lambda kb: kb.rollback().to, [backfilled, after]

    def act_retire(self, name: str) -> Act:
        after = self.model.copy()
        after.versions[name].state = "retired"
        return lambda kb: kb.retire(name), [after]

    def act_prune(self, vacuum: bool) -> Act:
        return lambda kb: kb.prune(vacuum=vacuum), [self.model.copy()]

    def act_reopen(self) -> Act:
        return lambda kb: (kb.close(), opened(self.place).internals.indexes), [self.model.copy()]

    def kind(self, spec: str) -> Kind:
        make, given = SPECS[spec]
        live = self.model.versions[self.model.live].kind
        chunking, retrieval = given.get("chunking"), given.get("retrieval")
        return (
            live[0] if chunking is None else chunking.max_tokens,
            make.keywords.get("salt") or "one",
            live[2] if retrieval is None else retrieval.mode,
        )

    def fits(self, spec: str) -> bool:
        return self.kind(spec)[0] <= SPECS[spec][0].keywords["max_tokens"]

    def done(self, act: Act) -> Any:
        given = act[0](self.kb)
        self.model = act[1][-1]
        return given

    # The steps of a history

    @counted(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True), turn=st.integers(0, 2))
    def add(self, keys: list[str], turn: int) -> None:
        self.done(self.act_add(keys, turn))
        self.is_looked_at = False

    @counted(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True))
    def remove(self, keys: list[str]) -> None:
        self.done(self.act_remove(keys))
        self.is_looked_at = False

    @counted(spec=st.sampled_from(sorted(SPECS)))
    def begin_version(self, spec: str) -> None:
        make, given = SPECS[spec]
        if self.model.has(self.kind(spec)):
            with pytest.raises(InvalidInput, match="has the same model"):
                self.kb.versions.add(make(), **given)
        elif self.fits(spec):
            name = self.model.copy().begin(self.kind(spec))
            assert self.done(self.act_begin(spec)).name == name

    @precondition(lambda self: self.model.named("building", "ready"))
    @counted(data=st.data(), count=st.integers(1, 4))
    def step(self, data: st.DataObject, count: int) -> None:
        name = data.draw(st.sampled_from(self.model.named("building", "ready")))
        lacking = self.model.behind(name)
        assert self.done(self.act_step(name, count)) == bool(lacking)

    @precondition(lambda self: self.model.named("building"))
    @counted(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.model.named("building")))
        if self.model.behind(name):
            with pytest.raises(NotReady, match="behind"):
                self.kb.versions.mark_ready(name)
        self.done(self.act_finish(name))

    @precondition(lambda self: self.model.named("building", "ready"))
    @counted(data=st.data())
    def index(self, data: st.DataObject) -> None:
        self.done(self.act_index(data.draw(st.sampled_from(self.model.named("building", "ready")))))

    @precondition(lambda self: self.model.named("ready"))
    @counted(data=st.data())
    def switch(self, data: st.DataObject) -> None:
        self.done(self.act_switch(data.draw(st.sampled_from(self.model.named("ready")))))
        self.is_looked_at = False

    @precondition(lambda self: self.model.former() is not None)
    @counted()
    def back(self) -> None:
        former = self.model.former()
        assert self.done(self.act_back()) == former
        self.is_looked_at = False

    @counted(data=st.data())
    def refused(self, data: st.DataObject) -> None:
        """What may not be done, which changes nothing."""
        if self.model.former() is None:
            with pytest.raises(InvalidInput, match="no former version"):
                self.kb.rollback()
        with pytest.raises(InvalidInput, match="is live"):
            self.kb.retire(self.model.live)
        with pytest.raises(InvalidInput):
            self.kb.switch(data.draw(st.sampled_from(self.model.named("building", "retired", "live"))))

    @precondition(lambda self: self.model.named("building", "ready"))
    @counted(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        self.done(self.act_retire(data.draw(st.sampled_from(self.model.named("building", "ready")))))

    @counted(vacuum=st.booleans())
    def prune(self, vacuum: bool) -> None:
        self.done(self.act_prune(vacuum))
        self.is_looked_at = False

    @counted()
    def reopen(self) -> None:
        self.kb.close()
        self.kb = opened(self.place)
        self.is_looked_at = False

    @counted()
    def read(self) -> None:
        """The other handle, as of another process, goes over to what is live and finds all of it."""
        self.reader = self.reader or opened(self.place)
        reader = self.reader
        assert until(lambda: reader.version.name == self.model.live)
        # After more than a search waits for, the last view is served until a thread has brought a newer one.
        assert until(lambda: reader.internals.indexes.dense_at == reader.internals.serving.active.derived.head().seq)
        assert plain(served(reader)) == self.texts()

    @counted(data=st.data(), what=st.sampled_from(sorted(CUT_OFF)), copy=st.booleans())
    def kill(self, data: st.DataObject, what: str, copy: bool) -> None:
        """Something is cut off at a boundary, and what is on the disk then is opened anew."""
        act = self.drawn(data, what)
        if act is None:
            return
        self.copies += 1
        folder, to = self.place, self.parent / f"kb{self.copies}"
        copy = copy and isinstance(folder, Path)
        boundary = data.draw(st.integers(0, CUT_OFF[what]))
        fuse = Fuse(boundary, (lambda: copied(Path(folder), to)) if copy else lambda: None)
        with boundaries(), lit(fuse):
            act[0](self.kb)
        DONE[f"kill of {what}" if fuse.has_fired else f"{what} ended before its kill"] += 1
        abandoned(self.kb)
        if fuse.has_fired and copy:
            DONE["kill by copy"] += 1
            if self.reader is not None:
                abandoned(self.reader)
                self.reader = opened(to)
            shutil.rmtree(folder)
            self.place = to
        self.kb = opened(self.place)
        self.model = self.found(act[1]) if fuse.has_fired else act[1][-1]
        self.is_looked_at = False

    def drawn(self, data: st.DataObject, what: str) -> Act | None:
        """Something that can be done now; None where there is nothing of the kind."""
        some = st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True)
        if what in ("add", "remove"):
            keys = data.draw(some)
            return self.act_remove(keys) if what == "remove" else self.act_add(keys, data.draw(st.integers(0, 2)))
        if what == "begin":
            spec = data.draw(st.sampled_from(sorted(SPECS)))
            return None if self.model.has(self.kind(spec)) or not self.fits(spec) else self.act_begin(spec)
        if what == "back":
            return None if self.model.former() is None else self.act_back()
        if what == "prune":
            return self.act_prune(data.draw(st.booleans()))
        if what == "reopen":
            return self.act_reopen()
        of = {"step": ("building", "ready"), "finish": ("building",), "switch": ("ready",)}
        names = self.model.named(*of.get(what, ("building", "ready")))
        if not names:
            return None
        name = data.draw(st.sampled_from(names))
        if what == "step":
            return self.act_step(name, data.draw(st.integers(1, 4)))
        acts: dict[str, Callable[[str], Act]] = {
            "finish": self.act_finish,
            "index": self.act_index, "switch": self.act_switch, "retire": self.act_retire,
        }  # fmt: skip
        return acts[what](name)

    def found(self, stages: list[Model]) -> Model:
        """The stage that a kill left: of what is there nothing may be but what one of them has.

        Who was catching a version up came so far in its order; what is left is what follows.
        """
        texts = {key: self.kb.text(key) for key in self.kb.ids()}
        infos = {info.name: info for info in self.kb.versions.list()}
        for stage in [self.model, *stages]:
            states = {name: version.state for name, version in stage.versions.items()}
            if texts == {key: body for key, (_, body) in stage.documents.items()} and states == {
                name: info.state for name, info in infos.items()
            }:
                found = stage.copy()
                for name in found.named("building", "ready"):
                    lacking = found.behind(name)
                    assert infos[name].behind <= len(lacking)
                    found.versions[name].lacks = lacking[len(lacking) - infos[name].behind :]
                return found
        raise AssertionError(f"neither before nor after: {texts}, {infos}")

    # What holds after each

    @invariant()
    def stands_as_modelled(self) -> None:
        wanted = {
            name: (version.state, None if version.state == "retired" else len(self.model.behind(name)))
            for name, version in self.model.versions.items()
        }
        assert {f"v{row[0]}": row[1:] for row in rows(self.kb, STANDING)} == wanted

    @invariant()
    def serves_what_it_should(self) -> None:
        if not self.is_looked_at:  # after what may change that, and at the end
            self.is_looked_at = True
            assert self.kb.version.name == self.model.live
            assert plain(served(self.kb)) == self.texts()

    def texts(self) -> dict[str, str]:
        return plain({key: body for key, (_, body) in self.model.documents.items()})

    def teardown(self) -> None:
        try:
            self.is_looked_at = False
            self.serves_what_it_should()
            for info in self.kb.versions.list():
                assert info.state == "retired" or info.behind == len(self.model.behind(info.name))
            check_catalog(self.kb.internals.catalog)
            self.kb.close()
            if self.reader is not None:
                self.reader.close()
        finally:
            shutil.rmtree(self.parent)


def histories_at(new_place: Callable[[], str]) -> type[Histories]:
    """Histories of collections whose folder cannot be copied: of a database."""

    class Elsewhere(Histories):
        def make(self, is_built: bool) -> None:
            self.place = new_place()
            fill(self.place, is_built=is_built)

    return Elsewhere


def plain(texts: dict[str, str]) -> dict[str, str]:
    """Without white space: a chunk begins and ends with a word."""
    return {key: "".join(body.split()) for key, body in texts.items()}
