"""What learns candidates from judged queries, in the order of what learning costs."""

from __future__ import annotations

from gnomon.adapt.candidates import Learner


def known_learners() -> tuple[Learner, ...]:
    """Every learner that can run here."""
    return ()
