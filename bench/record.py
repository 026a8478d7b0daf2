"""What every benchmark records beside its figures: machine, versions, commit, noise."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("gnomon", "openvino", "tokenizers", "numpy", "faiss-cpu", "tantivy", "sqlalchemy")


def machine() -> dict[str, Any]:
    """CPU, cores this process may use, memory, operating system."""
    cpu = platform.processor()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        lines = [line for line in facts.read_text().splitlines() if line.startswith(("model name", "cpu family"))]
        cpu = ", ".join(dict.fromkeys(line.replace("\t", "").strip() for line in lines))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
    }


def commit() -> str:
    """The commit measured, with "+changes" where the tree differs from it."""
    here = Path(__file__).parent
    name = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    dirty = subprocess.run(
        ["git", "status", "--porcelain", "--", "../src"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return name.stdout.strip()[:12] + ("+changes" if dirty.stdout.strip() else "")


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of the packages that matter."""
    return {name: importlib.metadata.version(name) for name in packages}


def spread(values: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """Median, least and greatest of repeated measurements, with each of them."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "runs": [round(value, digits) for value in values],
    }


def compact(value: Any, indent: int = 0, width: int = 118) -> str:
    """JSON with a row a line: what fits into `width` characters is not broken up."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= width or not isinstance(value, dict | list) or not value:
        return line
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{json.dumps(key, ensure_ascii=False)}: {compact(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(pad + item for item in items) + "\n" + " " * indent + "}"
    if not any(isinstance(item, dict | list) for item in value):  # numbers fill the lines
        lines, row = [], ""
        for item in map(json.dumps, value):
            if row and len(row) + len(item) + 2 > width - indent:
                lines.append(row)
                row = ""
            row += (", " if row else "") + item
        return "[\n" + ",\n".join(pad + one for one in [*lines, row]) + "\n" + " " * indent + "]"
    return "[\n" + ",\n".join(pad + compact(item, indent + 1) for item in value) + "\n" + " " * indent + "]"


def write(name: str, figures: dict[str, Any]) -> Path:
    """Put the figures with their circumstances into results/NAME.json, and say where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    record = {
        "benchmark": name,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        **figures,
    }
    path.write_text(compact(record) + "\n", encoding="utf-8")
    print(compact(figures))
    print(f"written to {path.relative_to(RESULTS.parent.parent)}")
    return path
