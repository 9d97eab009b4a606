"""Listings at the terminal: taken away and checked; and that nothing is missing, when it is so."""

from __future__ import annotations

import asyncio

from outbox_worker.database import Connection
from tests.support_cli import Ended, outbox, settings


async def run(database_url: str, *arguments: str, **environ: str) -> Ended:
    return await asyncio.to_thread(outbox, *arguments, environ=settings(database_url, **environ))


async def test_a_listing_is_taken_away_by_its_own_command_only(
    conn: Connection, database_url: str
) -> None:
    await run(database_url, "listings", "set", "sea-loft", "64f1")

    refused = await run(database_url, "listings", "set", "sea-loft", "None")
    assert refused.code == 7
    assert "outbox listings remove sea-loft" in refused.err

    for said in ("removed (was 64f1)", "had no listing (unchanged)"):
        removed = await run(database_url, "listings", "remove", "sea-loft")
        assert (removed.code, removed.err) == (0, "")
        assert f"sea-loft: {said}" in removed.out
    cursor = await conn.execute("select count(*) as n from outbox.operator_action")
    assert await cursor.fetchall() == [{"n": 2}]


async def test_listings_that_the_pms_was_not_asked_for_are_not_called_wrong(
    conn: Connection, database_url: str
) -> None:
    for slug in ("sea-loft", "old-mill"):
        await conn.execute("insert into properties (slug, name) values (%s, 'x')", [slug])
        await run(database_url, "listings", "set", slug, f"id-{slug}")

    check = await run(
        database_url,
        "listings",
        "check",
        GUESTLY_API_URL="http://127.0.0.1:9",
        GUESTLY_API_KEY="k",
    )

    assert check.code == 1
    assert "NOT CHECKED  sea-loft id-sea-loft" in check.out
    assert "WRONG" not in check.out
    assert check.out.count("error: not checked: ") == 1
    assert "next: outbox listings check" in check.out


async def test_it_is_said_that_no_booking_is_missing(database_url: str) -> None:
    ended = await run(database_url, "requeue", "--missing")

    assert ended.code == 7
    assert "No confirmed booking is missing." in ended.out
