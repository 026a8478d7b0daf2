"""Judgments as a BEIR folder that `gnomon eval`, `compare`, `migrate --queries` and `adapt --judgments` read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists, replacing_folder, storage_errors
from gnomon.core.serialize import to_plain
from gnomon.judge.records import JudgedPassage

_OURS = frozenset({"queries.jsonl", "qrels", "propensities.jsonl"})


def export_judgments(folder: Path, queries: Mapping[str, str], judged: Sequence[JudgedPassage]) -> Path:
    """Write queries.jsonl (those judged), qrels/judged.tsv (all grades, 0 too) and propensities.jsonl.

    The last has a line a judgment, in the order in which they were made: the probability of its draw among the
    passages left, and its weights. A folder that an export made before is replaced. Raises InvalidInput for no
    judgments and for a folder with other files, StorageError.
    """
    if not judged:
        raise InvalidInput("there are no judgments to write", expected="at least one", hint="judge some passages first")
    if exists(folder) and {path.name for path in folder.iterdir()} - _OURS:
        raise InvalidInput(f"{folder} holds other files", expected="a new folder", hint="name another folder")
    shown = dict.fromkeys(each.query_id for each in judged)
    with storage_errors(folder), replacing_folder(folder) as beside:
        (beside / "qrels").mkdir()
        lines = (json.dumps({"_id": query, "text": queries[query]}, ensure_ascii=False) for query in shown)
        (beside / "queries.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        rows = ["query-id\tcorpus-id\tscore", *(f"{e.query_id}\t{e.document}\t{e.grade}" for e in judged)]
        (beside / "qrels" / "judged.tsv").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        (beside / "propensities.jsonl").write_text(
            "".join(json.dumps(to_plain(each), ensure_ascii=False) + "\n" for each in judged), encoding="utf-8"
        )
    return folder
