"""What a model is worth without a corpus: similarity, pairs, analogies, words in context."""

from gnomon.evaluate.tasks.context import TokenEncoder, TokenStates
from gnomon.evaluate.tasks.report import Figure, TaskReport
from gnomon.evaluate.tasks.run import Task, run_task

__all__ = ["Figure", "Task", "TaskReport", "TokenEncoder", "TokenStates", "run_task"]
