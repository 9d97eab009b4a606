"""The same for what people and payments ask: events, references, status, lists."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.plans.cases import Case, Reads, booking, case
from tests.plans.dataset import Dataset

_NOBODY = "00000000-0000-0000-0000-000000000000"
_EVENT: dict[str, Any] = {
    "id": "evt_new",
    "type": "payment_intent.succeeded",
    "body": b"{}",
    "livemode": True,
    "account": None,
    "object_id": None,
    "payment_intent_id": "pi_7",
    "outcome": "applied",
    "detail": None,
}
_DECISION: dict[str, Any] = {
    "id": "evt_7",
    "outcome": "applied",
    "detail": None,
    "booking_id": booking(7),
    "sync": True,
}


def _meant(word: str, uuid: str | None = None) -> dict[str, Any]:
    return {"words": [word], "uuid": uuid, "ref": word, "number": None, "limit": 5}


def _shown(data: Dataset) -> dict[str, list[Any]]:
    """Rows as a person was shown them."""
    ids = data.failed
    nothing = [None] * len(ids)
    return {
        "ids": ids,
        "requested": [1] * len(ids),
        "delivered": [0] * len(ids),
        "failed_at": nothing,
        "discarded_at": nothing,
    }


PAYMENTS: tuple[Case, ...] = (
    case("inbox_insert", _EVENT),
    case(
        "inbox_change_booking",
        {
            "booking_id": booking(7),
            "status": "confirmed",
            "payment_status": "completed",
            "intent_id": None,
            "charge_id": "ch_7",
        },
        "bookings_pkey",
    ),
    case("inbox_decide", _DECISION, "inbox_event_pkey"),
    case("inbox_decide", {**_DECISION, "sync": False}, "inbox_event_pkey", label="without a sync"),
    case("inbox_lock_event", {"id": "evt_7"}, "inbox_event_pkey"),
    case(
        "inbox_lock_bookings",
        {"intent_id": "pi_7", "booking_id": booking(7), "reference": "LA-7"},
        "idx_bookings_payment_intent_once",
    ),
    case(
        "inbox_lock_bookings",
        {"intent_id": "pi_7", "booking_id": None, "reference": None},
        "idx_bookings_payment_intent_once",
        label="of the payment alone",
    ),
    case("inbox_known_to_pms", {"booking_id": booking(7)}, "delivery_key", "reservation_pkey"),
    case("inbox_overdue", {"ids": ["evt_7"]}, "inbox_event_pkey"),
)

PEOPLE: tuple[Case, ...] = (
    case("status_line", {"limit": 1000}, reads=Reads.LIMITED),
    case("live_workers", {"alive": timedelta(minutes=1)}),
    case("count_owed", {"closed": ["guestly"]}, reads=Reads.UNFINISHED),
    case("count_synced", {"limit": 1000}, "delivery_key", reads=Reads.LIMITED),
    case("count_tested", {"limit": 1000}, "reservation_test", reads=Reads.LIMITED),
    case("list_parked", {"limit": 5}, "delivery_failed", reads=Reads.ALL),
    case("list_missing", {"limit": 5}, reads=Reads.ALL),
    case("requeue_missing", {}, reads=Reads.ALL),
    case("last_successes", {}, reads=Reads.ALL),
    case("count_bookings", {}, reads=Reads.ALL),
    case("list_waiting_events", {"limit": 5}, "inbox_event_pkey", reads=Reads.UNFINISHED),
    case("ref_exact", _meant("LA-7"), "bookings_booking_reference_key", label="a reference"),
    case("ref_exact", _meant("pi_7"), "idx_bookings_payment_intent_once", label="a payment"),
    case("ref_exact", _meant(booking(7), booking(7)), "bookings_pkey", label="an id"),
    case("ref_exact", _meant(_NOBODY, _NOBODY), label="nothing"),
    case("subject_booking", {"booking_id": booking(7)}, "bookings_pkey"),
    case("subject_reservations", {"booking_id": booking(7), "id": 7}, "reservation_pkey"),
    case(
        "subject_delivery",
        {"destination": "guestly", "key": booking(7), "id": None},
        "delivery_key",
    ),
    case(
        "timeline_events",
        {"booking_id": booking(7), "payment_intent_id": "pi_7", "event_id": None},
        "inbox_event_booking",
        "inbox_event_payment_intent",
    ),
    case("timeline_requests", {"id": 7}, "request_delivery"),
    case("timeline_attempts", {"id": 7}, "attempt_pkey"),
    case("timeline_actions", {"id": 7}),
    case("requeue_failed", {"code": None, "since": None}, reads=Reads.UNFINISHED),
    case(
        "requeue_plan",
        lambda data: {"destinations": ["guestly"] * 10, "keys": data.claimed_bookings[2]},
        "delivery_key",
        "bookings_pkey",
    ),
    case("requeue", lambda data: {**_shown(data), "actor": "anna"}, "delivery_pkey"),
    case("booking_deliveries", lambda data: {"keys": data.claimed_bookings[2]}, "delivery_key"),
    case("requeue_progress", lambda data: {"ids": data.claimed_bookings[0]}, "delivery_pkey"),
    case(
        "request_never_requested",
        lambda data: {
            "ids": [booking(9 * data.scale + 1)],
            "statuses": ["confirmed"],
            "actor": "anna",
        },
    ),
    case("event_named", {"ref": "evt_7"}, "inbox_event_pkey"),
    case("event_facts", {"id": "evt_7"}, "inbox_event_pkey"),
    case("events_about_payment", {"ref": "pi_7", "limit": 5}, "inbox_event_payment_intent"),
    case("doubtful_delivery", {"booking_id": booking(7)}, "delivery_key"),
    case(
        "alert_lock",
        lambda data: {
            "ids": [1],
            "kinds": ["sync_failed"],
            "fingerprints": ["failure-1"],
            "deliveries": data.failed,
        },
        "alert_delivery_open",
    ),
    case(
        "alert_name_deliveries",
        lambda data: {"alert_ids": [1] * 10, "delivery_ids": data.claimed_bookings[0]},
        "delivery_pkey",
    ),
    case(
        "alert_heal_deliveries",
        lambda data: {"deliveries": data.failed, "ids": list(range(1, 21))},
        "alert_delivery_open",
    ),
    case("alert_resolve_healed", {"ids": [1, 2]}),
    case("alert_open_of_gate", {"destination": "guestly"}),
)
