"""One rank of a run, for test_fit_ranks: fit_ranks.py RECIPE [STEPS], STEPS to stop after on the second."""

import json
import os
import sys
from pathlib import Path

import torch

from gnomon.train import fit


def main() -> None:
    torch.set_num_threads(1)
    rank, left = int(os.environ["RANK"]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    heard, asked = [], iter(range(left - 1))
    wish = (lambda: next(asked, None) is None) if left and rank == 1 else None
    report = fit(sys.argv[1], progress=heard.append, stop=wish)
    names = [name.read_text() for name in Path("/proc/self/task").glob("*/comm")]
    threads = sum("gloo" in name for name in names)
    said = {"rank": rank, "heard": len(heard), "threads": threads, "report": report.to_json()}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
