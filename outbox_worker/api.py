"""For Python callers: the functions of the system that this one replaces, under their names.

    result = await sync_booking_to_guestly(booking_id)

Settings come from the environment, as for the commands; ``environ`` replaces it, for tests.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from outbox_worker import statistics
from outbox_worker.alerts import report
from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertId
from outbox_worker.bookings import store as bookings
from outbox_worker.bookings.booking import Booking, BookingStatus
from outbox_worker.bookings.store import SyncView
from outbox_worker.database import Connection, connection
from outbox_worker.operations import plan, requeue
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId, Destination, Reason
from outbox_worker.outbox.store import DeliveryRow
from outbox_worker.pms import guest_data, guestly_body, mapping
from outbox_worker.pms.port import PmsName, ReservationStatus
from outbox_worker.settings import SettingsReader
from outbox_worker.settings_types import DatabaseSettings, SyncSettings, WorkerSettings
from outbox_worker.wiring import booking_handler, gate_rules, new_worker_id, open_pms
from outbox_worker.worker.gatekeeper import Gatekeeper
from outbox_worker.worker.single import deliver_one

#: Longest wait of one call; the attempts of a round and their waits are done long before.
PATIENCE = timedelta(seconds=60)

_NAME = "python"
#: In characters; an alert keeps no more of one fact.
_LONGEST_REPORT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What became of one booking.

    Args:
        success: Whether the PMS holds it as it is now.
        reservation_id: The PMS's id; None when it holds nothing, or is not known to. Only in test
            mode that of a reservation which was never made.
        error: One sentence without guest data; None on success.
        attempts: Attempts of the present round.
    """

    success: bool
    reservation_id: str | None
    error: str | None
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setup:
    database: DatabaseSettings
    sync: SyncSettings
    worker: WorkerSettings


async def sync_booking_to_guestly(
    booking_id: UUID, *, environ: Mapping[str, str] | None = None
) -> SyncResult:
    """Bring one booking to the PMS now, and wait for it.

    A booking that the PMS is known to hold as it is now is a success without a call. A test mode
    reservation counts in test mode alone. A worker that takes the row first is waited for.

    Raises:
        SettingsError: Every fault at once.
        DatabaseUnreachableError: No connection.
    """
    return await _sync(booking_id, environ, again=False)


async def retry_failed_sync(
    booking_id: UUID, *, environ: Mapping[str, str] | None = None
) -> SyncResult:
    """The same for a booking that was given up: its attempts begin at 0 again.

    Raises:
        SettingsError: Every fault at once.
        DatabaseUnreachableError: No connection.
    """
    return await _sync(booking_id, environ, again=True)


async def get_sync_statistics(*, environ: Mapping[str, str] | None = None) -> dict[str, int]:
    """All bookings by sync status; one without a status counts as pending.

    Returns:
        ``{"pending": …, "synced": …, "failed": …}``.
    """
    async with _open(_database(environ)) as conn:
        counts = await statistics.get_sync_statistics(conn)
    return {"pending": counts.pending, "synced": counts.synced, "failed": counts.failed}


async def send_sync_failure_alert(
    booking_id: UUID, error: str, *, environ: Mapping[str, str] | None = None
) -> AlertId:
    """Write the alert that a booking's sync failed; the worker delivers it.

    Args:
        booking_id: The booking; the alert is solved when its sync succeeds.
        error: What went wrong; the guest's data in it is masked.
        environ: Settings in place of the environment's.
    """
    async with _open(_database(environ)) as conn:
        async with conn.transaction():
            said = await _without_guest(conn, booking_id, error)
            raised = await report.sync_failure(conn, booking_id, said, channels=ALERT_CHANNELS)
        await store.notify(conn)
    return raised.id


async def send_booking_alert(
    booking_id: UUID, message: str, *, environ: Mapping[str, str] | None = None
) -> AlertId:
    """Write an alert that a booking needs attention; the worker delivers it.

    Args:
        booking_id: The booking.
        message: Why; the guest's data in it is masked.
        environ: Settings in place of the environment's.
    """
    async with _open(_database(environ)) as conn:
        async with conn.transaction():
            said = await _without_guest(conn, booking_id, message)
            raised = await report.booking_attention(conn, booking_id, said, channels=ALERT_CHANNELS)
        await store.notify(conn)
    return raised.id


def map_booking_to_guestly_reservation(
    booking: Booking, *, listing_id: str | None, currency: str = "EUR"
) -> dict[str, Any]:
    """The body that would be sent to the PMS.

    Returns:
        JSON names as keys; ``money.fareAccommodation`` is a Decimal.

    Raises:
        MappingError: The booking cannot be expressed; names the field.
    """
    mapped = mapping.to_reservation(
        booking, listing_id=listing_id, pms=PmsName.GUESTLY, currency=currency
    )
    return dict(guestly_body.payload(mapped.reservation))


def map_status_to_guestly(status: BookingStatus) -> ReservationStatus:
    """The PMS's word for a booking's status."""
    return mapping.status_of(status)


async def _without_guest(conn: Connection, booking_id: UUID, text: str) -> str:
    guest = await bookings.read_guest(conn, booking_id)
    return text if guest is None else guest_data.scrubbed(text, guest, limit=_LONGEST_REPORT)


async def _sync(booking_id: UUID, environ: Mapping[str, str] | None, *, again: bool) -> SyncResult:
    reader = SettingsReader(os.environ if environ is None else environ)
    setup = _Setup(database=reader.database(), sync=reader.sync(), worker=reader.worker())
    reader.finish()
    async with _open(setup.database) as conn:
        view = await _view(conn, booking_id, setup)
        if view.booking is None:
            return _refused(view.fault or "Booking not found")
        if not setup.sync.enabled:
            return _refused("Sync disabled")
        delivery_id = await _requested(conn, booking_id, view, setup, again=again)
        async with open_pms(setup.sync, setup.database, connections=1) as pms:
            row = await deliver_one(
                conn,
                delivery_id,
                handler=booking_handler(setup.sync, pms),
                gatekeeper=Gatekeeper(
                    gate_rules(setup.sync, pms), owner=new_worker_id(), lease=setup.worker.lease
                ),
                lease=setup.worker.lease,
                patience=PATIENCE,
            )
        view = await _view(conn, booking_id, setup)
    return _result(row, view, setup)


def _result(row: DeliveryRow, view: SyncView, setup: _Setup) -> SyncResult:
    at, held = row.snapshot, view.reservation
    settled = at.delivered == at.requested
    # a worker in test mode may have settled it, or the booking may be another one by now
    success = settled and _as_wanted(view, setup)
    if settled:
        waiting = "The PMS does not hold the booking as it is now; ask again"
    elif at.discarded_at is not None:
        waiting = row.last_error or "discarded by an operator"
    else:
        waiting = row.last_error or "not yet: the worker goes on trying"
    unreal = held is not None and held.test and not setup.sync.test_mode
    return SyncResult(
        success=success,
        reservation_id=None if held is None or unreal else held.reservation_id,
        error=None if success else waiting,
        attempts=at.attempts,
    )


async def _requested(
    conn: Connection, booking_id: UUID, view: SyncView, setup: _Setup, *, again: bool
) -> DeliveryId:
    """The booking's delivery, asked for where nothing is under way; requeued when ``again``.

    Left alone where it is done and the PMS holds the booking as it is.
    """
    known = await store.find(conn, destination=Destination.GUESTLY, key=str(booking_id))
    row = None if known is None else await store.read(conn, known)
    at = None if row is None else row.snapshot
    done = at is not None and at.delivered == at.requested
    if known is not None and done and _as_wanted(view, setup):
        return known
    if at is None or (not again and (done or at.failed_at is not None)):
        await store.request_sync(conn, booking_id, reason=Reason.OPERATOR, reference=_NAME)
    elif again:
        target = Target(subject=Subject.BOOKING, key=str(booking_id), name=str(booking_id))
        items = await plan.plan(conn, plan.Named(targets=(target,)), view=_pms_view(setup))
        request = requeue.Request(actor=_NAME, target=str(booking_id), reason=None)
        await requeue.apply(conn, items, request)
    found = await store.find(conn, destination=Destination.GUESTLY, key=str(booking_id))
    if found is None:
        raise AssertionError("a request makes the row")
    return found


def _as_wanted(view: SyncView, setup: _Setup) -> bool:
    """Whether the PMS holds the booking as it is now; test mode goes no further than a test."""
    held = view.reservation
    if setup.sync.test_mode and held is not None and held.test:
        return True
    return plan.is_as_wanted(view, _pms_view(setup))


def _pms_view(setup: _Setup) -> plan.PmsView:
    return plan.PmsView(pms=PmsName(setup.sync.pms), currency=setup.sync.currency)


async def _view(conn: Connection, booking_id: UUID, setup: _Setup) -> SyncView:
    return (await bookings.read_for_sync(conn, [booking_id], pms=setup.sync.pms))[booking_id]


def _database(environ: Mapping[str, str] | None) -> DatabaseSettings:
    reader = SettingsReader(os.environ if environ is None else environ)
    database = reader.database()
    reader.finish()
    return database


def _open(database: DatabaseSettings) -> Any:
    return connection(database.url.reveal(), application_name="outbox python")


def _refused(error: str) -> SyncResult:
    return SyncResult(success=False, reservation_id=None, error=error, attempts=0)
