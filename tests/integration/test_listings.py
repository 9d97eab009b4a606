"""Listings: set, imported, listed, and checked against the PMS."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox_worker.database import Connection
from outbox_worker.errors import RefusedError, SettingsError
from outbox_worker.operations.listings import (
    ListingChange,
    ListingCheck,
    check_listings,
    list_listings,
    set_listings,
)
from outbox_worker.pms.port import PmsName
from outbox_worker.settings import DatabaseSettings, Secret, SettingsReader
from outbox_worker.wiring import open_pms
from tests.support_engine import insert_booking
from tests.support_simulator import LISTINGS, start_simulator

GUESTLY = PmsName.GUESTLY

#: Guestly's adapter keeps nothing there.
NO_DATABASE = DatabaseSettings(url=Secret(""), listen_url=Secret(""))


async def set_all(conn: Connection, **wanted: str) -> tuple[ListingChange, ...]:
    slugs = {slug.replace("_", "-"): listing_id for slug, listing_id in wanted.items()}
    return await set_listings(conn, slugs, pms=GUESTLY, actor="anna")


async def check_all(conn: Connection, url: str, key: str) -> list[ListingCheck]:
    sync = SettingsReader({"GUESTLY_API_URL": url, "GUESTLY_API_KEY": key}).sync()
    async with open_pms(sync, NO_DATABASE, connections=1) as pms:
        assert pms is not None
        rows = await list_listings(conn, pms=GUESTLY)
        return [each async for each in check_listings(conn, rows, pms=pms, currency="EUR")]


async def a_property(conn: Connection, slug: str, *, active: bool = True) -> None:
    await conn.execute(
        "insert into properties (slug, name, is_active) values (%s, %s, %s)",
        [slug, slug.title(), active],
    )


async def test_a_listing_is_set_changed_and_left_alone(conn: Connection) -> None:
    await a_property(conn, "sea-loft")

    for listing_id, previous in (("1", None), ("2", "1"), ("2", "2")):
        [change] = await set_all(conn, sea_loft=listing_id)
        assert (change.listing_id, change.previous, change.known) == (listing_id, previous, True)

    cursor = await conn.execute("select actor, action, target from outbox.operator_action")
    actions = await cursor.fetchall()
    assert actions == [{"actor": "anna", "action": "set listing", "target": "sea-loft"}] * 2


async def test_an_unknown_slug_is_set_and_said(conn: Connection) -> None:
    [change] = await set_all(conn, see_loft="1")

    assert not change.known


async def test_it_tells_which_refused_bookings_can_be_sent_now(conn: Connection) -> None:
    for name, day, code in (
        ("LA-late", "2027-05-03", "listing_missing"),
        ("LA-soon", "2027-05-01", "listing_missing"),
        ("LA-other", "2027-05-01", "http_503"),
    ):
        booking = await insert_booking(
            conn, booking_reference=name, check_in_date=day, check_out_date="2027-05-09"
        )
        await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
        await conn.execute(
            "update outbox.delivery set failed_at = now(), due_at = null, last_error_code = %s"
            " where key = %s",
            [code, str(booking)],
        )

    [change] = await set_all(conn, sea_loft="1")

    assert change.unblocks == ("LA-soon", "LA-late")


async def test_all_are_set_or_none(conn: Connection) -> None:
    for bad in ("", " ", "a\tb", "x" * 201, "\ud800"):
        with pytest.raises(RefusedError, match="not usable"):
            await set_all(conn, sea_loft="1", old_mill=bad)

    assert await list_listings(conn, pms=GUESTLY) == ()


async def test_properties_without_a_listing_and_listings_without_a_property_are_listed(
    conn: Connection,
) -> None:
    await a_property(conn, "sea-loft")
    await a_property(conn, "old-mill", active=False)
    await set_all(conn, sea_loft="1", see_loft="2")

    rows = await list_listings(conn, pms=GUESTLY)

    assert [(row.slug, row.known, row.active, row.listing_id) for row in rows] == [
        ("old-mill", True, False, None),
        ("sea-loft", True, True, "1"),
        ("see-loft", False, False, "2"),
    ]


async def test_the_pms_is_asked_for_each_and_its_titles_are_kept(
    conn: Connection, tmp_path: Path
) -> None:
    known, title = next(iter(LISTINGS.items()))
    for slug in ("sea-loft", "old-mill", "new-barn"):
        await a_property(conn, slug)
    await a_property(conn, "closed", active=False)
    await set_all(conn, sea_loft=known, old_mill="nowhere", see_loft=known)

    with start_simulator(tmp_path) as simulator:
        sync = SettingsReader(
            {"GUESTLY_API_URL": simulator.url, "GUESTLY_API_KEY": simulator.api_key or "k"}
        ).sync()
        async with open_pms(sync, NO_DATABASE, connections=1) as pms:
            assert pms is not None
            rows = await list_listings(conn, pms=GUESTLY)
            checks = [each async for each in check_listings(conn, rows, pms=pms, currency="EUR")]

    assert {each.slug: each.fault for each in checks} == {
        "new-barn": "no listing is set: its bookings are refused",
        "old-mill": "the PMS has no such listing",
        "sea-loft": None,
        "see-loft": "the site has no property with this slug",
    }
    assert {each.slug: each.mend for each in checks} == {
        "new-barn": "outbox listings set new-barn LISTING_ID",
        "old-mill": "outbox listings set old-mill LISTING_ID",
        "sea-loft": None,
        "see-loft": "outbox listings remove see-loft",
    }
    kept = {row.slug: row.title for row in await list_listings(conn, pms=GUESTLY)}
    assert kept["sea-loft"] == title
    assert kept["old-mill"] is None


async def test_two_properties_on_one_listing_are_said_and_wrong(
    conn: Connection, tmp_path: Path
) -> None:
    known = next(iter(LISTINGS))
    for slug in ("sea-loft", "old-mill"):
        await a_property(conn, slug)
    await set_all(conn, sea_loft=known)

    [change] = await set_all(conn, old_mill=known)

    assert change.shared_with == ("sea-loft",)
    with start_simulator(tmp_path) as simulator:
        checks = await check_all(conn, simulator.url, simulator.api_key or "k")
    assert [check.mend for check in checks] == [
        f"outbox listings set {slug} LISTING_ID" for slug in ("old-mill", "sea-loft")
    ]
    assert [check.fault for check in checks] == [
        f"{other} has the same listing: both would block one calendar"
        for other in ("sea-loft", "old-mill")
    ]


async def test_a_wrong_key_ends_the_check_at_the_first_listing(
    conn: Connection, tmp_path: Path
) -> None:
    await set_all(conn, sea_loft="1", old_mill="2")

    with (
        start_simulator(tmp_path) as simulator,
        pytest.raises(SettingsError, match="1 setting is wrong") as caught,
    ):
        await check_all(conn, simulator.url, "not-the-key")

    [fault] = caught.value.faults
    assert fault.startswith("GUESTLY_API_URL or GUESTLY_API_KEY: ")


async def test_a_pms_that_cannot_be_reached_is_said_for_each(conn: Connection) -> None:
    await a_property(conn, "sea-loft")
    await set_all(conn, sea_loft="1")
    sync = SettingsReader({"GUESTLY_API_URL": "http://127.0.0.1:9", "GUESTLY_API_KEY": "k"}).sync()

    async with open_pms(sync, NO_DATABASE, connections=1) as pms:
        assert pms is not None
        rows = await list_listings(conn, pms=GUESTLY)
        [check] = [each async for each in check_listings(conn, rows, pms=pms, currency="EUR")]

    assert check.fault is not None
    assert check.fault.startswith("not checked: ")
