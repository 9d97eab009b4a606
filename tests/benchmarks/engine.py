"""A worker like any other whose destination answers at once: what is left is the engine's cost.

Supervisor, loop, gate, handler protocol, claim and settle are the product's own. The handler notes
the job's number and answers Done; there is nothing to load and no booking to mirror.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from outbox_worker.database import Connection
from outbox_worker.gate.rate import Window
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.metrics import Metrics
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination
from outbox_worker.outbox.outcome import Done, Retry
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.settings_types import LogFormat, LogLevel, LogSettings
from outbox_worker.systemd import ServiceManager
from outbox_worker.telemetry import configure
from outbox_worker.wiring import new_worker_id
from outbox_worker.worker.deadman import DeadMan
from outbox_worker.worker.gatekeeper import Gatekeeper, GateRules
from outbox_worker.worker.heartbeat import Heartbeat, Mode
from outbox_worker.worker.liveness import Liveness
from outbox_worker.worker.loop import Loop
from outbox_worker.worker.report import Reporter
from outbox_worker.worker.supervisor import Supervisor, longest_silence
from outbox_worker.worker.systemd import Notifier
from outbox_worker.worker.wakeup import Wakeup
from tests.benchmarks.engine_record import Record

#: One more destination than this has no gate of its own.
DESTINATION = Destination.GUESTLY
_PATIENCE = timedelta(seconds=20)
_CALL = timedelta(seconds=10)
_DONE = Result(outcome=Done(http_status=200))
_UNANSWERED = Result(outcome=Retry(code="unavailable", message="no answer", outage=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """How the worker runs.

    Args:
        slots: Claims at once.
        poll: Longest wait between two looks.
        lease: Of each claim.
        level: Least severe lines of the log that are written.
        windows: Limits of the destination's calls; empty: none.
        listen: False: LISTEN is never heard, so that polling alone finds what is due.
        fails: Whether no call is ever answered.
    """

    slots: int
    poll: timedelta
    lease: timedelta
    level: LogLevel
    windows: tuple[Window, ...]
    listen: bool
    fails: bool

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Engine:
        """SLOTS, POLL and LEASE in s, LOG_LEVEL, RATE as ``calls/seconds``, LISTEN=0, FAIL=1."""
        limit, _, length = environ.get("RATE", "").partition("/")
        window = [Window(limit=int(limit), length=timedelta(seconds=int(length)))] if limit else []
        return cls(
            slots=int(environ.get("SLOTS", "500")),
            poll=timedelta(seconds=float(environ.get("POLL", "5"))),
            lease=timedelta(seconds=float(environ.get("LEASE", "60"))),
            level=LogLevel(environ.get("LOG_LEVEL", "warning")),
            windows=tuple(window),
            listen=environ.get("LISTEN", "1") != "0",
            fails=environ.get("FAIL", "0") == "1",
        )


class NoOp:
    """The handler: asks for leave to call, notes the job, and answers at once."""

    def __init__(self, record: Record, *, answer: Result) -> None:
        self._record = record
        self._answer = answer
        self._policy = RetryPolicy(
            max_attempts=8,
            base=timedelta(seconds=1),
            cap=timedelta(minutes=5),
            redrive_every=None,
            redrive_for=timedelta(hours=72),
        )

    @property
    def destination(self) -> Destination:
        """Which deliveries it takes."""
        return DESTINATION

    @property
    def policy(self) -> RetryPolicy:
        """How often and how soon a failed attempt is repeated."""
        return self._policy

    async def load(self, conn: Connection, claims: Sequence[Claim]) -> Mapping[DeliveryId, None]:
        """Nothing to read."""
        del conn
        return dict.fromkeys(claim.id for claim in claims)

    async def run(self, claim: Claim, state: None, deadline: Deadline) -> Result:
        """The call that takes no time."""
        del state
        if not deadline.allows(_CALL):
            return Result(outcome=Retry(code="lease_ended", message="the lease has ended"))
        self._record.seen(int(claim.key))
        return self._answer

    def failed(self, claim: Claim, retry: Retry) -> Result:
        """As it comes."""
        del claim
        return Result(outcome=retry)


class _Deaf(Wakeup):
    """As if LISTEN had been lost for good."""

    async def listen(self) -> None:
        """Hear nothing."""
        await asyncio.Event().wait()


async def work(url: str, engine: Engine, record: Record) -> None:
    """Run one worker until SIGTERM; the log goes to standard error."""
    log = LogSettings(format=LogFormat.JSON, level=engine.level)
    configure(log, service="worker", stream=sys.stderr)
    owner = new_worker_id()
    wakeup = (Wakeup if engine.listen else _Deaf)(url, name=owner)
    handler = NoOp(record, answer=_UNANSWERED if engine.fails else _DONE)
    rules = GateRules(
        circuit_failures=10,
        windows=engine.windows,
        calls_per_claim=1,
        quiet=timedelta(0),
        name=str(DESTINATION),
    )
    loop = Loop(
        handlers={DESTINATION: handler},
        slots={DESTINATION: engine.slots},
        owner=owner,
        lease=engine.lease,
        poll=engine.poll,
        wakeup=wakeup,
        gatekeeper=Gatekeeper({DESTINATION: rules}, owner=owner, lease=engine.lease),
        reporter=Reporter(Metrics()),
    )
    mode = Mode(pms=str(DESTINATION), sync_enabled=True, test_mode=False)
    liveness = Liveness(3 * longest_silence(_PATIENCE))
    async with contextlib.aclosing(DeadMan(None)) as deadman:
        await Supervisor(
            url,
            loop=loop,
            wakeup=wakeup,
            heartbeat=Heartbeat(owner, mode),
            liveness=liveness,
            deadman=deadman,
            notifier=Notifier(
                ServiceManager("", watchdog=None),
                liveness=liveness,
                mode=mode,
                shutdown=timedelta(seconds=5),
            ),
            shutdown=timedelta(seconds=5),
            patience=_PATIENCE,
        ).run(drain=False, announce=_announce(record))


def _announce(record: Record) -> Callable[[], Awaitable[None]]:
    async def announce() -> None:
        asyncio.get_running_loop().call_later(0.5, record.ready)

    return announce
