"""What operators see of a price that Guesty may have set anew, with ``PMS=guesty``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from outbox_worker.database import Connection
from tests.acceptance.test_cli_guesty import LOFT, environ, the_one
from tests.support_cli import outbox
from tests.support_engine import insert_booking
from tests.support_simulator_guesty import GuestySimulator, start_guesty

UNKNOWN = "The price in Guesty is not known to be what the guest has paid"


@pytest.fixture
def pms(tmp_path: Path) -> Iterator[GuestySimulator]:
    with start_guesty(tmp_path) as running:
        yield running


@pytest.fixture
async def ours(conn: Connection, database_url: str, pms: GuestySimulator) -> dict[str, str]:
    """Settings; LA-1 is in Guesty as it is on the site."""
    await insert_booking(conn, booking_reference="LA-1", total=480)
    settings = environ(database_url, pms)
    assert outbox("listings", "set", "sea-loft", LOFT, environ=settings).code == 0
    assert outbox("sync", "LA-1", environ=settings).code == 0
    return settings


def flat(text: str) -> str:
    return " ".join(text.split())


async def test_a_price_that_guesty_sets_is_told_until_a_person_has_compared_it(
    conn: Connection, ours: dict[str, str], pms: GuestySimulator
) -> None:
    link = f"outbox link LA-1 {the_one(pms)['_id']}"
    await conn.execute("update bookings set check_out_date = check_out_date + 1")

    sent = outbox("sync", "LA-1", environ=ours)
    again = outbox("sync", "LA-1", environ=ours)
    checked = outbox("check", "LA-1", environ=ours)
    shown = outbox("show", "LA-1", environ=ours)

    assert sent.code == 0, sent.out + sent.err
    assert again.code == 7, again.out + again.err
    assert (checked.code, shown.code) == (0, 0), checked.out + shown.out
    for each in (sent, again, checked, shown):
        assert f"{UNKNOWN}: after a change of listing, dates or guests Guesty sets its own." in (
            flat(each.out)
        )
        assert "with the total here (480.00 EUR), correct it there by hand" in flat(each.out)
        assert f"     {link}" in each.out.splitlines()
    assert shown.out.splitlines()[-1] == f"     {link}"
    assert "as it is here but for the price, which is not known." in flat(shown.out)
    listed = outbox("alerts", "list", environ=ours)
    assert "reported (price_unknown)" in listed.out
    assert listed.out.splitlines()[-1] == "next: outbox show LA-1"

    linked = outbox(*link.split()[1:], environ=ours)
    assert linked.code == 0, linked.out + linked.err
    assert "counts as the total here" in linked.out
    assert outbox(*link.split()[1:], environ=ours).code == 7, "known now"
    writes = the_one(pms)["guesty"]["written"]
    assert outbox("sync", "LA-1", environ=ours).code == 0
    assert the_one(pms)["guesty"]["written"] == writes
    for command in ("check", "show"):
        assert UNKNOWN not in flat(outbox(command, "LA-1", environ=ours).out)
    assert "No alert is open" in outbox("alerts", "list", environ=ours).out


async def test_programs_are_told_why_and_what_to_do(
    conn: Connection, ours: dict[str, str], pms: GuestySimulator
) -> None:
    await conn.execute("update bookings set adults = adults + 1")
    sent = outbox("sync", "LA-1", "--json", environ=ours).data()["price"]
    checked = outbox("check", "LA-1", "--json", environ=ours).data()["price"]
    shown = outbox("show", "LA-1", "--json", environ=ours).data()["explanation"]["price"]

    assert sent == checked == shown
    assert sent["reason"] == "reset"
    assert sent["sentence"].startswith(UNKNOWN)
    assert sent["command"] == f"outbox link LA-1 {the_one(pms)['_id']}"


async def test_of_a_reservation_that_was_found_the_price_is_not_known_and_nobody_is_called(
    conn: Connection, ours: dict[str, str]
) -> None:
    await conn.execute("delete from outbox.reservation")
    sent = outbox("sync", "LA-1", environ=ours)

    shown = outbox("show", "LA-1", environ=ours)

    assert f"{UNKNOWN}: the reservation was found there by a look-up; what its create wrote" in (
        flat(shown.out)
    )
    assert UNKNOWN in flat(sent.out)
    assert "No alert is open" in outbox("alerts", "list", environ=ours).out


async def test_a_cancelled_stay_has_no_price_to_be_compared(
    conn: Connection, ours: dict[str, str]
) -> None:
    await conn.execute("update bookings set adults = adults + 1")
    assert outbox("sync", "LA-1", environ=ours).code == 0
    await conn.execute("update bookings set status = 'cancelled'")
    sent = outbox("sync", "LA-1", environ=ours)

    assert sent.code == 0, sent.out + sent.err
    for each in (sent, outbox("show", "LA-1", environ=ours)):
        assert UNKNOWN not in flat(each.out)
    assert "No alert is open" in outbox("alerts", "list", environ=ours).out
