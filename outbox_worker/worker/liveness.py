"""Whether the worker works: a claim cycle, or a failed try to reach Postgres, ended lately.

That the process is up says nothing: a loop that hangs is up as well. Waiting for Postgres is
patience, not a hang, and is alive as long as the tries go on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from outbox_worker.worker.lease import boot_time


class Liveness:
    """Remembers the last sign of life.

    Args:
        limit: Longest time between two signs of a worker that is well.
        clock: Seconds on `lease.boot_time`'s scale.
    """

    def __init__(self, limit: timedelta, *, clock: Callable[[], float] = boot_time) -> None:
        self._limit = limit.total_seconds()
        self._clock = clock
        self._seen_at = clock()
        self._cycle_at = self._seen_at
        #: Cycles that completed, and tries to reach Postgres or statements that failed.
        self.cycles = 0
        self.misses = 0
        #: Whether the last sign was a completed cycle: Postgres answers.
        self.reaches_database = False

    @property
    def limit(self) -> timedelta:
        """Longest time between two signs of a worker that is well."""
        return timedelta(seconds=self._limit)

    @property
    def age(self) -> timedelta:
        """Since the last sign of life."""
        return timedelta(seconds=self._clock() - self._seen_at)

    @property
    def cycle_age(self) -> timedelta:
        """Since the last completed cycle; since the start before the first one."""
        return timedelta(seconds=self._clock() - self._cycle_at)

    @property
    def alive(self) -> bool:
        """Whether the last sign came in time."""
        return self._clock() - self._seen_at <= self._limit

    def cycle_ended(self) -> None:
        """A claim cycle completed."""
        self._seen_at = self._cycle_at = self._clock()
        self.cycles += 1
        self.reaches_database = True

    def database_missed(self) -> None:
        """A try to reach Postgres, or a statement, failed: patience, not a hang."""
        self._seen_at = self._clock()
        self.misses += 1
        self.reaches_database = False
