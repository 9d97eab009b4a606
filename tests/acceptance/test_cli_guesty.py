"""The commands that call the PMS, with ``PMS=guesty``: against the stand-in, as an operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outbox_worker.database import Connection
from tests.support_cli import outbox, settings
from tests.support_engine import insert_booking
from tests.support_simulator_guesty import (
    CLIENT_ID,
    CLIENT_SECRET,
    GuestySimulator,
    start_guesty,
)

LOFT, MILL = "652f0000000000000000a001", "652f0000000000000000a002"


def environ(database_url: str, pms: GuestySimulator, **more: str) -> dict[str, str]:
    return settings(
        database_url,
        PMS="guesty",
        GUESTY_API_URL=pms.url,
        GUESTY_CLIENT_ID=CLIENT_ID,
        GUESTY_CLIENT_SECRET=CLIENT_SECRET,
        GUESTLY_TEST_MODE="false",
        PMS_QUIET_SECONDS="1",
        **more,
    )


async def test_a_listing_that_is_priced_in_another_currency_is_wrong(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    await conn.execute(
        "insert into properties (slug, name) values ('sea-loft', 'Sea Loft'), ('old-mill', 'Mill')"
    )
    with start_guesty(tmp_path, listings=None) as pms:
        pms.list_anew(
            [
                {"_id": LOFT, "title": "Sea Loft, Guesty", "currency": "EUR"},
                {"_id": MILL, "title": "Old Mill, Guesty", "currency": "USD"},
            ]
        )
        ours = environ(database_url, pms)
        for slug, listing in (("sea-loft", LOFT), ("old-mill", MILL)):
            assert outbox("listings", "set", slug, listing, environ=ours).code == 0

        checked = outbox("listings", "check", environ=ours)
        again = outbox("listings", "check", "--json", environ=ours)

        assert pms.tokens()["requests"] == 1, "the second command uses the token of the first"
    assert checked.code == again.code == 1
    assert f"OK     sea-loft {LOFT}: Sea Loft, Guesty (EUR)" in checked.out
    assert f"WRONG  old-mill {MILL}: it is priced in USD, and" in checked.out
    assert checked.out.splitlines()[-1] == (
        "next: outbox listings check (once it is corrected in Guesty)"
    )
    assert {each["slug"]: each["currency"] for each in again.data()} == {
        "old-mill": "USD",
        "sea-loft": "EUR",
    }


async def test_all_that_is_wrong_with_a_listing_is_told_at_once(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    await conn.execute(
        "insert into properties (slug, name) values ('sea-loft', 'Sea Loft'), ('old-mill', 'Mill')"
    )
    with start_guesty(tmp_path, listings=None) as pms:
        usd = {"_id": LOFT, "title": "Loft", "currency": "USD"}
        pms.list_anew([usd | {"active": False}, {"_id": MILL, "title": "Mill", "currency": "EUR"}])
        ours = environ(database_url, pms)
        for slug in ("sea-loft", "old-mill"):
            assert outbox("listings", "set", slug, LOFT, environ=ours).code == 0
        wrong = outbox("listings", "check", environ=ours)
        for slug, listing in (("sea-loft", LOFT), ("old-mill", MILL)):
            assert outbox("listings", "set", slug, listing, environ=ours).code == 0
        pms.list_anew(
            [usd | {"currency": "EUR"}, {"_id": MILL, "title": "Mill", "currency": "EUR"}]
        )
        right = outbox("listings", "check", environ=ours)

    for words in ("not as active", "priced in USD", "sea-loft has the same listing"):
        assert words in " ".join(wrong.out.split())
    assert wrong.out.splitlines()[-1] == "next: outbox listings set old-mill LISTING_ID"
    assert (right.code, right.out.splitlines()[-1]) == (0, "next: outbox status")


async def test_one_booking_is_sent_checked_changed_and_cancelled(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1", total=480)
    with start_guesty(tmp_path, listings=None) as pms:
        pms.list_anew([{"_id": LOFT, "title": "Sea Loft", "currency": "EUR"}])
        ours = environ(database_url, pms)
        assert outbox("listings", "set", "sea-loft", LOFT, environ=ours).code == 0

        payload = outbox("show", "LA-1", "--payload", "--json", environ=ours)
        sent = outbox("sync", "LA-1", environ=ours)
        assert sent.code == 0, sent.out + sent.err
        held = the_one(pms)
        assert held["guesty"]["written"] == {"create": 1, "notes": 1}
        assert "Booking Reference: LA-1" in json.dumps(held["guesty"]["notes"])
        assert payload.code == 0, payload.out + payload.err
        assert payload.data()["payload"]["body"]["confirmationCode"] == "LA-1"
        checked = outbox("check", "LA-1", environ=ours)
        assert checked.code == 0, checked.out

        await conn.execute(
            "update bookings set check_out_date = check_out_date + 1, special_requests = 'A cot'"
        )
        sent = outbox("sync", "LA-1", environ=ours)
        assert sent.code == 0, sent.out + sent.err
        held = the_one(pms)
        assert held["guesty"]["written"] == {"create": 1, "dates": 1, "notes": 2}
        assert "A cot" in json.dumps(held["guesty"]["notes"])

        await conn.execute(
            "update bookings set status = 'cancelled' where id = %(id)s", {"id": booking}
        )
        sent = outbox("sync", "LA-1", environ=ours)
        assert sent.code == 0, sent.out + sent.err
        assert the_one(pms)["status"] == "canceled"
        assert pms.tokens()["requests"] == 1


async def test_a_new_price_is_a_persons_turn_who_says_so_with_link(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    await insert_booking(conn, booking_reference="LA-1", total=480)
    with start_guesty(tmp_path, listings=None) as pms:
        pms.list_anew([{"_id": LOFT, "title": "Sea Loft", "currency": "EUR"}])
        ours = environ(database_url, pms)
        assert outbox("listings", "set", "sea-loft", LOFT, environ=ours).code == 0
        assert outbox("sync", "LA-1", environ=ours).code == 0
        reservation = the_one(pms)["_id"]

        for total in (500, 520):
            await conn.execute("update bookings set total = %(total)s", {"total": total})
            refused = outbox("sync", "LA-1", environ=ours)
            assert refused.code == 1
            shown = outbox("show", "LA-1", environ=ours)
            assert "fare_fixed" in shown.out
            assert f"outbox link LA-1 {reservation}" in " ".join(shown.out.split())
            linked = outbox("link", "LA-1", reservation, environ=ours)
            assert linked.code == 0, linked.out + linked.err
            sent = outbox("sync", "LA-1", environ=ours)
            assert sent.code == 0, sent.out + sent.err

        held = the_one(pms)
        assert held["guesty"]["repriced"] == 0, "what was there already is not written again"
        assert held["guesty"]["written"] == {"create": 1, "notes": 3}


@pytest.mark.parametrize("status", ["confirmed", "cancelled"])
async def test_what_another_pms_is_on_record_as_holding_is_neither_created_nor_forgotten(
    conn: Connection, database_url: str, tmp_path: Path, status: str
) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1", status=status)
    await conn.execute(
        "insert into outbox.reservation (booking_id, pms, reservation_id)"
        " values (%(id)s, 'guestly', 'taken-over')",
        {"id": booking},
    )
    with start_guesty(tmp_path) as pms:
        ours = environ(database_url, pms)
        assert outbox("listings", "set", "sea-loft", LOFT, environ=ours).code == 0
        refused = outbox("sync", "LA-1", environ=ours)
        assert refused.code == 1, refused.out + refused.err
        shown = outbox("show", "LA-1", environ=ours)
        assert "held_elsewhere" in shown.out
        assert "outbox link LA-1 taken-over" in " ".join(shown.out.split())
        assert pms.state()["reservations"] == []


async def test_a_site_without_cleaning_fees_loses_nothing_by_it(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    await insert_booking(conn, booking_reference="LA-1", total=480)
    await insert_booking(conn, booking_reference="LA-2", total=480, cleaning_fee=60)
    with start_guesty(tmp_path) as pms:
        ours = environ(database_url, pms)
        assert outbox("listings", "set", "sea-loft", LOFT, environ=ours).code == 0
        await conn.execute(
            "update bookings set check_in_date = check_in_date + 30,"
            " check_out_date = check_out_date + 30 where booking_reference = 'LA-2'"
        )
        assert outbox("sync", "LA-2", environ=ours).code == 0
        assert the_one(pms)["guesty"]["cleaningFee"] == 60
        await conn.execute("alter table bookings drop column cleaning_fee")
        sent = outbox("sync", "LA-1", environ=ours)
        assert sent.code == 0, sent.out + sent.err


async def test_a_wrong_secret_spends_one_request_and_says_so(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    await insert_booking(conn, booking_reference="LA-1")
    with start_guesty(tmp_path) as pms:
        wrong = environ(database_url, pms) | {"GUESTY_CLIENT_SECRET": "not-the-secret"}
        assert outbox("listings", "set", "sea-loft", LOFT, environ=wrong).code == 0
        for _ in range(3):
            checked = outbox("listings", "check", environ=wrong)
            assert checked.code == 2
            assert "GUESTY_CLIENT_ID or GUESTY_CLIENT_SECRET" in checked.err
            assert "not-the-secret" not in checked.out + checked.err
        assert pms.tokens()["requests"] == 1

        right = outbox("listings", "check", environ=environ(database_url, pms))
        assert "OK     sea-loft" in right.out


def the_one(pms: GuestySimulator) -> dict[str, Any]:
    (held,) = pms.state()["reservations"]
    assert isinstance(held, dict)
    return held
