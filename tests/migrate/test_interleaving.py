"""Two versions whose results are shown in one list, until the clicks decide; all of it in the catalog."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from gnomon.collection import Collection, FeedbackEvent, LoggedQuery, QueryLogWriter
from gnomon.core.errors import CollectionBusy, InvalidInput
from gnomon.evaluate.interleaving import Drafted
from gnomon.migrate import (
    InterleaveSettings,
    MigrateSettings,
    active_interleaving,
    interleaving_status,
    migrate,
    record_feedback,
    stop_interleaving,
)
from gnomon.migrate import interleaving as interleavings
from gnomon.migrate.interleaving import ActiveInterleaving, begin_interleaving
from support.postgres import PostgresServer
from support.version_collections import documents, opened, text, two

INTERLEAVE = MigrateSettings(interleave=InterleaveSettings(share=1.0))
AT = "2026-01-01T00:00:00+00:00"
LIST = [Drafted("both", 0), Drafted("live", 1), Drafted("candidate", 1)]
BOTH, LIVE, CANDIDATE = 1, 2, 3
"""Positions in the list."""


class Clock:
    """The time that searches and clicks have."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        """The time in seconds."""
        return self.now

    def settle(self) -> None:
        """Wait until no click on what was searched for so far can come any more."""
        self.now += 700


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(interleavings, "time", found)
    return found


def write_log(kb: Collection, *, clicked: bool = True) -> None:
    search = LoggedQuery("what", AT, "v1", ("1", "2"), id="0" * 16)
    events = [FeedbackEvent(search.id, "1", "click", AT, 1)] if clicked else []
    QueryLogWriter(kb.internals.folder).append(search, *events)


@pytest.fixture
def active(kb: Collection, clock: Clock) -> ActiveInterleaving:
    write_log(kb)
    assert migrate(kb, two(), settings=INTERLEAVE).outcome == "interleaving"
    found = active_interleaving(kb)
    assert found is not None
    return found


def click(search: str, position: int | None, **more: object) -> FeedbackEvent:
    return replace(FeedbackEvent(search, "1", "click", AT, position), **more)  # type: ignore[arg-type]


def record(kb: Collection, active: ActiveInterleaving, positions: Iterable[int], **more: object) -> None:
    record_feedback(kb, [click(active.signed_id(LIST), position, **more) for position in positions])


def counts(kb: Collection, clock: Clock) -> tuple[int, int, int]:
    """Wins, losses and ties once no more clicks can come."""
    clock.settle()
    found = interleaving_status(kb)
    assert found is not None
    return found.wins, found.losses, found.ties


def live(kb: Collection) -> str:
    return next(info.name for info in kb.versions.list() if info.state == "live")


def test_the_candidate_that_is_clicked_goes_live(kb: Collection, active: ActiveInterleaving, clock: Clock) -> None:
    assert (active.live, active.candidate, active.share, live(kb)) == ("v1", "v2", 1.0, "v1")
    outcome, clicks, wins = "", 0, 0
    while not outcome and clicks < 40:
        found = record_feedback(kb, [click(active.signed_id(LIST), CANDIDATE)])
        assert found is not None
        outcome, clicks, wins = found.outcome, clicks + 1, found.wins
        clock.settle()
    assert (outcome, wins, live(kb)) == ("better", clicks - 1, "v2")
    assert 5 < clicks < 20
    assert active_interleaving(kb) is None
    assert record_feedback(kb, [click(active.signed_id(LIST), LIVE)]) is None
    kb.rollback()
    assert live(kb) == "v1"


def test_a_candidate_that_is_passed_over_does_not(kb: Collection, active: ActiveInterleaving, clock: Clock) -> None:
    record(kb, active, [LIVE] * 40)
    found = interleaving_status(kb)
    assert found is not None
    assert (found.losses, found.outcome) == (0, "")  # more clicks may come
    clock.settle()
    record(kb, active, [CANDIDATE])
    found = interleaving_status(kb)
    assert found is not None
    assert (found.outcome, live(kb)) == ("worse", "v1")
    assert "v1 stays live, v2 is worse by its clicks: v2 won 0 searches, v1 40" in found.explained


def test_the_version_with_more_clicks_has_won(kb: Collection, active: ActiveInterleaving, clock: Clock) -> None:
    ids = [active.signed_id(LIST) for _ in range(4)]
    clicked = [(0, BOTH), (1, CANDIDATE), (1, BOTH), (2, LIVE), (2, CANDIDATE), (3, LIVE), (3, LIVE), (3, LIVE)]
    record_feedback(kb, [click(ids[at], position) for at, position in clicked])
    assert counts(kb, clock) == (1, 1, 2)
    record_feedback(kb, [click(ids[0], CANDIDATE)])  # ten minutes later: it is over
    record_feedback(kb, [click(active.signed_id(LIST), CANDIDATE, kind="down")])
    assert counts(kb, clock) == (1, 2, 2)


def test_ids_that_are_made_up_count_for_nothing(kb: Collection, active: ActiveInterleaving, clock: Clock) -> None:
    name, teams, signature = active.signed_id(LIST).split(".")
    other = replace(active, secret="another").signed_id(LIST)
    for search in (f"{name}.ccc.{signature}", f"{'0' * 16}.{teams}.{signature}", other, name, ""):
        assert record_feedback(kb, [click(search, CANDIDATE)]) is None
    for position in (None, 4):
        assert record_feedback(kb, [click(f"{name}.{teams}.{signature}", position)]) is None
    assert counts(kb, clock) == (0, 0, 0)


def test_no_session_decides_alone(kb: Collection, active: ActiveInterleaving, clock: Clock) -> None:
    for position in [CANDIDATE, LIVE] * 20:
        record(kb, active, [position], session="one")
        clock.now += 1
    assert counts(kb, clock) == (10, 10, 0)


def test_it_ends_undecided_or_when_it_is_stopped(kb: Collection, active: ActiveInterleaving, clock: Clock) -> None:
    with pytest.raises(CollectionBusy, match=r"searches of .* are interleaved: v1 with v2"):
        migrate(kb, two(), settings=INTERLEAVE)
    stopped = stop_interleaving(kb)
    assert stopped is not None
    assert (stopped.outcome, stop_interleaving(kb), live(kb)) == ("stopped", None, "v1")
    begin_interleaving(kb, "v2", InterleaveSettings(most_searches=4))
    again = active_interleaving(kb)
    assert again is not None
    for ends, position in (("", CANDIDATE), ("", LIVE), ("", BOTH), ("", LIVE), ("undecided", LIVE)):
        record(kb, again, [position])
        assert interleaving_status(kb).outcome == ends  # type: ignore[union-attr]
        clock.settle()


def test_a_switch_by_hand_ends_it(kb: Collection, active: ActiveInterleaving) -> None:
    kb.switch("v2")
    assert active_interleaving(kb) is None
    assert interleaving_status(kb).outcome == "abandoned"  # type: ignore[union-attr]
    assert record_feedback(kb, [click(active.signed_id(LIST), LIVE)]) is None


def test_it_goes_on_in_other_processes(
    kb: Collection, active: ActiveInterleaving, clock: Clock, tmp_path: Path
) -> None:
    record(kb, active, [CANDIDATE] * 3)
    with opened(tmp_path / "kb") as other:
        assert active_interleaving(other) == active
        record(other, active, [LIVE])
        assert counts(other, clock) == (3, 1, 0)
    assert counts(kb, clock) == (3, 1, 0)


@pytest.mark.slow
def test_machines_with_one_database_count_together(
    postgres: PostgresServer, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = postgres.url()
    with opened(address) as first:
        first.add(documents({str(number): text(number) for number in range(30)}))
        write_log(first)
        assert migrate(first, two(), settings=INTERLEAVE).outcome == "interleaving"
        active = active_interleaving(first)
        assert active is not None
        record(first, active, [CANDIDATE] * 5)
        monkeypatch.setenv("GNOMON_HOME", str(tmp_path / "another machine"))
        with opened(address) as second:
            assert active_interleaving(second) == active
            record(second, active, [CANDIDATE] * 5)
            assert counts(second, clock) == (10, 0, 0)
            record(second, active, [LIVE])
            assert (live(second), live(first)) == ("v2", "v2")
        assert interleaving_status(first).outcome == "better"  # type: ignore[union-attr]


def test_without_searches_or_clicks_it_does_not_begin(kb: Collection) -> None:
    with pytest.raises(InvalidInput, match=r"no search of .* was logged on this machine") as caught:
        migrate(kb, two(), settings=INTERLEAVE)
    assert caught.value.hint.endswith("--query-log")
    write_log(kb, clicked=False)
    with pytest.raises(InvalidInput, match=r"none of the 1 logged searches of .* has a click"):
        migrate(kb, two(), settings=INTERLEAVE)
    assert [info.name for info in kb.versions.list()] == ["v1"]


def test_settings_are_kept_and_checked() -> None:
    assert MigrateSettings.from_json(INTERLEAVE.to_json()) == INTERLEAVE
    with pytest.raises(InvalidInput, match="a share of 2 of the searches"):
        InterleaveSettings(2)
    with pytest.raises(InvalidInput, match="clicks within 0 seconds"):
        InterleaveSettings(settle_s=0)
    with pytest.raises(InvalidInput, match="--switch-if never with --interleave"):
        replace(INTERLEAVE, switch_if="never")
