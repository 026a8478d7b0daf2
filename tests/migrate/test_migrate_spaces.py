"""Further spaces that a migration adds and removes: planned, gated, switched to, and gone back from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gnomon.collection import Collection
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.errors import InvalidInput
from gnomon.migrate import Change, MigrateSettings, migrate, plan
from gnomon.migrate.change import add_spaces, remove_spaces
from gnomon.migrate.cost import measure_size
from gnomon.retrieve import FuseSettings, SpaceSettings
from gnomon.testing import HashEncoder

OTHER = HashEncoder(48, salt="other")
ADD = Change(add_models=(OTHER.space.name,))
UNPROVEN = MigrateSettings(without_proof=True)


@pytest.fixture
def both(kb: Collection) -> Collection:
    kb.internals.encoders.register(OTHER)
    return kb


def test_a_plan_says_what_the_further_space_takes(both: Collection) -> None:
    found = plan(both, ADD)
    (space,) = found.spaces
    assert (found.texts, space.texts + space.cached, space.dim) == (0, found.chunks, 48)
    assert space.tokens > space.texts
    assert found.seconds > space.seconds > 0
    assert space.bytes > 96 * space.texts
    assert found.bytes.after >= found.bytes.before + space.bytes
    assert f"--add-model {OTHER.space.name}" in found.commands[0]
    later = plan(both, replace(ADD, second_stage=True))
    assert later.spaces == (), "vectors are made when they are needed"
    assert "--second-stage" in later.commands[0]


def test_added_judged_switched_to_and_taken_out_again(both: Collection) -> None:
    before, texts = measure_size(both), both.status().vectors
    done = migrate(both, ADD, settings=UNPROVEN)
    assert (done.outcome, done.texts) == ("switched", texts)
    assert (done.texts_done, done.tokens_done) == (done.texts, done.tokens)
    assert f"dense:{OTHER.space.name}" in both.search("note")[0].stages
    assert measure_size(both).vector_bytes > 1.5 * before.vector_bytes
    with pytest.raises(InvalidInput, match="twice"):
        migrate(both, ADD, settings=UNPROVEN)
    gone = migrate(both, Change(remove_models=(OTHER.space.name,)), settings=UNPROVEN)
    assert (gone.outcome, gone.texts) == ("switched", 0)
    assert both.version.retrieval.spaces == ()
    both.rollback()
    assert f"dense:{OTHER.space.name}" in both.search("note")[0].stages
    both.rollback()
    assert both.version.name == "v1"


def test_as_plain_settings(both: Collection) -> None:
    spaces = [{"model": OTHER.space.name, "place": "second-stage", "depth": 5}]
    assert migrate(both, retrieval={"spaces": spaces}, settings=UNPROVEN).outcome == "switched"
    (own,) = both.version.retrieval.spaces
    assert (own.place, own.depth, own.fingerprint) == ("second-stage", 5, OTHER.space.fingerprint)


def test_weights_that_were_set_keep_their_proportions() -> None:
    set_to = RetrievalSettings(fuse=FuseSettings(weights=(1, 3)))
    one = add_spaces(set_to, [SpaceSettings("a"), SpaceSettings("late", "second-stage")])
    assert one.fuse.weights == pytest.approx((0.175, 0.525, 0.3))
    assert remove_spaces(one, ["a"]).fuse.weights == pytest.approx((0.175, 0.525))
    assert remove_spaces(one, ["late"]).fuse.weights == pytest.approx((0.175, 0.525, 0.3))
    assert add_spaces(RetrievalSettings(), [SpaceSettings("a")]).fuse.weights is None


def test_what_cannot_be_added_or_taken_out(both: Collection) -> None:
    with pytest.raises(InvalidInput, match="second-stage without"):
        plan(both, Change(second_stage=True))
    with pytest.raises(InvalidInput, match="no further model") as refused:
        plan(both, Change(remove_models=("bge",)))
    assert "gnomon migrate KB --to MODEL" in refused.value.hint
    with pytest.raises(InvalidInput, match="twice"):
        plan(both, Change(add_models=(both.encoder.space.name,)))
