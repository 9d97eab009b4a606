"""Subjects in every state, as `explain` is given them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from outbox_worker.alerts.alert import AlertKind
from outbox_worker.bookings.booking import BookingId, BookingStatus, PaymentStatus
from outbox_worker.operations.explain import Explanation, explain
from outbox_worker.operations.fleet import Fleet, SyncMode, Worker
from outbox_worker.operations.price import UnknownPrice
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.timeline import (
    AlertFacts,
    BookingFacts,
    DeliveryFacts,
    ReservationFacts,
    Timeline,
)
from outbox_worker.outbox.delivery import DeliveryId, Destination, State
from outbox_worker.pms.guesty_parts import Part
from outbox_worker.pms.port import Mode, PmsName

NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
BOOKING = UUID(int=7)
SEND = "outbox requeue LA-1 --wait"
RUN = "outbox worker run"
DISCARD = "outbox discard LA-1 --reason TEXT"
LINK = "outbox link LA-1 RESERVATION_ID"
CHECK = "outbox check LA-1"

WORKER = Worker(
    id="w",
    host="h",
    pid=1,
    version="0.1.0",
    pms="guestly",
    sync_enabled=True,
    test_mode=False,
    listening=True,
    in_flight=0,
    started_at=NOW,
    seen_ago=timedelta(0),
)


def a_fleet(**changes: Any) -> Fleet:
    values: dict[str, Any] = {
        "workers": (WORKER,),
        "mode": SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY),
        "closed": {},
        "now": NOW,
    }
    return Fleet(**{**values, **changes})


def a_booking(**changes: Any) -> BookingFacts:
    values: dict[str, Any] = {
        "id": BookingId(BOOKING),
        "reference": "LA-1",
        "status": BookingStatus.CONFIRMED,
        "payment_status": PaymentStatus.COMPLETED,
        "total": Decimal("1240.50"),
        "check_in": date(2026, 11, 22),
        "check_out": date(2026, 11, 25),
        "guests": 3,
        "property_slug": "sea-loft",
        "property_name": "Sea Loft",
        "payment_intent_id": "pi_1",
        "created_at": NOW,
        "confirmed_at": NOW,
        "cancelled_at": None,
    }
    return BookingFacts(**{**values, **changes})


def a_delivery(state: State, **changes: Any) -> DeliveryFacts:
    given_up = state in {State.FAILED, State.REJECTED}
    values: dict[str, Any] = {
        "id": DeliveryId(12),
        "destination": Destination.GUESTLY,
        "key": str(BOOKING),
        "state": state,
        "requested": 1,
        "delivered": 1 if state is State.SYNCED else 0,
        "due_at": None if state in {State.SYNCED, State.REJECTED, State.DISCARDED} else NOW,
        "failed_at": NOW if given_up else None,
        "discarded_at": NOW if state is State.DISCARDED else None,
        "uncertain_at": NOW if state is State.CHECKING else None,
        "attempts": 3,
        "round": 1,
        "owner": "w" if state is State.SENDING else None,
        "lease_until": NOW if state is State.SENDING else None,
        "error_code": "http_503",
        "error": "the PMS is down",
        "requested_at": NOW,
        "delivered_at": None,
    }
    return DeliveryFacts(**{**values, **changes})


def held(mode: Mode = Mode.LIVE, *, state_known: bool = True) -> ReservationFacts:
    return ReservationFacts(
        pms=PmsName.GUESTLY,
        reservation_id="res-1",
        mode=mode,
        state_known=state_known,
        updated_at=NOW,
    )


def an_alert(kind: AlertKind = AlertKind.REPORTED, *, code: str | None = None) -> AlertFacts:
    return AlertFacts(id=3, kind=kind, message=None, code=code)


def said(
    delivery: DeliveryFacts | None,
    *,
    booking: BookingFacts | None = None,
    reservations: tuple[ReservationFacts, ...] = (),
    fleet: Fleet | None = None,
    as_wanted: bool = True,
    name: str = "LA-1",
    alerts: tuple[AlertFacts, ...] = (),
    price: UnknownPrice | None = None,
    fixed: tuple[Part, ...] = (),
) -> Explanation:
    timeline = Timeline(
        target=Target(subject=Subject.BOOKING, key=str(BOOKING), name=name),
        booking=booking or a_booking(),
        event=None,
        reservations=reservations,
        delivery=delivery,
        entries=(),
        alerts=alerts,
    )
    return explain(timeline, fleet or a_fleet(), as_wanted=as_wanted, price=price, fixed=fixed)


def commands(explanation: Explanation) -> list[str]:
    return [step.command for step in explanation.steps if step.command]
