"""How long a claimed row is still ours, on a clock that also counts suspension."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta


def boot_time() -> float:
    """Seconds since boot, time spent suspended included.

    A monotonic clock that stands still while the machine sleeps would think a lease alive that the
    database's clock has ended long ago.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """The worker's side of one claim's lease.

    Args:
        taken_at: Clock read before the claim was sent: the row's lease began no earlier.
        length: The lease.
        clock: Seconds on `boot_time`'s scale.
    """

    def __init__(
        self, *, taken_at: float, length: timedelta, clock: Callable[[], float] = boot_time
    ) -> None:
        self._clock = clock
        self._length = length.total_seconds()
        self._ends = taken_at + self._length
        self._called_off = False
        self.begun = False
        #: Calls made: of these a destination limits the rate.
        self.calls = 0

    def allows(self, call: timedelta) -> bool:
        """Whether a call of at most ``call`` may send its first byte now.

        Having said yes, the claim counts as begun: it is settled, never given back.
        """
        if self._called_off or self._clock() + call.total_seconds() > self._ends:
            return False
        self.begun = True
        self.calls += 1
        return True

    def reads(self) -> None:
        """Count a call that changes nothing: it needs no permission."""
        self.calls += 1

    def renewed(self, *, sent_at: float) -> None:
        """The row's lease was extended by a statement sent at ``sent_at``."""
        self._ends = max(self._ends, sent_at + self._length)

    def call_off(self) -> None:
        """Allow nothing more: the row is not ours any more, or the worker stops."""
        self._called_off = True
