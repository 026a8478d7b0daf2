from .begin import session_names
from .model_judge import ModelGrades, ModelJudge, ModelJudgeSettings
from .queries import judging_queries
from .records import JudgedPassage, JudgingReport, JudgingSettings, JudgingTask, PairVerdict
from .session import JudgingSession

__all__ = [
    "JudgedPassage",
    "JudgingReport",
    "JudgingSession",
    "JudgingSettings",
    "JudgingTask",
    "ModelGrades",
    "ModelJudge",
    "ModelJudgeSettings",
    "PairVerdict",
    "judging_queries",
    "session_names",
]
