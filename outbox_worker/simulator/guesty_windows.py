"""The rate limit of the Guesty API: three sliding windows, and how many calls at once. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from outbox_worker.simulator.form import Form
from outbox_worker.simulator.guesty_refusal import GuestyRefusedError
from outbox_worker.simulator.guesty_switches import GuestySwitches

_HOUR_S = 3600.0


@dataclass(slots=True)
class RateWindows:
    """Calls of the last hour; only those that were let through count.

    Args:
        under_way: Calls being answered now, the one that `take` is asked about among them.
        limited: Calls refused so far.
    """

    under_way: int = 0
    limited: int = 0
    _at: deque[float] = field(default_factory=deque)

    def take(self, switches: GuestySwitches, *, now_s: float) -> None:
        """Count a call that begins, or refuse it.

        Args:
            switches: The limits.
            now_s: A clock that only goes forward, in seconds.

        Raises:
            GuestyRefusedError: 429.
        """
        self._forget(now_s)
        wait_s = 0.0
        if 0 < switches.rate_second < self.under_way:
            wait_s = 1.0
        for _, length_s, limit in _windows(switches):
            if 0 < limit <= self._count(length_s, now_s):
                # so long until one fewer than the limit is within the window
                wait_s = max(wait_s, self._at[-limit] + length_s - now_s)
        if wait_s > 0:
            self.limited += 1
            raise GuestyRefusedError(
                429,
                "TOO_MANY_REQUESTS",
                "Too many requests",
                form=Form.MESSAGE,
                headers={"retry-after": str(max(1, math.ceil(wait_s)))},
            )
        self._at.append(now_s)

    def headers(self, switches: GuestySwitches, *, now_s: float) -> dict[str, str]:
        """What every answer says of the limits that there are."""
        self._forget(now_s)
        found: dict[str, str] = {}
        for name, length_s, limit in _windows(switches):
            if limit:
                left = max(0, limit - self._count(length_s, now_s))
                found[f"x-ratelimit-limit-{name}"] = str(limit)
                found[f"x-ratelimit-remaining-{name}"] = str(left)
        return found

    def counted(self, *, now_s: float) -> dict[str, int]:
        """Numbers for the control API."""
        self._forget(now_s)
        return {"calls_in_hour": len(self._at), "limited": self.limited}

    def _count(self, length_s: float, now_s: float) -> int:
        count = 0
        for at in reversed(self._at):
            if now_s - at >= length_s:
                break
            count += 1
        return count

    def _forget(self, now_s: float) -> None:
        while self._at and now_s - self._at[0] >= _HOUR_S:
            self._at.popleft()


def _windows(switches: GuestySwitches) -> tuple[tuple[str, float, int], ...]:
    return (
        ("second", 1.0, switches.rate_second),
        ("minute", 60.0, switches.rate_minute),
        ("hour", _HOUR_S, switches.rate_hour),
    )
