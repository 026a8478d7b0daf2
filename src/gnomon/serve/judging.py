"""Sessions of judging of served collections, each annotator's kept open between requests."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

from gnomon.collection.collection import Collection
from gnomon.judge import JudgingSession, JudgingTask, session_names
from gnomon.serve.errors import Conflict, NotFound
from gnomon.serve.redaction import public_name, public_names
from gnomon.serve.schemas.judging import JudgingRequest, JudgingState

_MOST_OPEN = 64
"""Sessions of a collection that a process keeps open; the one opened first is opened anew when it is asked for."""


class JudgingSessions:
    """Open sessions by collection, name and annotator. Thread-safe."""

    def __init__(self) -> None:
        self._open: WeakKeyDictionary[Collection, dict[tuple[str, str], JudgingSession]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def begin(self, kb: Collection, body: JudgingRequest, annotator: str) -> JudgingState:
        """Begin a session, or go on with one of the same queries. Raises as `JudgingSession.open`."""
        settings = body.settings(is_new=body.session not in session_names(kb))
        session = JudgingSession.open(kb, body.queries, annotator=annotator, name=body.session, settings=settings)
        self._keep(kb, session)
        return _state(session, session.next())

    def state(self, kb: Collection, name: str, annotator: str) -> JudgingState:
        """Where a session stands, with the annotator's task. Raises NotFound for a session that was not begun."""
        session = self._get(kb, name, annotator)
        return _state(session, session.next())

    def judge(self, kb: Collection, name: str, *, annotator: str, task: str, grade: int | None) -> JudgingState:
        """Keep a grade, and the next task. Raises Conflict for another task than the one at hand, InvalidInput."""
        session = self._get(kb, name, annotator)
        current = session.next()
        if current is None or current.id != task:
            raise Conflict(
                "this passage is not the one that is to be judged now",
                expected="the `task` of the session's state; it was judged or taken back elsewhere meanwhile",
            )
        session.judge(current, grade)
        return _state(session, session.next())

    def undo(self, kb: Collection, name: str, annotator: str) -> JudgingState:
        """Take the annotator's last judgment back. Raises Conflict where there is none."""
        session = self._get(kb, name, annotator)
        task = session.undo()
        if task is None:
            raise Conflict(f"{annotator} has judged nothing that could be taken back", expected="a judgment before")
        return _state(session, task)

    def _get(self, kb: Collection, name: str, annotator: str) -> JudgingSession:
        with self._lock:
            found = self._open.get(kb, {}).get((name, annotator))
        if found is not None:
            return found
        if name not in session_names(kb):
            raise NotFound(
                f"no session {name!r} of judging was begun", expected="one that POST judging begins, or gnomon judge"
            )
        session = JudgingSession.open(kb, annotator=annotator, name=name)
        self._keep(kb, session)
        return session

    def _keep(self, kb: Collection, session: JudgingSession) -> None:
        with self._lock:
            held = self._open.setdefault(kb, {})
            held[session.folder.name, session.annotator] = session
            while len(held) > _MOST_OPEN:
                held.pop(next(iter(held)))


def _state(session: JudgingSession, task: JudgingTask | None) -> JudgingState:
    shown: dict[str, Any] | None = None
    if task is not None:
        shown = {**task.to_json(), "source": public_name(task.source)}
    return JudgingState.model_validate(
        {
            "session": session.folder.name,
            "annotator": session.annotator,
            "task": shown,
            "report": public_names(session.report().to_json()),
        }
    )
