from .begin import session_names
from .queries import judging_queries
from .records import JudgedPassage, JudgingReport, JudgingSettings, JudgingTask, PairVerdict
from .session import JudgingSession

__all__ = [
    "JudgedPassage",
    "JudgingReport",
    "JudgingSession",
    "JudgingSettings",
    "JudgingTask",
    "PairVerdict",
    "judging_queries",
    "session_names",
]
