"""Progress events are values, and may be ignored."""

import dataclasses

import pytest

from gnomon.core.progress import Progress, ProgressCallback, no_progress


def test_an_event_says_only_its_stage_by_default() -> None:
    event = Progress("embedding")
    assert (event.done, event.total, event.unit, event.item, event.message) == (0, None, "", "", "")
    assert dict(event.metrics) == {}


def test_events_are_values_that_do_not_change() -> None:
    event = Progress("training", done=3, total=10, unit="steps", metrics={"loss": 0.5})
    assert event == Progress("training", 3, 10, "steps", metrics={"loss": 0.5})
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.done = 4  # type: ignore[misc]


def test_no_progress_is_a_callback_that_ignores_every_event() -> None:
    callback: ProgressCallback = no_progress
    callback(Progress("reading"))
