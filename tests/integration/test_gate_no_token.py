"""Bookings that no call can be made for, for want of a token: whose attempt it is, and who is told.

The real handler and adapter with a source of tokens that says what a test has put into it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from outbox_worker.alerts.alert import AlertKind
from outbox_worker.database import Connection
from outbox_worker.handlers.booking import BookingHandler
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId, Destination, Reason
from outbox_worker.pms import guesty_token_words as words
from outbox_worker.pms.guesty import Guesty
from tests.support_engine import attempts_of, eventually, insert_booking, row_of
from tests.support_gate import allow_probe, circuit_state, gated_loop, open_alerts, probed
from tests.support_guesty_adapter import Tokens
from tests.support_loop import running
from tests.support_sync import handler

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def tokens() -> Tokens:
    made = Tokens()
    made.answer = words.failed("http_503", wait=timedelta(minutes=10), http_status=503)
    return made


@pytest.fixture
async def handling(tokens: Tokens) -> AsyncIterator[BookingHandler]:
    second = timedelta(seconds=1)
    adapter = Guesty(api_url=NOBODY, tokens=tokens, timeout=second, connections=2)
    yield handler(adapter)
    await adapter.aclose()


@pytest.fixture
async def delivery(conn: Connection) -> DeliveryId:
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', 'loft')"
    )
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE, reference="evt_1")
    found = await store.find(conn, destination=Destination.GUESTLY, key=str(booking))
    assert found is not None
    await conn.execute("update outbox.delivery set due_at = now() - interval '1 minute'")
    return found


async def test_one_booking_alone_shuts_the_gate_at_once_and_keeps_its_place(
    conn: Connection, database_url: str, handling: BookingHandler, delivery: DeliveryId
) -> None:
    before = await row_of(conn, delivery)
    async with running(gated_loop(database_url, handling), database_url):
        shut = await probed(conn, 1)
        assert await open_alerts(conn) == []
        for opens in (2, 3):
            await allow_probe(conn)
            await probed(conn, opens)
            assert await open_alerts(conn) == [AlertKind.CIRCUIT_OPEN]

    assert (shut["circuit_cause"], shut["circuit_code"]) == ("outage", "token_unavailable")
    after = await row_of(conn, delivery)
    assert (after["attempts"], after["due_at"], after["failed_at"]) == (0, before["due_at"], None)
    assert after["last_error_code"] == "token_unavailable"
    # the gate tells of the probes: an outage of hours must not fill one booking's history
    told = [(each["outcome"], each["error_code"]) for each in await attempts_of(conn, delivery)]
    assert told == [("waiting", "token_unavailable")]


async def test_no_probe_is_sent_before_a_token_may_be_requested_but_one_a_minute(
    conn: Connection,
    database_url: str,
    handling: BookingHandler,
    tokens: Tokens,
    delivery: DeliveryId,
) -> None:
    del delivery
    async with running(gated_loop(database_url, handling), database_url):
        far = await probed(conn, 1)
        tokens.answer = words.failed("http_503", wait=timedelta(seconds=30))
        await allow_probe(conn)
        near = await probed(conn, 2)
    for seen, seconds in ((far, 60), (near, 30)):
        rest = (seen["circuit_until"] - seen["updated_at"]).total_seconds()
        assert rest == pytest.approx(seconds, abs=1)


async def test_what_was_given_up_keeps_its_next_try_when_it_is_the_probe(
    conn: Connection, database_url: str, handling: BookingHandler, delivery: DeliveryId
) -> None:
    await conn.execute(
        "update outbox.delivery set failed_at = now(), attempts = 3,"
        " due_at = now() + interval '40 minutes'"
    )
    await conn.execute(
        "update outbox.destination set circuit = 'open', circuit_cause = 'outage',"
        " circuit_opens = 1, circuit_until = now() where destination = 'guestly'"
    )
    before = await row_of(conn, delivery)
    async with running(gated_loop(database_url, handling), database_url):
        await probed(conn, 2)
    after = await row_of(conn, delivery)
    assert (after["failed_at"], after["due_at"]) == (before["failed_at"], before["due_at"])


async def test_waiting_for_the_token_of_another_worker_costs_nothing_and_shuts_nothing(
    conn: Connection,
    database_url: str,
    handling: BookingHandler,
    tokens: Tokens,
    delivery: DeliveryId,
) -> None:
    tokens.answer = words.not_there_yet()
    async with running(gated_loop(database_url, handling), database_url):

        async def waited() -> bool:
            return len(await attempts_of(conn, delivery)) > 3

        await eventually(waited, "more waits than a round has attempts")
    assert {each["outcome"] for each in await attempts_of(conn, delivery)} == {"waiting"}
    assert (await row_of(conn, delivery))["failed_at"] is None
    assert await circuit_state(conn) == "closed"


async def test_a_token_that_postgres_does_not_tell_is_an_attempt_so_that_a_person_hears_of_it(
    conn: Connection,
    database_url: str,
    handling: BookingHandler,
    tokens: Tokens,
    delivery: DeliveryId,
) -> None:
    tokens.answer = words.unreadable(TimeoutError())
    async with running(gated_loop(database_url, handling), database_url):

        async def gave_up() -> bool:
            return (await row_of(conn, delivery))["failed_at"] is not None

        await eventually(gave_up, "three attempts")
    assert await open_alerts(conn) == [AlertKind.SYNC_FAILED]
