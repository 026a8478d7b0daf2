"""The page on changing a collection's model, from the figures of histories.py, switching.py and migrate.py.

python -m bench versions_page
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
PAGE = Path(__file__).parents[2] / "docs" / "versions.md"

_OPENING = """# Changing the model of a collection that serves

Written by `bench/migration/versions_page.py` from `bench/results`; do not edit.

A *version* is a chunking, a model's space and the settings of a search. One is live; others are being built,
ready or retired. Writes reach all that are not retired, searches see one at a time.

```
gnomon plan kb --to gte-small                          # what it will cost; changes nothing
gnomon migrate kb --to gte-small --queries judged/     # build, catch up, judge, switch if not worse
gnomon migrate kb --status                             # how far, how fast, how long still
gnomon versions kb --prune                             # what there is; free what no version needs
gnomon switch kb v2                                    # gnomon rollback kb: back to the one before
```

- Killed at any moment, the same command goes on: what was committed is not embedded again.
- `--cpu-share 0.5` leaves half of the processor to searches; the build runs at the lowest priority besides.
- Without judged queries only breakage is looked for, and the switch needs `--without-proof`.
- `--bridge` and `--hot-first` make the new model of use during the build: [bridge.md](bridge.md).
- Other chunks or other weights are versions too: `--chunk-tokens 128`, `--set fuse.weights=0.3,0.7`.
- So is a second model for the first results: `--set rerank.model=FOLDER` ([training.md](training.md)).
- How it is built: [decision 0017](decisions/0017-versions.md). How honest the verdict is: [gate.md](gate.md).

"""


def main() -> None:
    """Write docs/versions.md."""
    found = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in PARTS}
    PAGE.write_text(_OPENING + "".join(part(found[name]) for name, part in PARTS.items()), encoding="utf-8")


def migrated(found: Mapping[str, Any]) -> str:
    """What a migration was predicted to take, and searches meanwhile."""
    made, during = found["prediction"], found["searches"]
    rows = [
        f"| {name} | {made[name]['predicted']:,} | {made[name]['true']:,} |"
        for name in ("seconds", "tokens", "texts", "bytes")
    ]
    idle, busy = during["ms"]["idle"], during["ms"]["during_the_build"]
    ratios = during["to_idle"]
    return (
        "## A migration, predicted and searched through\n\n"
        f"MiniLM to {found['model']}: {found['documents']:,} documents of SciFact in {found['chunks']:,} "
        f"passages, `--cpu-share {found['cpu_share']}`, two cores.\n\n"
        "| | predicted | true |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"While another process searched without a pause ({busy['searches']:,} searches during the whole "
        f"build, {idle['searches']:,} without one):\n\n"
        "| | idle | during the build | ratio |\n|---|---|---|---|\n"
        + "".join(f"| {p}, ms | {idle[p]} | {busy[p]} | {ratios[p]} |\n" for p in ("p50", "p95", "p99"))
        + "\n"
    )


def switched(found: Mapping[str, Any]) -> str:
    """Switches under load."""
    states = {
        "between_two": "between two versions",
        "of_three": "three in turn, each loaded anew",
        "idle.between_two": "between two, no searches",
    }
    rows = []
    for name, shown in states.items():
        held: Any = found
        for key in name.split("."):
            held = held[key]
        for what in ("switch", "rollback"):
            call, inside = held[what]["call_ms"], held[what]["transaction_ms"]
            rows.append(
                f"| {shown} | {what} | {call['count']} | {inside['median']} / {inside['max']} "
                f"| {call['median']} / {call['p99']} / {call['max']} |\n"
            )
    two, three = found["between_two"], found["of_three"]
    asked = two["searches"] + three["searches"]
    failed, mixed = two["failed"] + three["failed"], two["mixed"] + three["mixed"]
    follow = three["all_callers_follow_after_ms"]
    return (
        "## Switches under load\n\n"
        f"Eight processes ask {found['asked_a_second']:.0f} times a second in all; each answer is checked "
        f"to be of one version. {asked:,} searches, {failed} failed, {mixed} mixed. Query vectors are "
        "remembered: to encode so many takes a core by itself.\n\n"
        "| | | how many | transaction, ms: median / slowest | whole call, ms: median / p99 / slowest |\n"
        "|---|---|---|---|---|\n" + "".join(rows) + "\n"
        "All eight follow at once where they had the version open, else after "
        f"{follow['median']:.0f} ms at the median and {follow['max']:.0f} ms at most; until then they answer "
        "from the former version, whole.\n\n"
    )


def lived(found: Mapping[str, Any]) -> str:
    """Generated histories."""
    shown = ", ".join(f"{name} {count:,}" for name, count in sorted(found["kills_of"].items()))
    failed = len(found["failures"])
    outcome = f"Histories that failed: {failed}"
    if not failed:
        outcome = "No document was lost, doubled, resurrected or stale"
    copies = found["kills_gone_on_with_on_a_copy_of_the_files"]
    return (
        "## Generated histories\n\n"
        f"{found['histories']:,} histories of at most {found['steps_at_most']} steps, {found['steps']:,} in "
        "all, beside a plain model: writes, steps "
        f"of builds, switches, ways back, clearing up, and {found['kills']:,} kills at any boundary "
        f"({shown}), {copies:,} of them gone on with on a copy of the files. "
        f"{outcome}. What earlier runs found: [log.md](log.md).\n"
    )


PARTS = {"migrate": migrated, "switching": switched, "histories": lived}

if __name__ == "__main__":
    main()
