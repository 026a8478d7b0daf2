"""A share of the processor: fewer threads first, and pauses for what they are still too many."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gnomon.core.errors import InvalidInput
from gnomon.encode.settings import available_cpus

SLICE_TEXTS = 32
"""Texts embedded between two looks at the clock: short enough that a pause is no gap."""

_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Share:
    """`threads` that work for the part `duty` of the time."""

    threads: int
    duty: float

    def pause_s(self, busy_s: float) -> float:
        """How long to rest after so many seconds of work."""
        return busy_s * (1 / self.duty - 1)

    def pace(self, busy_s: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Rest so long, or until it is over."""
        end = time.monotonic() + self.pause_s(busy_s)
        while (left := end - time.monotonic()) > 0 and not is_over():
            time.sleep(min(left, _LOOK_S))


def share_of(cpu_share: float, cpus: int | None = None) -> Share:
    """That part of the processor: of 4 CPUs 0.5 are 2 threads, and 0.1 are 1 thread for 0.4 of the time.

    Raises InvalidInput for a share that is not above 0 and at most 1.
    """
    if not 0 < cpu_share <= 1:
        raise InvalidInput(
            f"a share of {cpu_share:g} of the processor",
            expected="above 0, at most 1",
            hint="0.5 leaves half of it to searches",
        )
    wanted = cpu_share * (cpus or available_cpus())
    threads = max(1, round(wanted))
    return Share(threads, min(1.0, wanted / threads))
