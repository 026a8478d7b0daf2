"""How an encoder runs on this machine. Only `dim` changes a vector beyond its precision class."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from gnomon.core.errors import InvalidInput

RuntimePrecision = Literal["auto", "bf16", "fp32", "int8"]
Device = Literal["auto", "cpu", "cuda", "torch-cpu"]
_BATCH_TOKENS: Mapping[Device, int] = {"auto": 1024, "cpu": 1024, "cuda": 32_768, "torch-cpu": 1024}


@dataclass(frozen=True)
class EncoderSettings:
    """`threads` None: every CPU that this process may use. `batch_tokens` bounds a batch, padding included;
    None: 1,024 on a CPU, which keeps its caches warm, 32,768 on a GPU, which wants to be filled.

    `precision` "auto" is bf16 where the hardware multiplies it, else fp32; both are the precision class
    "float". "int8" is a class, and so a space, of its own: faster, and not quite the same vectors. `device`
    "auto" is the CPU, with OpenVINO; "cuda" is a GPU, with torch, which the extra `gnomon[torch]` installs;
    "torch-cpu" is torch without a GPU, slower and there to compare with. `dim` keeps the first dimensions
    only (Matryoshka), which makes a space of its own.
    Raises InvalidInput for values out of range.
    """

    threads: int | None = None
    precision: RuntimePrecision = "auto"
    batch_tokens: int | None = None
    dim: int | None = None
    device: Device = "auto"

    def __post_init__(self) -> None:
        for name in ("threads", "batch_tokens", "dim"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"{name} = {value}", expected=f"{name} of at least 1")
        for name, known in (("precision", get_args(RuntimePrecision)), ("device", get_args(Device))):
            if getattr(self, name) not in known:
                raise InvalidInput(f"{name} {getattr(self, name)!r}", expected=f"one of {', '.join(known)}")
        if self.precision == "int8" and self.on_torch:
            raise InvalidInput(
                f"precision 'int8' on {self.device}",
                expected="int8 on the CPU",
                hint='leave out `device`, or leave precision at "auto"',
            )

    @property
    def on_torch(self) -> bool:
        """Whether torch runs the model."""
        return self.device in ("cuda", "torch-cpu")

    @property
    def batch_budget(self) -> int:
        """`batch_tokens`, or what suits the device."""
        return self.batch_tokens or _BATCH_TOKENS[self.device]

    @property
    def thread_count(self) -> int:
        """`threads`, or the CPUs that this process may use."""
        return self.threads or _process_cpus()

    @property
    def lanes(self) -> int:
        """How many inferences run at once, each on a thread of its own; a device does one after the other."""
        return 1 if self.on_torch else self.thread_count


def check_dim(settings: EncoderSettings, dim: int, name: str) -> None:
    """Raise InvalidInput when more dimensions are asked for than the model has."""
    if settings.dim is not None and settings.dim > dim:
        raise InvalidInput(
            f"dim = {settings.dim} for {name}",
            expected=f"1 to {dim} dimensions",
            hint="leave `dim` out for all of them",
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


@cache
def _process_cpus() -> int:
    """Read once: every inference asks."""
    return available_cpus()


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
