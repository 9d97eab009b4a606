"""What the Guesty adapter sends, call by call, and which answers prove what it holds."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from outbox_worker.pms import exact_json, guesty_body, guesty_parts
from outbox_worker.pms.guesty_parts import WRITABLE, Part
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Held,
    Parts,
    Pms,
    PmsName,
    Rejected,
    Unavailable,
    Unsupported,
)
from tests.support_guesty_adapter import (
    CALLS,
    DETAIL,
    REFERENCE,
    RESERVATION_ID,
    WRITES,
    Call,
    a_stay,
    cancel,
    changed,
    create,
    created,
    guesty,
    item,
    known,
    outcome,
    update,
)
from tests.support_scripted import answering, json_reply, reply

PATH = f"/v1/reservations-v3/{RESERVATION_ID}"
TARGET = guesty_parts.wanted(a_stay())
CANCELED = guesty_parts.status("canceled")
REFUSED = json_reply(400, {"error": {"code": "VALIDATION_ERROR", "message": "Not cancellable"}})


async def written(held: Parts, *, shown: Parts | None = None, **changes: Any) -> tuple[Any, Any]:
    """What an update came to, and the request that it made; what is shown is shown in doubt."""
    async with guesty(answering(json_reply(200, changed()))) as (pms, server):
        result = await pms.update(
            RESERVATION_ID,
            a_stay(**changes),
            held=held,
            shown=shown,
            doubtful=shown is not None,
            idempotency_key="k",
        )
        (request,) = server.requests
        return result, request


# What is sent


async def test_it_is_the_pms_of_the_port() -> None:
    async with guesty(answering(reply(200))) as (pms, _):
        port: Pms = pms
        assert port.name is PmsName.GUESTY


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_carries_the_token_and_no_key(call: Call) -> None:
    async with guesty(answering(reply(500))) as (pms, server):
        await call(pms)
        (request,) = server.requests
    assert request.headers["authorization"] == "Bearer secret-1"
    assert "idempotency-key" not in request.headers
    assert ("content-type" in request.headers) is (call in WRITES)


async def test_a_create_sends_the_stay_once_with_exact_amounts() -> None:
    async with guesty(answering(json_reply(201, created()))) as (pms, server):
        await create(pms)
        (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/v1/reservations-v3")
    assert request.json() == json.loads(exact_json.encode(guesty_body.creation(a_stay())))
    assert b'"accommodationFare": 1150.25, "cleaningFee": 90.25' in request.body


async def test_reads_are_encoded_and_have_no_body() -> None:
    async with guesty(answering(json_reply(200, {"results": []}))) as (pms, server):
        await pms.find("LA 1&limit=0")
        await pms.reservation("r/1")
        await pms.listing("l/1")
        targets = [(request.method, request.target, request.body) for request in server.requests]
    assert targets == [
        ("GET", "/v1/reservations-v3/search?filter%5BconfirmationCode%5D=LA%201%26limit%3D0", b""),
        ("GET", "/v1/reservations-v3?reservationIds%5B0%5D=r%2F1", b""),
        ("GET", "/v1/listings/l%2F1", b""),
    ]


@pytest.mark.parametrize(
    ("part", "segment"),
    [
        (Part.LISTING, "relocate"),
        (Part.DATES, "dates"),
        (Part.GUESTS, "guests"),
        (Part.STATUS, "status"),
        (Part.NOTES, "notes"),
    ],
)
async def test_the_part_that_differs_is_written_by_its_own_call(part: Part, segment: str) -> None:
    result, request = await written({**TARGET, part: "old"})
    assert (request.method, request.target) == ("PUT", f"{PATH}/{segment}")
    assert request.json() == guesty_body.change(part, a_stay())[1]
    repriced = segment in {"relocate", "dates", "guests"}
    record = {name: digest for name, digest in TARGET.items() if not repriced or name != "fare"}
    assert result == Held(
        reservation_id=RESERVATION_ID,
        existed=True,
        parts=record,
        more=False,
        repriced=repriced,
        http_status=200,
    )


@pytest.mark.parametrize("reference", ["", "x" * 51, "LA-1,LA-2"])
async def test_a_reference_that_could_not_be_found_again_is_refused_before_any_call(
    reference: str,
) -> None:
    async with guesty(answering(reply(200))) as (pms, server):
        for result in (
            await pms.find(reference),
            await pms.create(a_stay(reference=reference), idempotency_key="k"),
        ):
            assert isinstance(result, Rejected)
            assert result.code in {"reference_missing", "reference_invalid"}
        assert server.requests == []


# A create


@pytest.mark.parametrize("status", [200, 201])
async def test_a_created_reservation_is_held_and_its_notes_are_left(status: int) -> None:
    result = await outcome(create, json_reply(status, created()))
    record = {name: digest for name, digest in TARGET.items() if name != "notes"}
    assert result == Held(
        reservation_id=RESERVATION_ID,
        existed=False,
        parts=record,
        more=True,
        http_status=status,
    )


async def test_a_create_without_notes_is_complete() -> None:
    async with guesty(answering(json_reply(201, created()))) as (pms, _):
        result = await pms.create(a_stay(notes=""), idempotency_key="k")
    assert isinstance(result, Held)
    assert result.more is False


async def test_a_create_that_shows_another_status_leaves_the_status_to_be_written() -> None:
    result = await outcome(create, json_reply(201, created(status="reserved")))
    assert isinstance(result, Held)
    assert result.parts["status"] == guesty_parts.status("reserved")
    assert guesty_parts.next_step(result.parts, TARGET) == guesty_parts.Write(part=Part.STATUS)


# A change


async def test_a_changed_booking_is_written_part_by_part_until_nothing_is_left() -> None:
    detail = dataclasses.replace(DETAIL, adults=3)
    changes: dict[str, Any] = {
        "listing_id": "another",
        "check_out": date(2026, 12, 6),
        "detail": detail,
        "notes": "Quiet room",
    }
    held: Parts = TARGET
    segments = []
    more = True
    while more:
        result, request = await written(held, **changes)
        assert isinstance(result, Held)
        segments.append(request.target.rpartition("/")[2])
        held, more = result.parts, result.more
    assert segments == ["relocate", "dates", "guests", "notes"]
    assert "fare" not in held


async def test_what_is_on_record_is_not_written_again_unless_it_proves_nothing() -> None:
    async with guesty(answering(reply(500))) as (pms, server):
        result = await pms.update(
            RESERVATION_ID, a_stay(), held=known(), shown=None, idempotency_key="k"
        )
        assert server.requests == []
    assert result == Held(reservation_id=RESERVATION_ID, existed=True, parts=known())
    held: Parts = {"contact": known()["contact"]}  # a doubt, and a read that hides the rest
    segments = []
    for part in WRITABLE:
        written_again, request = await written(held)
        assert isinstance(written_again, Held)
        assert written_again.more is (part is not Part.NOTES)
        segments.append(request.target.rpartition("/")[2])
        held = written_again.parts
    assert segments == ["relocate", "dates", "guests", "status", "notes"]


@pytest.mark.parametrize(
    "changes",
    [{}, {"guest_email": "zoe@example.com"}, {"notes": "A cot"}, {"check_out": date(2028, 1, 1)}],
    ids=["nothing is left", "what no call can change", "notes", "other dates"],
)
@pytest.mark.parametrize("doubtful", [True, False])
async def test_a_price_that_an_unknown_write_has_set_is_told_before_another_call_is_made(
    changes: dict[str, Any], doubtful: bool
) -> None:
    shown = {part: known()[part] for part in guesty_parts.SHOWN}
    before = known(dates="old") if doubtful else known()
    if not doubtful:
        shown["dates"] = "changed by somebody else"
        before = {part: digest for part, digest in before.items() if part != "guests"}
    async with guesty(answering(reply(400))) as (pms, server):
        result = await pms.update(
            RESERVATION_ID,
            a_stay(**changes),
            held=before,
            shown=shown,
            doubtful=doubtful,
            idempotency_key="k",
        )
        assert server.requests == []
    assert isinstance(result, Held)
    assert result.repriced
    assert "fare" not in result.parts
    assert result.parts["contact"] == known()["contact"]
    step = guesty_parts.next_step(result.parts, guesty_parts.wanted(a_stay(**changes)))
    assert result.more is not isinstance(step, guesty_parts.Complete)


async def test_what_a_read_shows_is_not_written_again_but_for_the_notes() -> None:
    shown = {part.value: known()[part] for part in WRITABLE if part is not Part.NOTES}
    result, request = await written(known(notes="old"), shown=shown)
    assert request.target == f"{PATH}/notes"
    assert isinstance(result, Held)
    assert (result.more, result.repriced) == (False, False)
    assert result.parts == known()


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"fare": Decimal("1300.00")}, "fare_fixed", "1300.00 EUR"),
        ({"guest_email": "zoe@example.com"}, "contact_fixed", "e-mail"),
        (
            {"fare": Decimal("1300.00"), "guest_phone": None},
            "fare_and_contact_fixed",
            "the price (1300.00 EUR in all) and the guest's name, e-mail or phone",
        ),
    ],
)
async def test_what_no_call_can_change_is_a_persons_turn(
    changes: dict[str, Any], code: str, word: str
) -> None:
    async with guesty(answering(reply(500))) as (pms, server):
        result = await pms.update(
            RESERVATION_ID, a_stay(**changes), held=known(), shown=None, idempotency_key="k"
        )
        assert server.requests == []
    assert isinstance(result, Unsupported)
    assert result.code == code
    assert word in result.message
    assert f"outbox link {REFERENCE} {RESERVATION_ID}" in result.message
    assert "zoe" not in result.message.casefold()


async def test_what_can_be_written_is_written_before_a_person_is_called() -> None:
    result, request = await written(known(notes="old", fare="old"))
    assert request.target == f"{PATH}/notes"
    assert isinstance(result, Held)
    assert result.more is True


async def test_a_refused_change_that_guesty_holds_already_is_done() -> None:
    result = await outcome(update, REFUSED, json_reply(200, [item()]))
    assert isinstance(result, Held)
    assert (result.more, result.parts["notes"]) == (False, TARGET["notes"])
    other = await outcome(update, REFUSED, json_reply(200, [item(notes={"other": "x"})]))
    assert isinstance(other, Rejected)
    assert other.code == "validation_error"


# A cancellation


async def test_a_cancellation_sends_status_and_reason_alone() -> None:
    async with guesty(answering(json_reply(200, changed(status="canceled")))) as (pms, server):
        result = await cancel(pms)
        (request,) = server.requests
    assert (request.method, request.target) == ("PUT", f"{PATH}/status")
    assert request.json() == guesty_body.cancellation()
    assert result == Held(
        reservation_id=RESERVATION_ID, existed=True, parts={"status": CANCELED}, http_status=200
    )


async def test_a_cancellation_may_be_answered_with_the_status_before_it() -> None:
    result = await outcome(cancel, json_reply(200, changed(status="confirmed")))
    assert isinstance(result, Held)


async def test_a_refused_cancellation_of_what_is_cancelled_already_is_done() -> None:
    result = await outcome(cancel, REFUSED, json_reply(200, [item(status="canceled")]))
    assert isinstance(result, Held)


@pytest.mark.parametrize(
    "shown",
    [
        json_reply(200, [item()]),
        json_reply(200, []),
        json_reply(200, {}),
        json_reply(403, {"message": "Forbidden resource"}),
    ],
)
async def test_a_refused_cancellation_stands_unless_a_read_shows_otherwise(shown: bytes) -> None:
    result = await outcome(cancel, REFUSED, shown)
    assert isinstance(result, Rejected)
    assert result.code == "validation_error"


async def test_a_refused_cancellation_is_asked_again_where_the_read_failed() -> None:
    result = await outcome(cancel, REFUSED, reply(503))
    assert isinstance(result, Unavailable)
    assert result.code == "http_503"


NOT_FOUND = [
    reply(404),
    json_reply(404, "Reservation Not Found"),
    json_reply(400, "Reservation Not Found"),
]


@pytest.mark.parametrize("answer", NOT_FOUND)
async def test_a_reservation_is_gone_where_neither_a_change_nor_a_read_finds_it(
    answer: bytes,
) -> None:
    for call in (update, cancel):
        assert isinstance(await outcome(call, answer, json_reply(200, [])), Absent)


@pytest.mark.parametrize("answer", NOT_FOUND)
async def test_a_reservation_that_a_change_does_not_find_and_a_read_shows_is_asked_again(
    answer: bytes,
) -> None:
    before = json_reply(200, [item(notes={"other": "old"})])
    for call in (update, cancel):
        result = await outcome(call, answer, before)
        assert isinstance(result, Ambiguous)
        assert (result.code, result.outage, result.finished) == ("not_settled_yet", False, False)


async def test_a_change_that_was_not_found_and_yet_shows_is_done() -> None:
    assert isinstance(await outcome(update, NOT_FOUND[0], json_reply(200, [item()])), Held)
    canceled = json_reply(200, [item(status="canceled")])
    assert isinstance(await outcome(cancel, NOT_FOUND[0], canceled), Held)


@pytest.mark.parametrize("shown", [reply(503), reply(422), json_reply(403, {"message": "No"})])
async def test_a_change_that_was_not_found_proves_nothing_without_a_read(shown: bytes) -> None:
    for call in (update, cancel):
        result = await outcome(call, NOT_FOUND[0], shown)
        assert isinstance(result, Unavailable | Ambiguous), "never that it is gone"
