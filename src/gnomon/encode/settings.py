"""How an encoder runs on this machine. None of it changes a vector beyond its precision class, but `dim`."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from gnomon.core.errors import InvalidInput

RuntimePrecision = Literal["auto", "bf16", "fp32"]


@dataclass(frozen=True)
class EncoderSettings:
    """`threads` None: every CPU that this process may use. `batch_tokens` bounds a batch, padding included.

    `precision` "auto" is bf16 where the CPU multiplies it in hardware, else fp32; both are the precision
    class "float". `dim` keeps the first dimensions only (Matryoshka), which makes a space of its own.
    Raises InvalidInput for values out of range.
    """

    threads: int | None = None
    precision: RuntimePrecision = "auto"
    batch_tokens: int = 1024
    dim: int | None = None

    def __post_init__(self) -> None:
        for name in ("threads", "batch_tokens", "dim"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"{name} = {value}", wanted=f"{name} of at least 1")
        if self.precision not in get_args(RuntimePrecision):
            raise InvalidInput(
                f"precision {self.precision!r}", wanted=f"one of {', '.join(get_args(RuntimePrecision))}"
            )

    @property
    def thread_count(self) -> int:
        """`threads`, or the CPUs that this process may use."""
        return self.threads or available_cpus()


def check_dim(settings: EncoderSettings, dim: int, name: str) -> None:
    """Raise InvalidInput when more dimensions are asked for than the model has."""
    if settings.dim is not None and settings.dim > dim:
        raise InvalidInput(
            f"dim = {settings.dim} for {name}",
            wanted=f"1 to {dim} dimensions",
            next_step="leave `dim` out for all of them",
        )


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs that this process may use: its affinity, and no more than its cgroup's quota (rounded up).

    A container limited to two CPUs of a machine of 64 sees all 64 in `os.cpu_count()`; 64 threads on a quota
    of two are throttled to a crawl.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    quota = _quota_v2(cgroup / "cpu.max") or _quota_v1(cgroup / "cpu")
    return max(1, min(allowed, math.ceil(quota))) if quota else allowed


def _quota_v2(file: Path) -> float | None:
    try:
        limit, period = file.read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        limit = int((folder / "cpu.cfs_quota_us").read_text())
        return limit / int((folder / "cpu.cfs_period_us").read_text()) if limit > 0 else None
    except (OSError, ValueError):
        return None
