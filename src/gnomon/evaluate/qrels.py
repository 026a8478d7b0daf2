"""Judgments alone, without the texts of their queries: enough to measure a saved run."""

from __future__ import annotations

from pathlib import Path

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSet, gather
from gnomon.evaluate.trec import read_qrels


def load_qrels(path: Path) -> DataSet:
    """A data set of judgments whose queries have no text: nothing can be searched for with it.

    Raises InvalidInput for a line with other columns and where nothing can be read, UnreadableFile.
    """
    relevant, faults = gather(read_qrels(path))
    if not relevant:
        raise InvalidInput(
            f"{path} holds no judgment that can be read",
            wanted='at least one line "query 0 document grade"',
            next_step="look at the file",
        )
    return DataSet(path.name, dict.fromkeys(relevant, ""), relevant, path=path, faults=faults)
