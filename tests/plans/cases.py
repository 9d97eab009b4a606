"""Which statement is measured with which values, and how much it may read: one line each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, LiteralString
from uuid import UUID

from tests.plans.dataset import OWNER, Dataset

Parameters = Mapping[str, Any]

_LATER = timedelta(minutes=5)


class Reads(StrEnum):
    """What the number of pages depends on."""

    #: On what the statement is about: as few as in a table of a hundredth of the size.
    NAMED = "the rows that it names"
    #: On a limit that it is given: what is finished is looked at up to there.
    LIMITED = "its limit"
    #: On what is unfinished: due, failed or waiting, never on what is finished.
    UNFINISHED = "what is not finished"
    #: On all rows: nothing but a person asks for it, and seldom.
    ALL = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One statement with one set of values.

    Args:
        query: Its name in the catalogue.
        label: What is special about the values.
        values: Its parameters, from the data.
        reads: What its cost may depend on.
        uses: Indexes that its plan must use, besides not reading a large table from end to end.
        before: What is done first in the same transaction.
        owed: Why it costs more on a table that was never analyzed, planned with known values;
            empty: it does not.
    """

    query: str
    label: str
    values: Callable[[Dataset], Parameters]
    reads: Reads
    uses: frozenset[str]
    before: LiteralString
    owed: str

    @property
    def name(self) -> str:
        return f"{self.query}: {self.label}" if self.label else self.query


def case(
    query: str,
    values: Callable[[Dataset], Parameters] | Parameters,
    *uses: str,
    label: str = "",
    reads: Reads = Reads.NAMED,
    before: LiteralString = "",
    owed: str = "",
) -> Case:
    return Case(
        query=query,
        label=label,
        values=values if callable(values) else lambda _: values,
        reads=reads,
        uses=frozenset(uses),
        before=before,
        owed=owed,
    )


def booking(number: int) -> str:
    """Id of a booking of the data."""
    return str(UUID(hashlib.md5(f"booking{number}".encode(), usedforsecurity=False).hexdigest()))


def _each(count: int, **values: Any) -> dict[str, list[Any]]:
    return {name: [value] * count for name, value in values.items()}


def _claim(*destinations: str, limit: int = 10) -> Parameters:
    columns = _each(len(destinations), limits=limit, max_attempts=8)
    return {"destinations": list(destinations), **columns, "owner": "worker-2", "lease": _LATER}


def _claim_one(delivery: int, *, probe: bool) -> Parameters:
    return {"id": delivery, "owner": "w", "lease": _LATER, "max_attempts": 8, "probe": probe}


def _request(**subject: Any) -> Parameters:
    return {**subject, "reason": "stripe", "reference": None, "traceparent": None}


def _held(ids: Sequence[int], fences: Sequence[int]) -> dict[str, Any]:
    columns = _each(len(ids), versions=1, rounds=1, numbers=1, outcomes="held", http_statuses=None)
    return {"ids": ids, "fences": fences, "owner": OWNER, **columns}


def _failed(ids: Sequence[int], fences: Sequence[int], *, give_up: bool) -> Parameters:
    columns = _each(
        len(ids),
        outcomes="failed",
        codes="unavailable",
        errors="It was refused.",
        ambiguous=False,
        settled_for=timedelta(0),
        give_up=give_up,
        again_in=_LATER,
        redrive_in=_LATER,
        probes=False,
    )
    return {**_held(ids, fences), **columns}


def _released(ids: Sequence[int], fences: Sequence[int]) -> Parameters:
    columns = _each(len(ids), due_in=_LATER, certain=True, outcomes=None, codes=None, errors=None)
    return {**_held(ids, fences), **columns}


def _reservations(data: Dataset) -> Parameters:
    ids = data.claimed_bookings[2]
    columns = _each(len(ids), pms="guestly", modes="live", fingerprints=None, parts="{}")
    numbered = [f"new-{number}" for number in range(len(ids))]
    return {"booking_ids": ids, "reservation_ids": numbered, **columns}


def _beat(worker: str) -> Parameters:
    return {
        "id": worker,
        "host": "host",
        "pid": 1,
        "version": "1",
        "pms": "guestly",
        "sync_enabled": True,
        "test_mode": False,
        "listening": True,
        "in_flight": 0,
    }


def _probe(destination: str) -> Parameters:
    return {"destination": destination, "owner": "w", "lease": _LATER, "quiet": _LATER}


def _circuit(**changes: Any) -> Parameters:
    names = (
        "failures row several opens until cause code opened_at probe_owner probe_until held_until"
        " held_since redrive_before"
    )
    empty = dict.fromkeys(names.split())
    counted = {"failures": 0, "opens": 0, "several": False}
    return {**empty, **counted, "destination": "guestly", "circuit": "closed", **changes}


#: Both destinations that hold a backlog, with nothing that pauses them and a circuit to be probed.
_PROBED: LiteralString = (
    "update outbox.destination set paused_at = null, circuit = 'open', circuit_cause = 'outage',"
    " circuit_until = now() where destination in ('guestly', 'chat')"
)
_RESUMED: LiteralString = "update outbox.destination set paused_at = null"

_NO_INDEX = "a table never analyzed, planned with known values: once per outage, and harmless"

ENGINE: tuple[Case, ...] = (
    case("claim", _claim("inbox"), "delivery_due", "delivery_pkey", label="ten"),
    case("claim", _claim("inbox", limit=100), "delivery_due", "delivery_pkey", label="a hundred"),
    case(
        "claim",
        _claim("guestly", "email", "chat"),
        label="nothing, beside a backlog that is paused",
    ),
    case("claim", _claim("guestly", "inbox", "email", "chat"), label="ten, beside that backlog"),
    case("claim", _claim("guestly", "inbox", limit=0), label="no free slot"),
    case(
        "claim",
        _claim("guestly", "chat"),
        "delivery_due",
        label="ten of the backlog, when it is resumed",
        before=_RESUMED,
    ),
    case(
        "claim_one",
        lambda data: _claim_one(data.due[0], probe=False),
        "delivery_pkey",
    ),
    case(
        "claim_one",
        lambda data: _claim_one(data.failed[0], probe=True),
        "delivery_pkey",
        label="a probe",
    ),
    case("request", _request(destination="inbox", key="evt_new"), label="new"),
    case("request", _request(destination="inbox", key="evt_7"), label="again"),
    case(
        "request_sync", lambda data: _request(booking_id=booking(8 * data.scale + 1)), label="new"
    ),
    case("request_sync", _request(booking_id=booking(7)), label="again"),
    case(
        "extend",
        lambda data: {**_held(*data.claimed), "lease": _LATER},
        "delivery_pkey",
    ),
    case("lock_deliveries", lambda data: {"ids": data.claimed_bookings[0]}, "delivery_pkey"),
    case("settle_held", lambda data: _held(*data.claimed), "delivery_pkey", label="events"),
    case(
        "settle_held",
        lambda data: _held(*data.claimed_bookings[:2]),
        "delivery_pkey",
        label="bookings",
    ),
    case(
        "settle_failed",
        lambda data: _failed(*data.claimed, give_up=False),
        "delivery_pkey",
        label="to be tried again",
    ),
    case(
        "settle_failed",
        lambda data: _failed(*data.claimed_bookings[:2], give_up=True),
        "delivery_pkey",
        label="given up",
    ),
    case("release", lambda data: _released(*data.claimed), "delivery_pkey"),
    case("hold_reservation", _reservations),
    case("delivery_by_id", lambda data: {"id": data.due[0]}, "delivery_pkey"),
    case("delivery_id_by_key", {"destination": "inbox", "key": "evt_7"}, "delivery_key"),
    case("beat", _beat("worker-1")),
    case("beat_last", {"id": "worker-1"}),
    case("gate_insert", {"destination": "guestly"}),
    case("gate_lock", {"destination": "guestly"}),
    case("gate_write_circuit", _circuit()),
    case("gate_write_rate", {"destination": "guestly", "usage": "{}"}),
    case(
        "gate_take_probe",
        _probe("guestly"),
        "delivery_due",
        before=_PROBED,
    ),
    case(
        "gate_take_probe",
        _probe("chat"),
        label="nothing to probe with but what waits",
        before=_PROBED,
    ),
    case("gate_probe_row", _probe("guestly"), "delivery_due"),
    case("gate_probe_row", _probe("chat"), label="nothing but what waits"),
    case("gate_allow_probe", {"destination": "guestly", "cause": None}),
    case("gate_pause", {"destination": "guestly", "length": None, "by": "anna", "reason": None}),
    case("gate_resume", {"destination": "guestly"}),
    case("gate_read_all", {}),
    case(
        "redrive_given_up",
        {"destination": "guestly", "before": datetime(2100, 1, 1, tzinfo=UTC), "limit": 10},
        "delivery_pkey",
        owed=_NO_INDEX,
    ),
    case(
        "redrive_given_up",
        {"destination": "guestly", "before": datetime(2000, 1, 1, tzinfo=UTC), "limit": 10},
        label="all were tried again",
        reads=Reads.UNFINISHED,
    ),
    case("gate_redriven", {"destination": "guestly", "before": datetime(2000, 1, 1, tzinfo=UTC)}),
    case("read_bookings", lambda data: {"ids": data.claimed_bookings[2]}, "bookings_pkey"),
    case(
        "read_bookings_for_sync",
        lambda data: {"ids": data.claimed_bookings[2], "pms": "guestly"},
        "bookings_pkey",
        "reservation_pkey",
    ),
    case(
        "read_cleaning_fees",
        lambda data: {"ids": data.claimed_bookings[2]},
    ),
    case("read_guest", {"id": booking(7)}, "bookings_pkey"),
    case("lock_bookings", lambda data: {"ids": data.claimed_bookings[2]}, "bookings_pkey"),
    case("lock_bookings_skip", lambda data: {"ids": data.claimed_bookings[2]}, "bookings_pkey"),
    case(
        "mirror_bookings",
        lambda data: {"ids": data.claimed_bookings[2]},
        "bookings_pkey",
        "delivery_key",
        "reservation_pkey",
    ),
)

#: Statements of the engine's files that read no table that grows.
EXEMPT: Mapping[str, str] = {
    "end_transaction": "is no query",
    "notify_in_time": "sends a notification",
    "notify": "sends a notification",
    "notify_probe": "sends a notification",
    "listen": "is no query",
    "session_process": "reads no table",
    "begin_ours": "sets two settings",
    "gate_begin": "sets a setting",
}
ENGINE_FILES = ("outbox.sql", "gate.sql", "bookings.sql")
