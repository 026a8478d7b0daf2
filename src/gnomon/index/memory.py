"""Checks that vectors will fit into memory before they are added, as the system kills a process that runs out."""

from __future__ import annotations

from pathlib import Path

from gnomon.core.errors import InvalidInput

_UNCHECKED_BYTES = 64 << 20
"""Bytes that are taken without a look: the look would cost more than small additions do."""
_RESERVED_SHARE = 0.1
"""Share of the free memory that is left for everything else."""


def available_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Memory that this process may still take: the machine's, and no more than its cgroup's; None: unknown.

    What the system holds of files counts as free, as it is given up when memory is asked for.
    """
    limits = [_meminfo(meminfo), _cgroup_v2(cgroup), _cgroup_v1(cgroup / "memory")]
    known = [limit for limit in limits if limit is not None]
    return max(0, min(known)) if known else None


def _meminfo(file: Path) -> int | None:
    return _field(file, "MemAvailable:", 1024)


def _cgroup_v2(folder: Path) -> int | None:
    return _left(folder / "memory.max", folder / "memory.current", folder / "memory.stat", files="inactive_file")


def _cgroup_v1(folder: Path) -> int | None:
    limit, used = folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes"
    return _left(limit, used, folder / "memory.stat", files="total_inactive_file")


def _left(limit: Path, used: Path, stat: Path, *, files: str) -> int | None:
    try:
        # Version 2 writes "max" for no limit, version 1 a number that no machine has.
        return int(limit.read_text()) - int(used.read_text()) + (_field(stat, files, 1) or 0)
    except (OSError, ValueError):
        return None


def _field(file: Path, name: str, unit: int) -> int | None:
    try:
        for line in file.read_text().splitlines():
            words = line.split()
            if words and words[0] == name:
                return int(words[1]) * unit
    except (OSError, ValueError, IndexError):
        return None
    return None


_ON_DISK = (
    'keep the rows on disk: ScanSettings(rows="float16"), add in parts, and save and load the index after '
    "each; loaded rows are mapped from disk"
)


def require_memory(needed: int, what: str, *, available: int | None = None, hint: str = _ON_DISK) -> None:
    """Raise InvalidInput where `needed` bytes for `what` are more than may be taken.

    `available` stands in for what the system says. Where that is unknown, nothing is refused.
    """
    if available is None:
        if needed <= _UNCHECKED_BYTES:
            return
        available = available_bytes()
    if available is None or needed <= available * (1 - _RESERVED_SHARE):
        return
    raise InvalidInput(
        f"{what}: they take about {_size(needed)} of memory, and {_size(available)} are free",
        expected="what fits, with a tenth left over",
        hint=hint,
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
