from .candidates import Candidate, JudgedQueries, Learner

__all__ = [
    "Candidate",
    "JudgedQueries",
    "Learner",
]
