"""gnomon eval: queries, answers, pseudo and task."""
# ruff: noqa: F401, I001 - each registers its command, in the order of help

from __future__ import annotations

from gnomon.cli.eval import queries
from gnomon.cli.eval import answers
from gnomon.cli.eval import pseudo
from gnomon.cli.eval import task
