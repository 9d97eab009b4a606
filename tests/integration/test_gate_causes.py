"""A gate that stays shut for one cause after the other: who is told what, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.database import Connection, connect
from outbox_worker.handlers.booking import BookingHandler
from outbox_worker.handlers.effect import Result
from outbox_worker.operations.discard import discard, plan_discard
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.slices import Request
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination, Reason
from outbox_worker.outbox.outcome import AttemptOutcome, Wait
from outbox_worker.pms import guesty_token_words as words
from outbox_worker.pms.guesty import Guesty
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.single import deliver_one
from tests.support_alert import fetch, raised, versions
from tests.support_engine import LEASE, claim_all, eventually, insert_booking, owe
from tests.support_gate import (
    Destined,
    allow_probe,
    circuit_state,
    gated_loop,
    keeper_of,
    open_alerts,
    open_circuit,
    owe_bookings,
    probed,
)
from tests.support_guesty_adapter import Tokens
from tests.support_loop import running
from tests.support_sync import handler

QUOTA = words.quota_spent(5, datetime(2026, 11, 23, 9, 0, tzinfo=UTC))
WRONG = words.failed("credentials_refused", wait=timedelta(hours=6))
DOWN = words.failed("http_503", wait=timedelta(minutes=10), http_status=503)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
async def handling(tokens: Tokens) -> AsyncIterator[BookingHandler]:
    second = timedelta(seconds=1)
    adapter = Guesty(api_url="http://127.0.0.1:9", tokens=tokens, timeout=second, connections=2)
    yield handler(adapter)
    await adapter.aclose()


@pytest.fixture
async def booking(conn: Connection) -> UUID:
    """One that is to be sent."""
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', 'loft')"
    )
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE, reference="evt_1")
    return booking


async def incidents(conn: Connection) -> list[str]:
    """What is open, by what makes two reports one incident."""
    rows = await fetch(
        conn,
        "select fingerprint from outbox.alert where resolved_at is null order by fingerprint",
    )
    return [row["fingerprint"] for row in rows]


async def messages_asked(conn: Connection) -> list[int]:
    """How often a mail was asked for, of each alert."""
    return sorted((await versions(conn)).values())


async def opens(conn: Connection, database_url: str) -> None:
    """The PMS takes what is owed, and the gate opens."""
    await allow_probe(conn)
    async with running(
        gated_loop(database_url, Destined().handler(), owner="worker-z"), database_url
    ):

        async def solved() -> bool:
            return await circuit_state(conn) == "closed" and await incidents(conn) == []

        await eventually(solved, "the end of all alerts")


async def test_causes_that_take_turns_are_told_once_each_until_the_gate_opens(
    conn: Connection, database_url: str, handling: BookingHandler, tokens: Tokens, booking: UUID
) -> None:
    del booking
    tokens.answer = QUOTA
    async with running(gated_loop(database_url, handling), database_url):
        await probed(conn, 1)
        assert await incidents(conn) == ["guestly:token_quota"]
        for turn in range(2, 7):
            tokens.answer = QUOTA if turn % 2 else WRONG
            await allow_probe(conn)
            shut = await probed(conn, turn)
            assert shut["circuit_code"] == tokens.answer.code

    assert await incidents(conn) == ["guestly:credentials_refused", "guestly:token_quota"]
    assert await messages_asked(conn) == [1, 1]
    await opens(conn, database_url)
    assert await messages_asked(conn) == [2, 2], "told to be solved"


async def test_a_quota_that_failing_requests_have_spent_is_the_same_incident(
    conn: Connection, database_url: str, handling: BookingHandler, tokens: Tokens, booking: UUID
) -> None:
    tokens.answer = DOWN
    async with running(gated_loop(database_url, handling), database_url):
        await probed(conn, 1)
        for turn, answer in ((2, DOWN), (3, QUOTA), (4, DOWN), (5, QUOTA)):
            tokens.answer = answer
            await allow_probe(conn)
            await probed(conn, turn)

    assert await incidents(conn) == ["guestly:token_unavailable"]
    assert await messages_asked(conn) == [1]
    delivery = await store.find(conn, destination=Destination.GUESTLY, key=str(booking))
    assert delivery is not None
    await deliver_one(
        conn,
        delivery,
        handler=handling,
        gatekeeper=keeper_of("a-person"),
        lease=LEASE,
        patience=timedelta(seconds=1),
    )
    assert await incidents(conn) == ["guestly:token_unavailable"], "it names the booking now"
    (alert,) = await fetch(conn, "select facts ->> 'code' as code from outbox.alert")
    assert alert["code"] == "token_quota"
    await opens(conn, database_url)


async def test_after_a_spent_quota_a_failing_request_is_the_same_incident(
    conn: Connection, database_url: str, handling: BookingHandler, tokens: Tokens, booking: UUID
) -> None:
    del booking
    tokens.answer = QUOTA
    async with running(gated_loop(database_url, handling), database_url):
        await probed(conn, 1)
        tokens.answer = DOWN
        await allow_probe(conn)
        await probed(conn, 2)

    assert await incidents(conn) == ["guestly:token_quota"]
    assert await messages_asked(conn) == [1]


async def test_a_refusal_that_nobody_was_told_of_is_told_at_the_next_probe(
    conn: Connection, database_url: str, handling: BookingHandler, tokens: Tokens, booking: UUID
) -> None:
    del booking
    # as after a crash between the gate and the result that tells it
    await open_circuit(conn, cause="misconfigured", rest="-1 second")
    tokens.answer = WRONG
    async with running(gated_loop(database_url, handling), database_url):
        await probed(conn, 2)

    assert await open_alerts(conn) == [AlertKind.MISCONFIGURED]


async def test_two_workers_that_notice_another_cause_at_once_tell_it_once(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 2)
    claims = await claim_all(conn, destination=Destination.GUESTLY)
    await open_circuit(conn, cause="misconfigured")
    refused = Wait(
        due_in=timedelta(0),
        record=AttemptOutcome.MISCONFIGURED,
        code=words.CREDENTIALS_REFUSED,
        message="",
        everybodys=True,
    )
    keepers = [keeper_of(owner) for owner in ("worker-a", "worker-b")]
    others = [await connect(database_url, application_name=each.owner) for each in keepers]
    try:
        for keeper, claim in zip(keepers, claims, strict=True):
            seen = Finished(claim=claim, result=Result(outcome=refused), seconds=0.1, calls=0)
            keeper.saw(seen, conclusive=True)
        for _ in range(2):  # who finds the gate locked tells it next time
            await asyncio.gather(
                *(keeper.tell(other) for keeper, other in zip(keepers, others, strict=True))
            )
    finally:
        for other in others:
            await other.close()

    assert await incidents(conn) == ["guestly:credentials_refused"]
    assert await messages_asked(conn) == [1]
    (alert,) = await fetch(conn, "select count from outbox.alert")
    assert alert["count"] == 2, "both have reported it"


async def test_an_open_gate_ends_no_alert_about_an_address_of_one_booking(
    conn: Connection, database_url: str
) -> None:
    waiting, _ = await owe_bookings(conn, 2)
    await conn.execute(
        "update outbox.delivery set due_at = now() + interval '1 hour' where id = %s", [waiting]
    )
    wrong = NewAlert(kind=AlertKind.MISCONFIGURED, fingerprint="guestly:http_404")
    await raised(conn, waiting, alert=wrong)
    await open_circuit(conn, rest="-1 second")
    async with running(gated_loop(database_url, Destined().handler()), database_url):

        async def open_again() -> bool:
            return await circuit_state(conn) == "closed"

        await eventually(open_again, "an open gate")
    assert await incidents(conn) == ["guestly:http_404"]


async def test_a_discarded_booking_ends_no_alert_about_what_keeps_the_gate_shut(
    conn: Connection, database_url: str, handling: BookingHandler, tokens: Tokens, booking: UUID
) -> None:
    tokens.answer = WRONG
    async with running(gated_loop(database_url, handling), database_url):
        await probed(conn, 1)
    named = await plan_discard(
        conn, [Target(subject=Subject.BOOKING, key=str(booking), name=str(booking))]
    )
    done = await discard(conn, named, Request(actor="zoe", target=str(booking), reason="tests"))

    assert len(done.discarded) == 1
    assert await incidents(conn) == ["guestly:credentials_refused"]
    assert await messages_asked(conn) == [1], "told to be solved although nothing is"
    await owe(conn, "another", Destination.GUESTLY)
    await opens(conn, database_url)
    assert await messages_asked(conn) == [2]


async def test_what_the_version_before_told_of_a_shut_gate_ends_when_it_opens(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 1)
    await open_circuit(conn, rest="-1 second")
    for kind, fingerprint in (
        (AlertKind.MISCONFIGURED, "guestly"),
        (AlertKind.CIRCUIT_OPEN, "guestly"),
        (AlertKind.CIRCUIT_OPEN, "guestly:rate_limited"),
        (AlertKind.SYNC_FAILED, "guestly:http_503"),
    ):
        await raised(conn, alert=NewAlert(kind=kind, fingerprint=fingerprint))
    async with running(gated_loop(database_url, Destined().handler()), database_url):

        async def open_again() -> bool:
            return await circuit_state(conn) == "closed"

        await eventually(open_again, "an open gate")
    assert await incidents(conn) == ["guestly:http_503", "guestly:rate_limited"]
