"""What the worker tells systemd: ready, how it is in one line, stopping, and that it lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from outbox_worker.database import Connection, translated
from outbox_worker.gate import store as gates
from outbox_worker.gate.circuit import Cause
from outbox_worker.gate.circuit import State as CircuitState
from outbox_worker.gate.store import Gate
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.guesty_token_words import REFUSES
from outbox_worker.sql import query
from outbox_worker.systemd import ServiceManager
from outbox_worker.worker.heartbeat import Mode
from outbox_worker.worker.liveness import Liveness

#: Between two looks at what is owed, and between two status lines.
_EVERY = timedelta(seconds=5)
#: Counting ends here, whatever is owed.
_LIMIT = 1000
#: What a stop may take beyond the time for its calls: cutting them off, and the last settle.
_AFTER_CALLS = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the status line tells of the database.

    Args:
        sending, waiting, retrying, failed: Deliveries of all destinations; at most 1000 each.
        synced_ago: Since the newest of the latest bookings reached the PMS; None: none did.
        gates: Every destination's gate.
    """

    sending: int
    waiting: int
    retrying: int
    failed: int
    synced_ago: timedelta | None
    gates: tuple[Gate, ...]


async def read_outlook(conn: Connection) -> Outlook:
    """Look at what is owed, in bounded time.

    Raises:
        DatabaseError: Postgres does not answer, or refuses.
    """
    with translated():
        cursor = await conn.execute(query("status_line"), {"limit": _LIMIT})
        (row,) = await cursor.fetchall()
        seen = await gates.read_all(conn)
    return Outlook(**row, gates=seen)


def words(seen: Outlook, *, mode: Mode, later: timedelta = timedelta(0)) -> str:
    """The status line of a worker that reaches Postgres.

    Args:
        seen: What was owed when it last looked.
        mode: How bookings are sent.
        later: How long ago that was.

    Returns:
        Such as ``2 waiting, 1 retrying; guestly ok; last sync 12 s ago``.
    """
    counts = {
        "waiting": seen.waiting,
        "sending": seen.sending,
        "retrying": seen.retrying,
        "failed": seen.failed,
    }
    owed = [f"{_count(number)} {name}" for name, number in counts.items() if number]
    synced = (
        "no sync yet"
        if seen.synced_ago is None
        else f"last sync {_length(seen.synced_ago + later)} ago"
    )
    return "; ".join([", ".join(owed) or "nothing owed", *_gates(seen.gates, mode), synced])


class Notifier:
    """Tells the service manager, if there is one, how the worker is.

    Args:
        manager: Who is told.
        liveness: Whether the worker works; it is fed to the watchdog.
        mode: How bookings are sent.
        shutdown: How long a stop waits for calls that have begun.
    """

    def __init__(
        self, manager: ServiceManager, *, liveness: Liveness, mode: Mode, shutdown: timedelta
    ) -> None:
        self._manager = manager
        self._liveness = liveness
        self._mode = mode
        self._shutdown = shutdown
        self._seen: Outlook | None = None
        self._seen_at = float("-inf")
        self._missed_since: datetime | None = None
        self._stopping = False

    def ready(self) -> None:
        """The worker has started: it waits for Postgres as long as it must, and that is work."""
        self._manager.tell(READY=1, STATUS="connecting to Postgres")

    def stopping(self) -> None:
        """Calls that have begun are finished, for as long as our settings say, not the unit's."""
        self._stopping = True
        bound = self._shutdown + _AFTER_CALLS
        self._manager.tell(
            STOPPING=1,
            STATUS="stopping: finishing what has begun",
            EXTEND_TIMEOUT_USEC=bound // timedelta(microseconds=1),
        )

    async def look(self, conn: Connection) -> None:
        """Look at what is owed, if anybody wants to know and it is time to.

        Raises:
            DatabaseError: Postgres does not answer, or refuses.
        """
        fresh = time.monotonic() - self._seen_at < _EVERY.total_seconds()
        if fresh or not self._manager.listens:
            return
        self._seen = await read_outlook(conn)
        self._seen_at = time.monotonic()

    async def run(self) -> None:
        """Feed the watchdog and renew the status line until cancelled."""
        if not self._manager.listens:
            return
        async with asyncio.TaskGroup() as both:
            # what is stopped is bounded by the unit's time to stop
            both.create_task(self._manager.feed(lambda: self._stopping or self._liveness.alive))
            both.create_task(self._renew())

    async def _renew(self) -> None:
        told = ""
        while True:
            text = self._status()
            if text != told and not self._stopping:
                self._manager.tell(STATUS=text)
                told = text
            await asyncio.sleep(1 if self._seen is None else _EVERY.total_seconds())

    def _status(self) -> str:
        if not self._liveness.alive:
            return f"no claim cycle for {_length(self._liveness.age)}: hangs"
        if self._liveness.reaches_database and self._seen is not None:
            self._missed_since = None
            later = timedelta(seconds=time.monotonic() - self._seen_at)
            return words(self._seen, mode=self._mode, later=later)
        if self._missed_since is None:
            self._missed_since = datetime.now(UTC)
        since = f"{self._missed_since:%Y-%m-%d %H:%M:%S} UTC"
        return f"waiting for Postgres since {since}; the log says why"


def _gates(seen: Sequence[Gate], mode: Mode) -> list[str]:
    """The PMS's gate in words, and every other one that is shut."""
    told: list[str] = []
    for gate in seen:
        if gate.destination is Destination.GUESTLY:
            told.insert(0, f"{mode.pms} {_pms_words(gate, mode)}")
        elif not gate.open:
            told.append(f"{gate.destination} {_gate_words(gate)}")
    return told


def _pms_words(gate: Gate, mode: Mode) -> str:
    if not mode.sync_enabled:
        return "disabled"
    return f"{_gate_words(gate)} (TEST MODE)" if mode.test_mode else _gate_words(gate)


def _gate_words(gate: Gate) -> str:
    if gate.pause is not None:
        return "paused"
    if gate.lacks_token:
        return "gives no access token"
    if gate.circuit.state is not CircuitState.CLOSED:
        if gate.circuit.cause is Cause.MISCONFIGURED:
            return REFUSES.get(gate.circuit.code or "", "refuses our key or address")
        return "does not answer"
    return "wants us to wait" if gate.held else "ok"


def _count(number: int) -> str:
    return f"{number}+" if number == _LIMIT else str(number)


def _length(length: timedelta) -> str:
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
