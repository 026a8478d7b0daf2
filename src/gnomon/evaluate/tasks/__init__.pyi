from .report import Figure, TaskReport
from .run import Task, run_task
from .word_in_context import TokenEncoder, TokenStates

__all__ = [
    "Figure",
    "Task",
    "TaskReport",
    "TokenEncoder",
    "TokenStates",
    "run_task",
]
