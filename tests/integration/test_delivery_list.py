"""`outbox list`: which deliveries, in which order, a page at a time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from outbox_worker.database import Connection
from outbox_worker.operations.delivery_list import (
    DeliveryPage,
    Filters,
    Place,
    list_deliveries,
    place_of,
)
from outbox_worker.operations.fleet import SyncMode, read_fleet
from outbox_worker.operations.pages import COUNT_LIMIT
from outbox_worker.operations.rows import snapshot_from
from outbox_worker.outbox.delivery import Destination, State, state_of
from outbox_worker.pms.port import PmsName
from outbox_worker.sql import query
from tests.support_engine import claim_all, insert_booking, owe
from tests.support_requeue import given_up, requested, synced
from tests.support_status import rows_in_every_state

ON = SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY)
OFF = SyncMode(enabled=False, test_mode=True, pms=PmsName.GUESTLY)
EVERY = Filters(states=tuple(State))


async def page(
    conn: Connection,
    filters: Filters = Filters(),  # noqa: B008 - frozen
    *,
    mode: SyncMode = ON,
    limit: int = 100,
    after: str | None = None,
) -> DeliveryPage:
    fleet = await read_fleet(conn, mode)
    place = None if after is None else place_of(after)
    return await list_deliveries(conn, filters, fleet, limit=limit, after=place)


async def refs(conn: Connection, filters: Filters = EVERY) -> list[str]:
    return [each.ref for each in (await page(conn, filters)).rows]


async def test_an_empty_database_has_an_empty_page(conn: Connection) -> None:
    found = await page(conn, EVERY)

    assert (found.rows, found.more, found.more_at_least, found.after) == ((), 0, False, None)


async def test_the_state_of_a_row_is_the_one_that_the_rule_says(conn: Connection) -> None:
    """Every combination of columns that the table admits, named both ways."""
    rows = await rows_in_every_state(conn)
    for mode in (ON, OFF):
        held = set() if mode.enabled else {"guestly"}
        expected = {
            row["id"]: state_of(snapshot_from(row), now=row["now"], held=row["destination"] in held)
            for row in rows
        }
        listed = (await page(conn, EVERY, mode=mode, limit=1000)).rows
        assert {each.id: each.state for each in listed} == expected
        numbers = Counter(each.state for each in listed)
        assert set(numbers) >= set(State) - {State.HELD}
        # what is not on the page is counted by the same rule
        for state in set(State) - {State.SYNCED}:
            first = await page(conn, Filters(states=(state,)), mode=mode, limit=1)
            assert len(first.rows) + first.more == numbers[state], state


async def test_the_soonest_check_in_comes_first_and_what_is_synced_last(conn: Connection) -> None:
    await synced(conn, booking_reference="LA-synced", check_in_date="2027-01-01")
    await given_up(conn, booking_reference="LA-later", check_in_date="2027-03-01")
    await requested(conn, booking_reference="LA-soon", check_in_date="2027-02-01")
    await requested(conn, booking_reference="LA-never", check_in_date="infinity")
    await synced(conn, booking_reference="LA-newest")

    bookings = Filters(states=tuple(State), destinations=(Destination.GUESTLY,))
    assert await refs(conn, bookings) == [
        "LA-soon",
        "LA-later",
        "LA-never",
        "LA-newest",
        "LA-synced",
    ]


async def test_without_a_state_only_what_is_not_done_is_listed(conn: Connection) -> None:
    await synced(conn, booking_reference="LA-synced")
    await requested(conn, booking_reference="LA-owed")
    _, discarded = await requested(conn, booking_reference="LA-discarded")
    await conn.execute(
        "update outbox.delivery set due_at = null, discarded_at = now() where id = %s", [discarded]
    )

    assert await refs(conn, Filters()) == ["LA-owed"]
    assert await refs(conn, Filters(states=(State.DISCARDED,))) == ["LA-discarded"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_hold_every_row_once_and_say_how_many_follow(
    conn: Connection, limit: int
) -> None:
    for number in range(3):
        day = "infinity" if number == 2 else "2027-02-01"
        await requested(conn, booking_reference=f"LA-{number}", check_in_date=day)
        await synced(conn, booking_reference=f"LA-synced-{number}")
    whole = await refs(conn)
    seen: list[str] = []
    after: str | None = None
    while True:
        found = await page(conn, EVERY, limit=limit, after=after)
        seen += [each.ref for each in found.rows]
        assert found.more == len(whole) - len(seen)
        after = found.after
        if after is None:
            break

    assert seen == whole
    assert len(whole) == 6


@pytest.mark.parametrize(("beyond", "at_least"), [(0, False), (1, True)])
async def test_rows_are_counted_up_to_a_limit_and_what_is_beyond_it_is_said(
    conn: Connection, beyond: int, *, at_least: bool
) -> None:
    await conn.execute(
        "insert into outbox.delivery (destination, key, requested, due_at)"
        " select 'email', n::text, 1, now() from generate_series(1, %s) n",
        [2 + COUNT_LIMIT + beyond],
    )

    found = await page(conn, limit=2)

    assert (len(found.rows), found.more, found.more_at_least) == (2, COUNT_LIMIT, at_least)
    rest = await page(conn, limit=2, after=found.after)
    assert (rest.more, rest.more_at_least) == (COUNT_LIMIT - 2 + beyond, False)


async def test_what_follows_a_page_is_counted_as_it_was_chosen(conn: Connection) -> None:
    codes = ("http_503", "http_503", "http_503", "listing_missing")
    rows = [(await given_up(conn, code=code))[1] for code in codes]
    await conn.execute(
        "update outbox.delivery set failed_at = '2026-01-01' where id = %s", rows[:1]
    )
    await synced(conn, mode="test")
    bookings = (Destination.GUESTLY,)

    for chosen, number in (
        (Filters(code="http_503"), 3),
        (Filters(destinations=bookings, since=datetime(2026, 6, 1, tzinfo=UTC)), 3),
        (Filters(destinations=bookings), 4),
        (Filters(destinations=(Destination.INBOX,)), 0),
        (Filters(tested=True), 0),
    ):
        first = await page(conn, chosen, limit=1)
        assert len(first.rows) + first.more == number, chosen


@pytest.mark.parametrize("text", ["", "7", "2027-02-30.1", "synced.", "soon.1", "2027-02-01.1.2"])
def test_a_place_that_no_page_ended_at_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no page|day is out of range|must be in"):
        place_of(text)


def test_a_place_is_read_as_it_was_written() -> None:
    assert place_of("synced.7") == Place(synced=True, day=None, id=7)
    assert place_of("none.7") == Place(synced=False, day=None, id=7)


async def test_rows_are_chosen_by_error_destination_and_age(conn: Connection) -> None:
    await given_up(conn, booking_reference="LA-503", code="http_503")
    _, old = await given_up(conn, booking_reference="LA-old", code="listing_missing")
    await conn.execute("update outbox.delivery set failed_at = '2026-01-01' where id = %s", [old])
    await owe(conn, "evt_1")
    hour_ago = datetime.now(tz=UTC) - timedelta(hours=1)
    bookings = (Destination.GUESTLY,)

    assert await refs(conn, Filters(code="http_503")) == ["LA-503"]
    assert await refs(conn, Filters(destinations=bookings, since=hour_ago)) == ["LA-503"]
    assert await refs(conn, Filters(code="http_503", states=(State.SYNCED,))) == []
    [event] = (await page(conn, Filters(destinations=(Destination.INBOX,)))).rows
    assert (event.ref, event.key, event.state) == (str(event.id), "evt_1", State.WAITING)


async def test_what_only_test_mode_has_handled_is_marked_and_found(conn: Connection) -> None:
    await synced(conn, booking_reference="LA-test", mode="test")
    await synced(conn, booking_reference="LA-live")
    await requested(conn, booking_reference="LA-owed")

    everything = {each.ref: each.tested for each in (await page(conn, EVERY)).rows}
    assert everything == {"LA-test": True, "LA-live": False, "LA-owed": False}
    assert await refs(conn, Filters(states=tuple(State), tested=True)) == ["LA-test"]
    first = await page(conn, Filters(states=tuple(State), tested=True), limit=1)
    assert (first.more, first.after) == (0, None)


async def test_since_says_how_long_a_row_has_been_in_its_state(conn: Connection) -> None:
    await owe(conn, "evt_1")
    [claim] = await claim_all(conn)
    await conn.execute(
        "update outbox.delivery set claimed_at = now() - interval '5 seconds',"
        " requested_at = now() - interval '1 hour' where id = %s",
        [claim.id],
    )

    found = await page(conn)
    [row] = found.rows
    assert row.state is State.SENDING
    assert row.since is not None
    assert timedelta(seconds=5) <= found.now - row.since < timedelta(minutes=30)


async def test_a_key_that_is_no_booking_id_does_not_break_the_list(conn: Connection) -> None:
    await owe(conn, "garbage", Destination.GUESTLY)

    assert await refs(conn) == ["garbage"]


async def test_what_is_finished_is_not_read_to_find_what_is_not(conn: Connection) -> None:
    await conn.execute(
        "insert into outbox.delivery (destination, key, delivered, delivered_at)"
        " select 'guestly', i::text, 1, now() from generate_series(1, 20000) i"
    )
    await insert_booking(conn)
    await conn.execute("analyze outbox.delivery")
    common: dict[str, Any] = {
        "destinations": [str(each) for each in Destination], "since": None, "after_id": None,
        "limit": 50,
    }  # fmt: skip
    unfinished = {
        "states": ["failed"], "closed": [], "code": None, "tested": False, "after_day": None,
    }  # fmt: skip

    async def plan(name: str, parameters: dict[str, Any]) -> str:
        cursor = await conn.execute("explain " + query(name), parameters)
        return "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())

    for name in ("list_unfinished", "count_unfinished_rows"):
        found = await plan(name, {**common, **unfinished})
        assert "Seq Scan on delivery" not in found
        for index in ("delivery_due", "delivery_failed", "delivery_discarded"):
            assert index in found
    found = await plan("list_synced", common)
    assert "Seq Scan on delivery" not in found
    assert "delivery_pkey" in found
