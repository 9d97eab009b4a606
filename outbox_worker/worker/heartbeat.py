"""The worker's own row: who runs, in which mode, since when. Never used to decide recovery."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from datetime import timedelta

from outbox_worker import __version__
from outbox_worker.database import Connection, translated
from outbox_worker.outbox.delivery import WorkerId
from outbox_worker.sql import query

BEAT_EVERY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """What operators want to know of a worker's settings."""

    pms: str
    sync_enabled: bool
    test_mode: bool


class Heartbeat:
    """Writes the row of one worker, at most every `BEAT_EVERY`."""

    def __init__(self, worker: WorkerId, mode: Mode) -> None:
        self._worker = worker
        self._mode = mode
        self._beaten_at = float("-inf")
        self._listening = False

    async def beat(self, conn: Connection, *, listening: bool, in_flight: int) -> None:
        """Say that this worker lives, if it is time to, or if it listens only now, or no more."""
        fresh = time.monotonic() - self._beaten_at < BEAT_EVERY.total_seconds()
        if fresh and listening == self._listening:
            return
        with translated():
            await conn.execute(
                query("beat"),
                {
                    "id": self._worker,
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    "version": __version__,
                    "pms": self._mode.pms,
                    "sync_enabled": self._mode.sync_enabled,
                    "test_mode": self._mode.test_mode,
                    "listening": listening,
                    "in_flight": in_flight,
                },
            )
        self._beaten_at = time.monotonic()
        self._listening = listening

    async def last(self, conn: Connection) -> None:
        """Say that this worker has stopped."""
        with translated():
            await conn.execute(query("beat_last"), {"id": self._worker})
