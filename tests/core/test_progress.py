"""Progress events are values, and may be ignored."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from gnomon.core.progress import Progress, ProgressCallback, accepts_say, messages_to, no_progress


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


@accepts_say
def load(name: str, *, progress: ProgressCallback = no_progress) -> str:
    """Loads a model."""
    progress(Progress("loading", message=f"asking for {name}"))
    progress(Progress("loading", 1, 2, "file"))
    return name


@accepts_say
@dataclass(frozen=True)
class Settings:
    """Settings with a callback."""

    sample: int = 1
    progress: ProgressCallback = no_progress


def test_messages_alone_are_passed_on() -> None:
    heard: list[str] = []
    assert load("tiny", progress=messages_to(heard.append)) == "tiny"
    assert heard == ["asking for tiny"]


def test_the_old_keyword_of_a_function_still_works_with_a_warning() -> None:
    heard: list[str] = []
    with pytest.warns(DeprecationWarning, match=r"load\(say=\.\.\.\) is now progress="):
        load("tiny", say=heard.append)  # type: ignore[call-arg]
    assert heard == ["asking for tiny"]
    with pytest.warns(DeprecationWarning, match="say"):
        assert load("tiny", say=None) == "tiny"  # type: ignore[call-arg]


def test_the_old_keyword_of_a_class_still_works_with_a_warning() -> None:
    heard: list[str] = []
    with pytest.warns(DeprecationWarning, match=r"Settings\(say=\.\.\.\) is now progress="):
        settings = Settings(2, say=heard.append)  # type: ignore[call-arg]
    settings.progress(Progress("reading", message="reading one"))
    assert (settings.sample, heard) == (2, ["reading one"])
    assert isinstance(settings, Settings)


def test_the_new_keyword_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    load("tiny", progress=no_progress)
    Settings(progress=no_progress)
    assert not recwarn.list
