"""The next command, printed last where nothing is wrong."""

from __future__ import annotations

from outbox_worker.database import Connection
from tests.support_cli import outbox, settings
from tests.support_requeue import given_up, synced

REACHABLE = {"GUESTLY_API_URL": "http://127.0.0.1:9", "GUESTLY_API_KEY": "key"}


def last(database_url: str, *arguments: str, **more: str) -> str:
    ended = outbox(*arguments, environ=settings(database_url, **more))
    assert ended.code == 0, ended
    return ended.out.splitlines()[-1]


async def test_listings_are_set_then_checked(conn: Connection, database_url: str) -> None:
    nothing = last(database_url, "listings", "list")
    await synced(conn)
    await conn.execute("delete from outbox.listing")
    missing = last(database_url, "listings", "list", **REACHABLE)
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', '64f1')"
    )

    assert nothing == "next: outbox config show (is that the site's database?)"
    assert missing == "fix: outbox listings set sea-loft LISTING_ID"
    assert last(database_url, "listings", "list", **REACHABLE) == "next: outbox listings check"
    assert last(database_url, "listings", "list") == "next: outbox status"


def test_nothing_to_prune_leads_to_the_status(database_url: str) -> None:
    for more in ((), ("--dry-run",)):
        assert last(database_url, "prune", *more) == "next: outbox status"


async def test_a_booking_that_needs_nothing_can_be_checked(
    conn: Connection, database_url: str
) -> None:
    await synced(conn, booking_reference="LA-1")
    await given_up(conn, booking_reference="LA-2")

    assert last(database_url, "show", "LA-1") == "next: outbox check LA-1"
    told = outbox("show", "LA-1", "--json", environ=settings(database_url))
    assert told.data()["explanation"]["then"] == "outbox check LA-1"
    assert "next: " not in outbox("show", "LA-2", environ=settings(database_url)).out
