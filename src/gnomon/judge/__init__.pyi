from .records import JudgedPassage, JudgingReport, JudgingSettings, JudgingTask, PairVerdict
from .session import JudgingSession

__all__ = [
    "JudgedPassage",
    "JudgingReport",
    "JudgingSession",
    "JudgingSettings",
    "JudgingTask",
    "PairVerdict",
]
