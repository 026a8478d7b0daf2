"""Open models on the four open sets: what `gnomon models --try` finds, set by set.

    python -m bench models [MODEL ...] [--sets cranfield,cosqa] [--limit 2000]

Each model indexes a part of each set's corpus once, at most --limit documents (kept in gnomon's cache, so that a run
that was cut off goes on), and is searched for the judged queries of that part. Sets that are not named keep figures of
the last run. Writes results/models.json, docs/images/models-SET.png and docs/choosing-a-model.md.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from bench import pages
from bench.data import DATA
from bench.record import write
from gnomon.collection.evaluation_corpus import limited
from gnomon.collection.model_comparison import compare_models
from gnomon.collection.model_report import plot_comparison
from gnomon.core.progress import messages_to
from gnomon.evaluate.datasets import load_dataset

SETS = {"cranfield": "test", "cosqa": "dev", "insuranceqa": "dev", "scifact": "test"}
MODELS = ("all-MiniLM-L6-v2", "gte-small", "all-mpnet-base-v2", "potion-base-8M")


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("models", nargs="*", default=MODELS)
    arguments.add_argument("--sets", default=",".join(SETS))
    arguments.add_argument("--limit", type=int, default=2000)
    given = arguments.parse_args()
    before = (pages.results("models") or {}).get("sets", {})
    now = {name: figures_of(name, given.models, given.limit) for name in given.sets.split(",")}
    write("models", {"sets": {name: {**before, **now}[name] for name in SETS if name in {**before, **now}}})
    pages.write("choosing-a-model")


def figures_of(name: str, models: list[str], limit: int) -> dict[str, Any]:
    """One set with every model."""
    dataset = limited(load_dataset(DATA / name, split=SETS[name]), limit)
    found = compare_models(models, dataset, progress=messages_to(print))
    plot_comparison(found, pages.DOCS / "images" / f"models-{name}.png")
    plain = json.dumps(found.to_json())
    for trial in found.trials:  # a folder by its name
        plain = plain.replace(trial.model, trial.title)
    body = json.loads(plain)
    rows = [{**row, "notes": []} for row in body["models"]]
    verdicts = [{**verdict, "changed": []} for verdict in body["verdicts"]]
    return {**body, "models": rows, "verdicts": verdicts, "limit": limit}


if __name__ == "__main__":
    main()
