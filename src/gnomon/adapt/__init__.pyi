from .adaptation import adapt
from .candidates import Candidate, JudgedQueries, Learner
from .decision import Estimate
from .settings import AdaptReport, AdaptSettings

__all__ = [
    "AdaptReport",
    "AdaptSettings",
    "Candidate",
    "Estimate",
    "JudgedQueries",
    "Learner",
    "adapt",
]
