"""``outbox sync``: send one booking now."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import wrapped
from outbox_worker.cli.price import price_lines
from outbox_worker.cli.reply import Reply, printable
from outbox_worker.cli.requeue_answer import restart, results
from outbox_worker.settings import LogLevel

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.refs import Target
    from outbox_worker.operations.sync_now import Deliver, SyncedNow, Tried
    from outbox_worker.settings import DatabaseSettings, LogSettings, SyncSettings, WorkerSettings

#: An operator waits no longer; a round's attempts and a quiet period are over long before.
_PATIENCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setup:
    database: DatabaseSettings
    sync: SyncSettings
    worker: WorkerSettings
    log: LogSettings


@click.command(
    "sync",
    short_help="Send one booking now, even while the others are held.",
    epilog=examples("outbox sync LA2026-48213", "outbox sync LA2026-48213 --json"),
)
@click.argument("ref")
@standard_options
@click.pass_obj
def command(invocation: Invocation, *, ref: str) -> Reply:
    """Send one booking now and wait for what becomes of it.

    This is how one booking is tried first: also while the sync is disabled
    (GUESTLY_SYNC_ENABLED=false), the PMS is paused, or its circuit is open. With
    GUESTLY_TEST_MODE=true nothing is sent. What the PMS holds already as it should
    is left alone.
    """
    setup = _read(invocation)
    actor = invocation.actor()
    from outbox_worker.telemetry import configure

    configure(setup.log, service="sync", stream=sys.stderr)
    try:
        done = invocation.on_database(
            setup.database, "sync", lambda conn: _sync(conn, ref, setup, actor=actor)
        )
    except KeyboardInterrupt:
        # a call that had begun has been waited for
        return Reply(
            data={"name": ref, "interrupted": True},
            lines=("Interrupted.", f"next: outbox show {shlex.quote(ref)}"),
            code=ExitCode.INTERRUPTED,
        )
    return Reply(data=done, lines=tuple(_lines(done, setup.sync)), code=_exit_code(done))


def _read(invocation: Invocation) -> _Setup:
    reader = invocation.settings()
    setup = _Setup(
        database=reader.database(), sync=reader.sync(), worker=reader.worker(), log=reader.log()
    )
    if not setup.sync.test_mode:
        reader.pms_access(setup.sync)
    reader.finish()
    if not invocation.environ.get("LOG_LEVEL"):
        # each attempt is told anyway
        return replace(setup, log=replace(setup.log, level=LogLevel.CRITICAL))
    return setup


async def _sync(conn: Connection, ref: str, setup: _Setup, *, actor: str) -> SyncedNow:
    from outbox_worker.database import connection
    from outbox_worker.operations.fleet import SyncMode, read_fleet
    from outbox_worker.operations.plan import PmsView
    from outbox_worker.operations.refs import resolve
    from outbox_worker.operations.slices import Request
    from outbox_worker.operations.sync_now import Watch, sync_now
    from outbox_worker.pms.port import PmsName

    target: Target = await resolve(conn, ref)
    mode = SyncMode.of(setup.sync)
    async with AsyncExitStack() as stack:
        deliver = await _deliver(stack, setup)
        beside = await stack.enter_async_context(
            connection(setup.database.url.reveal(), application_name="outbox sync (watching)")
        )
        return await sync_now(
            conn,
            target,
            deliver=deliver,
            test_mode=setup.sync.test_mode,
            view=PmsView(pms=PmsName(setup.sync.pms), currency=setup.sync.currency),
            fleet=await read_fleet(conn, mode),
            request=Request(actor=actor, target=ref, reason="sync"),
            watch=Watch(conn=beside, tell=_tell),
        )


async def _deliver(stack: AsyncExitStack, setup: _Setup) -> Deliver:
    """What makes attempts at one row, put together as in a worker."""
    from outbox_worker.wiring import booking_handler, gate_rules, new_worker_id, open_pms
    from outbox_worker.worker.gatekeeper import Gatekeeper
    from outbox_worker.worker.single import deliver_one

    pms = await stack.enter_async_context(open_pms(setup.sync, setup.database, connections=1))
    handler, lease = booking_handler(setup.sync, pms), setup.worker.lease
    gatekeeper = Gatekeeper(gate_rules(setup.sync, pms), owner=new_worker_id(), lease=lease)
    return lambda conn, delivery_id: deliver_one(
        conn,
        delivery_id,
        handler=handler,
        gatekeeper=gatekeeper,
        lease=lease,
        patience=_PATIENCE,
    )


def _tell(tried: Tried) -> None:
    outcome = "done" if tried.outcome == "held" else tried.outcome.value
    code = f" ({tried.error_code})" if tried.error_code else ""
    error = f": {tried.error}{code}" if tried.error else code
    took = f"[{tried.took.total_seconds():.1f} s]"
    for line in wrapped(f"attempt {tried.number} {outcome}{error} {took}"):
        click.echo(printable(line), err=True)


def _exit_code(done: SyncedNow) -> ExitCode:
    if done.settled is None:
        return ExitCode.UNCHANGED
    if done.stale is not None:
        return ExitCode.FAILED
    return ExitCode.DONE if done.settled.state == "synced" else ExitCode.FAILED


def _lines(done: SyncedNow, sync: SyncSettings) -> Iterator[str]:
    from outbox_worker.operations.fleet import disabled
    from outbox_worker.pms.port import PmsName

    word = _word(done)
    if done.settled is None:
        yield f"{done.name}  {done.skip}"
        yield "Nothing changed."
        yield from price_lines(done.price)
        yield f"next: outbox show {word}"
        return
    yield from results([done.settled])
    yield from price_lines(done.price)
    if done.settled.state != "synced":
        yield f"next: outbox show {word}"
    elif done.stale is not None:
        yield from restart(done.stale)
    elif done.settled.tested:
        yield "next: set GUESTLY_TEST_MODE=false, then the same command once more"
    elif not sync.enabled:
        yield from wrapped(
            f"the others are held: {disabled(PmsName(sync.pms))}",
            first="note: ",
        )
        yield "next: outbox status"
    else:
        yield f"next: outbox show {word}"


def _word(done: SyncedNow) -> str:
    from outbox_worker.alerts.shown import token

    return token(done.name) or str(done.delivery_id or done.name)
