"""The composition root: settings in, running objects out. Nothing else knows every part."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from outbox_worker import __version__
from outbox_worker.bookings.visibility import blinded_tables
from outbox_worker.database import Connection, bounded, connection
from outbox_worker.errors import DatabaseError, OutboxError
from outbox_worker.events import Event
from outbox_worker.gate.rate import Window
from outbox_worker.handlers.booking import BookingHandler
from outbox_worker.handlers.inbox import InboxHandler
from outbox_worker.handlers.protocol import Handler
from outbox_worker.handlers.results import SyncRules
from outbox_worker.metrics import Metrics
from outbox_worker.outbox.delivery import Destination, WorkerId
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.payments.inbox import InboxRules
from outbox_worker.pms.port import Pms, PmsName
from outbox_worker.settings import SettingsReader
from outbox_worker.settings_risks import risks
from outbox_worker.settings_types import (
    Address,
    AlertSettings,
    DatabaseSettings,
    LogSettings,
    SyncSettings,
    WorkerSettings,
)
from outbox_worker.systemd import ServiceManager, service_manager
from outbox_worker.telemetry import configure, logger
from outbox_worker.wiring_alerts import CHANNEL_SLOTS, open_channels
from outbox_worker.worker.deadman import DeadMan
from outbox_worker.worker.gatekeeper import Gatekeeper, GateRules
from outbox_worker.worker.heartbeat import Heartbeat, Mode
from outbox_worker.worker.liveness import Liveness
from outbox_worker.worker.loop import Loop
from outbox_worker.worker.report import Reporter
from outbox_worker.worker.supervisor import Supervisor, longest_silence
from outbox_worker.worker.systemd import Notifier
from outbox_worker.worker.wakeup import Wakeup
from outbox_worker.worker.watched import Watched

#: Claims at once of the destinations that are not the PMS; they never wait for it.
_INBOX_SLOTS = 4

#: Longest time of one cycle's statements.
_PATIENCE = timedelta(seconds=10)

#: A worker hangs that gives no sign of life for so many times of its longest silence.
_SILENCES = 2

#: Longest time of one event's re-drive.
_REDRIVE_TIMEOUT = timedelta(seconds=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """All settings that a worker needs."""

    database: DatabaseSettings
    sync: SyncSettings
    worker: WorkerSettings
    alerts: AlertSettings
    log: LogSettings


def read_worker_config(environ: Mapping[str, str]) -> WorkerConfig:
    """Read and check the settings of a worker.

    Raises:
        SettingsError: Every fault at once.
    """
    reader = SettingsReader(environ)
    config = WorkerConfig(
        database=reader.database(),
        sync=reader.sync(),
        worker=reader.worker(),
        alerts=reader.alerts(),
        log=reader.log(),
    )
    reader.finish()
    return config


def run_worker(environ: Mapping[str, str], *, drain: bool) -> int:
    """Run a worker until it is told to stop, or, with ``drain``, until nothing is due.

    Returns:
        The exit code: 0, or 1 after an error that nobody expected.

    Raises:
        SettingsError: Every fault at once; nothing was started.
    """
    config = read_worker_config(environ)
    configure(config.log, service="worker", stream=sys.stdout)
    try:
        asyncio.run(_work(config, service_manager(environ), drain=drain))
    except OutboxError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge of the process: whoever started it starts it anew
        logger().critical(
            Event.SERVICE_FAILED,
            message=f"the worker ends: internal error {type(error).__name__}; this is a bug."
            " What it held is taken over when its leases end",
            exc_info=error,
        )
        return 1
    return 0


def retry_policy(sync: SyncSettings) -> RetryPolicy:
    """The PMS's retry policy out of ``SYNC_*``; ``SYNC_REDRIVE_HOURS=0`` turns redrives off."""
    return RetryPolicy(
        max_attempts=sync.max_attempts,
        base=sync.retry_base,
        cap=sync.retry_cap,
        redrive_every=sync.redrive_every if sync.redrive_for > timedelta(0) else None,
        redrive_for=sync.redrive_for,
    )


@contextlib.asynccontextmanager
async def open_pms(
    sync: SyncSettings, database: DatabaseSettings, *, connections: int
) -> AsyncIterator[Pms | None]:
    """The adapter that ``PMS`` names; None when its address or key is not set.

    Args:
        sync: Which, and how it is reached.
        database: Where the fleet keeps what it has in common, such as Guesty's token.
        connections: Calls at the same time.
    """
    if not sync.access:
        yield None
        return
    if sync.pms == PmsName.GUESTY:
        from outbox_worker.wiring_guesty import open_guesty

        async with open_guesty(sync, database, connections=connections) as guesty:
            yield guesty
        return
    from outbox_worker.pms.guestly import Guestly

    guestly = Guestly(
        api_url=sync.api_url or "",
        api_key=sync.api_key.reveal() if sync.api_key else "",
        timeout=sync.timeout,
        connections=connections,
    )
    async with contextlib.aclosing(guestly):
        yield guestly


def booking_handler(sync: SyncSettings, pms: Pms | None) -> BookingHandler:
    """The handler of (guestly, booking); in test mode without a network."""
    return BookingHandler(
        None if sync.test_mode else pms,
        pms_name=PmsName(sync.pms),
        policy=retry_policy(sync),
        rules=SyncRules(
            test_mode=sync.test_mode,
            timeout=sync.timeout,
            quiet=sync.quiet,
            look_before_create=sync.lookup_before_create,
            currency=sync.currency,
        ),
    )


def rate_windows(sync: SyncSettings) -> tuple[Window, ...]:
    """The limits of all calls to the PMS together, those of persons' commands among them."""
    limits = (
        (sync.rate_per_second, timedelta(seconds=1)),
        (sync.rate_per_minute, timedelta(minutes=1)),
        (sync.rate_per_hour, timedelta(hours=1)),
    )
    return tuple(Window(limit=limit, length=length) for limit, length in limits if limit)


def gate_rules(sync: SyncSettings, pms: Pms | None) -> dict[Destination, GateRules]:
    """How the PMS is spared; in test mode nothing is called, so there is nothing to spare."""
    if sync.test_mode:
        return {}
    return {
        Destination.GUESTLY: GateRules(
            circuit_failures=sync.circuit_failures,
            windows=rate_windows(sync),
            # without an adapter, nothing is claimed that could call anybody
            calls_per_claim=1 if pms is None else pms.most_calls,
            quiet=sync.quiet,
            name=sync.pms,
            heard=tuple if pms is None else pms.heard,
        )
    }


def new_worker_id() -> WorkerId:
    """Host, process start, chance: never the same twice, so that a restart is another owner."""
    return WorkerId(f"{socket.gethostname()[:40]}-{secrets.token_hex(6)}")


async def _work(config: WorkerConfig, manager: ServiceManager, *, drain: bool) -> None:
    url = config.database.url.reveal()
    worker_id = new_worker_id()
    slots = config.worker.concurrency
    async with (
        open_pms(config.sync, config.database, connections=slots) as pms,
        open_channels(config.alerts, lease=config.worker.lease, sync=config.sync) as channels,
        contextlib.aclosing(DeadMan(config.worker.heartbeat_url)) as deadman,
    ):
        handlers = _handlers(config, pms, channels)
        wakeup = Wakeup(config.database.listen_url.reveal(), name=worker_id)
        metrics = Metrics()
        loop = Loop(
            handlers=handlers,
            slots={
                Destination.GUESTLY: slots,
                Destination.INBOX: _INBOX_SLOTS,
                **CHANNEL_SLOTS,
            },
            owner=worker_id,
            lease=config.worker.lease,
            poll=config.worker.poll,
            wakeup=wakeup,
            gatekeeper=Gatekeeper(
                gate_rules(config.sync, pms), owner=worker_id, lease=config.worker.lease
            ),
            reporter=Reporter(metrics),
        )
        mode = Mode(
            pms=config.sync.pms,
            sync_enabled=config.sync.enabled,
            test_mode=config.sync.test_mode,
        )
        patience = min(_PATIENCE, config.worker.lease / 3)
        liveness = Liveness(_SILENCES * longest_silence(patience))
        supervisor = Supervisor(
            url,
            loop=loop,
            wakeup=wakeup,
            heartbeat=Heartbeat(worker_id, mode),
            liveness=liveness,
            deadman=deadman,
            notifier=Notifier(
                manager, liveness=liveness, mode=mode, shutdown=config.worker.shutdown
            ),
            shutdown=config.worker.shutdown,
            patience=patience,
        )
        watched = Watched(
            worker=worker_id, metrics=metrics, liveness=liveness, wakeup=wakeup, loop=loop
        )
        async with _endpoint(config.worker.metrics_address, watched):
            await supervisor.run(drain=drain, announce=lambda: _announce(config, worker_id))
    logger().info(Event.SERVICE_STOPPED, message="worker stopped", worker=worker_id)


def _endpoint(
    address: Address | None, watched: Watched
) -> contextlib.AbstractAsyncContextManager[None]:
    if address is None:
        return contextlib.nullcontext()
    from outbox_worker.worker.health import served

    return served(address, watched)


def _handlers(
    config: WorkerConfig, pms: Pms | None, channels: Sequence[Handler[Any]]
) -> dict[Destination, Handler[Any]]:
    url = config.database.url.reveal()

    def connect_inbox() -> contextlib.AbstractAsyncContextManager[Connection]:
        return connection(url, application_name="outbox inbox")

    handlers: list[Handler[Any]] = [
        InboxHandler(
            connect_inbox,
            rules=InboxRules(currency=config.sync.currency),
            timeout=min(_REDRIVE_TIMEOUT, config.worker.lease / 2),
        ),
        *channels,
    ]
    if config.sync.enabled:
        # without its handler nothing is claimed: the rows are held, never dropped
        handlers.append(booking_handler(config.sync, pms))
    return {handler.destination: handler for handler in handlers}


async def _announce(config: WorkerConfig, worker_id: WorkerId) -> None:
    """Say how this worker runs, and what an operator has to know at once."""
    logger().info(
        Event.SERVICE_STARTED,
        message=f"worker {__version__} started",
        worker=worker_id,
        pms=config.sync.pms,
        sync_enabled=config.sync.enabled,
        test_mode=config.sync.test_mode,
        concurrency=config.worker.concurrency,
    )
    if not config.sync.enabled:
        logger().warning(
            Event.SYNC_DISABLED,
            message=f"{PmsName(config.sync.pms).display_name} sync is disabled"
            " (GUESTLY_SYNC_ENABLED=false):"
            " bookings are held until it is enabled",
        )
    elif config.sync.test_mode:
        logger().warning(
            Event.SYNC_TESTING,
            message="TEST MODE (GUESTLY_TEST_MODE=true): nothing is sent to"
            f" {PmsName(config.sync.pms).display_name}",
        )
    else:
        for risk in risks(config.sync):
            logger().warning(Event.SYNC_RISKY, message=risk, pms=config.sync.pms)
    try:
        blinded = await bounded(_blinded(config.database.url.reveal()), within=_PATIENCE)
    except (DatabaseError, TimeoutError):
        return  # the loop says so, and goes on trying
    if blinded:
        logger().error(
            Event.SERVICE_FAILED,
            message=f"row level security hides rows of {', '.join(blinded)} from this role:"
            " nothing can be sent",
            hint="Connect as a role with BYPASSRLS or a policy (deploy/grants.sql).",
        )


async def _blinded(url: str) -> tuple[str, ...]:
    async with connection(url, application_name="outbox worker") as conn:
        return await blinded_tables(conn)
