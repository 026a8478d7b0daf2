"""Limits a build to a share of the processor: by fewer threads, then by pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gnomon.core.errors import InvalidInput
from gnomon.encode.settings import available_cpus

SLICE_TEXTS = 32
"""Texts embedded between two pauses: few enough that pauses stay short."""

_CHECK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Throttle:
    """`threads` that work for the fraction `duty` of the time."""

    threads: int
    duty: float

    def pause_s(self, busy_s: float) -> float:
        """Seconds to pause after `busy_s` seconds of work."""
        return busy_s * (1 / self.duty - 1)

    def pause(self, busy_s: float, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Pause after `busy_s` seconds of work, or until `should_stop`."""
        end = time.monotonic() + self.pause_s(busy_s)
        while (left := end - time.monotonic()) > 0 and not should_stop():
            time.sleep(min(left, _CHECK_EVERY_S))


def throttle_for(cpu_share: float, cpus: int | None = None) -> Throttle:
    """The throttle for a share of the processor: 0.5 of 4 CPUs is 2 threads, 0.1 is 1 thread 0.4 of the time.

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
    return Throttle(threads, min(1.0, wanted / threads))
