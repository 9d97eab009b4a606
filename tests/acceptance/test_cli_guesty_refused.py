"""What operators are told where Guesty refuses a booking or our access, with ``PMS=guesty``."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox_worker.database import Connection
from outbox_worker.errors import OutboxError, PmsUnansweredError, SettingsError
from outbox_worker.operations.listings import check_listings, list_listings, set_listings
from outbox_worker.pms.guesty_token_words import forbidden
from outbox_worker.pms.port import Misconfigured, PmsName
from outbox_worker.redaction import mask
from tests.acceptance.test_cli_guesty import LOFT, environ, the_one
from tests.support_cli import Ended, outbox
from tests.support_engine import insert_booking
from tests.support_guesty_adapter import Tokens, guesty
from tests.support_requeue import given_up, synced
from tests.support_scripted import answering
from tests.support_simulator_guesty import start_guesty


def flat(ended: Ended) -> str:
    return " ".join(ended.out.split())


def fixes(ended: Ended) -> str:
    """What is to be done, from the first of it to the end."""
    _, fix, rest = ended.out.partition("\nfix: ")
    return fix + rest


async def test_a_new_price_is_never_said_to_be_sent_again(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    await insert_booking(conn, booking_reference="LA-1", total=480)
    with start_guesty(tmp_path) as pms:
        ours = environ(database_url, pms)
        set_ = outbox("listings", "set", "sea-loft", LOFT, environ=ours)
        assert set_.out.splitlines()[-1] == "next: outbox listings check"
        assert outbox("sync", "LA-1", environ=ours).code == 0
        link = f"outbox link LA-1 {the_one(pms)['_id']}"
        await conn.execute("update bookings set total = 500")
        assert outbox("sync", "LA-1", environ=ours).code == 1

        shown = outbox("show", "LA-1", environ=ours)
        checked = outbox("check", "LA-1", environ=ours)

        assert f"     {link}" in shown.out.splitlines()
        assert checked.code == 5
        assert checked.out.splitlines()[-1] == f"     {link}"
        assert fixes(checked) == fixes(shown)
        assert "On record it has another price in Guesty; otherwise it is as it is here" in (
            flat(checked)
        )
        assert "outbox requeue" not in shown.out + checked.out
        assert outbox(*link.split()[1:], environ=ours).code == 0
        assert outbox("sync", "LA-1", environ=ours).code == 0


@pytest.mark.parametrize("also", ["total = 500", "check_out_date = check_out_date + 1"])
async def test_of_price_and_guest_both_are_named_before_a_person_vouches_for_them(
    conn: Connection, database_url: str, tmp_path: Path, also: str
) -> None:
    await insert_booking(conn, booking_reference="LA-1", total=480)
    with start_guesty(tmp_path) as pms:
        ours = environ(database_url, pms)
        assert outbox("listings", "set", "sea-loft", LOFT, environ=ours).code == 0
        assert outbox("sync", "LA-1", environ=ours).code == 0
        link = f"     outbox link LA-1 {the_one(pms)['_id']}"
        await conn.execute(f"update bookings set guest_last_name = 'Other', {also}")
        assert outbox("sync", "LA-1", environ=ours).code == 1

        shown = outbox("show", "LA-1", environ=ours)
        checked = outbox("check", "LA-1", environ=ours)

    assert fixes(checked) == fixes(shown)
    assert "price" in fixes(shown)
    assert "name, e-mail or phone there by hand" in " ".join(fixes(shown).split())
    assert fixes(shown).count("outbox link") == 1
    assert shown.out.splitlines()[-1] == checked.out.splitlines()[-1] == link
    assert "another guest (name, e-mail or phone)" in flat(checked)


@pytest.mark.parametrize("code", ["phone_invalid", "listing_is_not_available"])
async def test_what_is_refused_again_unless_it_is_mended_is_mended_first(
    conn: Connection, database_url: str, tmp_path: Path, code: str
) -> None:
    await given_up(conn, code=code, booking_reference="LA-1")
    with start_guesty(tmp_path) as pms:
        ours = environ(database_url, pms)
        assert outbox("listings", "set", "sea-loft", LOFT, environ=ours).code == 0

        shown = outbox("show", "LA-1", environ=ours)
        checked = outbox("check", "LA-1", environ=ours)
        told = outbox("check", "LA-1", "--json", environ=ours).data()["steps"]

    assert checked.code == 5
    assert fixes(shown)
    assert fixes(checked) == fixes(shown)
    assert [each["command"] for each in told][1] == "outbox requeue LA-1 --wait"
    assert told[0]["command"] == ""


@pytest.mark.parametrize("testing", [True, False])
async def test_what_test_mode_has_handled_is_not_said_to_be_sent_while_it_is_on(
    conn: Connection, database_url: str, tmp_path: Path, testing: bool
) -> None:
    await synced(conn, mode="test", booking_reference="LA-1")
    await conn.execute("update outbox.reservation set pms = 'guesty'")
    with start_guesty(tmp_path) as pms:
        ours = environ(database_url, pms, GUESTLY_SYNC_ENABLED="true") | {
            "GUESTLY_TEST_MODE": str(testing).lower()
        }
        shown = outbox("show", "LA-1", environ=ours)
        checked = outbox("check", "LA-1", environ=ours)

    assert checked.code == 5
    assert fixes(checked) == fixes(shown)
    assert ("GUESTLY_TEST_MODE=false" in fixes(checked)) is testing


async def test_a_price_that_guesty_sets_is_in_the_log_too_where_that_is_asked_for(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1", total=480)
    with start_guesty(tmp_path) as pms:
        ours = environ(database_url, pms)
        assert outbox("listings", "set", "sea-loft", LOFT, environ=ours).code == 0
        assert outbox("sync", "LA-1", environ=ours).code == 0
        told = []
        for more in ({}, {"LOG_LEVEL": "warning"}):
            await conn.execute("update bookings set check_out_date = check_out_date + 1")
            sent = outbox("sync", "LA-1", environ=ours | more)
            assert sent.code == 0, sent.out + sent.err
            told.append(sent.err)

    quiet, logged = ("sets the price of a changed stay" in text for text in told)
    assert (quiet, logged) == (False, True)
    assert str(booking) in told[1]


async def test_a_wrong_address_is_said_to_be_one_and_a_missing_permission_no_setting(
    database_url: str, tmp_path: Path
) -> None:
    with start_guesty(tmp_path) as pms:
        ours = environ(database_url, pms)
        assert outbox("listings", "set", "sea-loft", LOFT, environ=ours).code == 0
        assert "sea-loft" in outbox("listings", "check", environ=ours).out
        pms.revoke_tokens()

        forbidden = outbox("listings", "check", environ=ours)
        elsewhere = outbox(
            "listings", "check", environ=ours | {"GUESTY_API_URL": f"{pms.url}/elsewhere"}
        )

    assert (forbidden.code, elsewhere.code) == (1, 2)
    assert "the API client lacks a permission" in " ".join(forbidden.err.split())
    assert "setting" not in forbidden.err
    assert "outbox resume guestly" in " ".join(forbidden.err.split())
    assert "GUESTY_API_URL" in elsewhere.err
    assert "GUESTY_CLIENT" not in elsewhere.err


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("token_quota", PmsUnansweredError, "the words of the answer (token_quota)"),
        ("permission_refused", PmsUnansweredError, "(permission_refused)"),
        ("token_address", SettingsError, "GUESTY_API_URL: the words of the answer"),
        ("credentials_refused", SettingsError, "GUESTY_CLIENT_ID or GUESTY_CLIENT_SECRET: "),
    ],
)
async def test_what_no_setting_mends_is_not_called_a_setting(
    conn: Connection, code: str, kind: type[OutboxError], words: str
) -> None:
    await set_listings(conn, {"sea-loft": LOFT}, pms=PmsName.GUESTY, actor="anna")
    rows = await list_listings(conn, pms=PmsName.GUESTY)
    tokens = Tokens()
    tokens.answer = Misconfigured(code=code, message="the words of the answer", everybodys=True)

    async with guesty(answering(), tokens=tokens) as (pms, server):
        with pytest.raises(kind) as caught:
            [each async for each in check_listings(conn, rows, pms=pms, currency="EUR")]
        assert server.requests == []

    faults = caught.value.faults if isinstance(caught.value, SettingsError) else ()
    assert words in "; ".join((str(caught.value), *faults))


def test_no_word_of_a_missing_permission_is_taken_for_a_secret() -> None:
    message = forbidden(403).message

    assert mask(message) == message
