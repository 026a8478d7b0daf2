from .report import TaskFigure, TaskReport
from .run import Task, run_task
from .word_in_context import TokenEncoder, TokenStates

__all__ = [
    "Task",
    "TaskFigure",
    "TaskReport",
    "TokenEncoder",
    "TokenStates",
    "run_task",
]
