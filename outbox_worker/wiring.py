"""The composition root: settings in, running objects out. Nothing else knows every part."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from outbox_worker import __version__
from outbox_worker.alerts.port import AlertChannel
from outbox_worker.bookings.visibility import blinded_tables
from outbox_worker.database import Connection, connection
from outbox_worker.errors import DatabaseError
from outbox_worker.events import Event
from outbox_worker.handlers.booking import BookingHandler
from outbox_worker.handlers.email import EmailHandler
from outbox_worker.handlers.inbox import InboxHandler
from outbox_worker.handlers.protocol import Handler
from outbox_worker.handlers.results import SyncRules
from outbox_worker.outbox.delivery import Destination, WorkerId
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.payments.inbox import InboxRules
from outbox_worker.pms.port import Pms, PmsName
from outbox_worker.settings import SettingsReader
from outbox_worker.settings_types import (
    AlertSettings,
    DatabaseSettings,
    LogSettings,
    SyncSettings,
    WorkerSettings,
)
from outbox_worker.telemetry import configure, logger
from outbox_worker.worker.heartbeat import Heartbeat, Mode
from outbox_worker.worker.loop import Loop
from outbox_worker.worker.supervisor import Supervisor
from outbox_worker.worker.wakeup import Wakeup

#: Claims at once of the destinations that are not the PMS; they never wait for it.
_INBOX_SLOTS = 4
_MAIL_SLOTS = 2

#: Longest time of one mail.
_MAIL_TIMEOUT = timedelta(seconds=15)

#: Longest time of one cycle's statements.
_PATIENCE = timedelta(seconds=10)

#: Longest time of one event's re-drive.
_REDRIVE_TIMEOUT = timedelta(seconds=8)

#: A mail is never given up: an alert that nobody hears of is none.
MAIL_POLICY = RetryPolicy(
    max_attempts=None,
    base=timedelta(seconds=1),
    cap=timedelta(seconds=300),
    redrive_every=None,
    redrive_for=timedelta(0),
)


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
        The exit code, 0.

    Raises:
        SettingsError: Every fault at once; nothing was started.
    """
    config = read_worker_config(environ)
    configure(config.log, service="worker", stream=sys.stdout)
    asyncio.run(_work(config, drain=drain))
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
async def open_pms(sync: SyncSettings, *, connections: int) -> AsyncIterator[Pms | None]:
    """The adapter that ``PMS`` names; None when its address or key is not set."""
    if sync.api_url is None or sync.api_key is None:
        yield None
        return
    from outbox_worker.pms.guestly import Guestly

    adapter = Guestly(
        api_url=sync.api_url,
        api_key=sync.api_key.reveal(),
        timeout=sync.timeout,
        connections=connections,
    )
    try:
        yield adapter
    finally:
        await adapter.aclose()


@contextlib.asynccontextmanager
async def open_mail(
    alerts: AlertSettings, *, lease: timedelta
) -> AsyncIterator[AlertChannel | None]:
    """The mail channel: SMTP where ``SMTP_URL`` is set, else the HTTP API; None: unconfigured.

    A mail is bounded by half a lease: one that could outlive its lease is never begun.
    """
    timeout = min(_MAIL_TIMEOUT, lease / 2)
    if not alerts.recipients or alerts.sender is None:
        yield None
    elif alerts.smtp_url is not None:
        from outbox_worker.alerts.smtp import SmtpChannel, parse_url

        yield SmtpChannel(
            parse_url(alerts.smtp_url),
            sender=alerts.sender,
            recipients=alerts.recipients,
            timeout=timeout,
        )
    elif alerts.api_key is not None:
        from outbox_worker.alerts.email import EmailApiChannel

        channel = EmailApiChannel(
            alerts.api_endpoint,
            api_key=alerts.api_key,
            sender=alerts.sender,
            recipients=alerts.recipients,
            timeout=timeout,
        )
        try:
            yield channel
        finally:
            await channel.aclose()
    else:
        yield None


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


def new_worker_id() -> WorkerId:
    """Host, process start, chance: never the same twice, so that a restart is another owner."""
    return WorkerId(f"{socket.gethostname()[:40]}-{secrets.token_hex(6)}")


async def _work(config: WorkerConfig, *, drain: bool) -> None:
    url = config.database.url.reveal()
    worker_id = new_worker_id()
    slots = config.worker.concurrency
    async with (
        open_pms(config.sync, connections=slots) as pms,
        open_mail(config.alerts, lease=config.worker.lease) as mail,
    ):
        handlers = _handlers(config, pms, mail)
        wakeup = Wakeup(config.database.listen_url.reveal(), name=worker_id)
        loop = Loop(
            handlers=handlers,
            slots={
                Destination.GUESTLY: slots,
                Destination.INBOX: _INBOX_SLOTS,
                Destination.EMAIL: _MAIL_SLOTS,
            },
            owner=worker_id,
            lease=config.worker.lease,
            poll=config.worker.poll,
            wakeup=wakeup,
        )
        mode = Mode(
            pms=config.sync.pms,
            sync_enabled=config.sync.enabled,
            test_mode=config.sync.test_mode,
        )
        supervisor = Supervisor(
            url,
            loop=loop,
            wakeup=wakeup,
            heartbeat=Heartbeat(worker_id, mode),
            shutdown=config.worker.shutdown,
            patience=min(_PATIENCE, config.worker.lease / 3),
        )
        await supervisor.run(drain=drain, announce=lambda: _announce(config, worker_id))
    logger().info(Event.SERVICE_STOPPED, message="worker stopped", worker=worker_id)


def _handlers(
    config: WorkerConfig, pms: Pms | None, mail: AlertChannel | None
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
        EmailHandler(mail, policy=MAIL_POLICY, currency=config.sync.currency),
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
            message="Guestly sync is disabled (GUESTLY_SYNC_ENABLED=false):"
            " bookings are held until it is enabled",
        )
    elif config.sync.test_mode:
        logger().warning(
            Event.SYNC_TESTING,
            message="TEST MODE (GUESTLY_TEST_MODE=true): nothing is sent to the PMS",
        )
    try:
        async with connection(
            config.database.url.reveal(), application_name="outbox worker"
        ) as conn:
            blinded = await blinded_tables(conn)
    except DatabaseError:
        return  # the loop says so, and goes on trying
    if blinded:
        logger().error(
            Event.SERVICE_FAILED,
            message=f"row level security hides rows of {', '.join(blinded)} from this role:"
            " nothing can be sent",
            hint="Connect as a role with BYPASSRLS or a policy (deploy/grants.sql).",
        )
