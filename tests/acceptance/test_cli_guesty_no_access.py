"""What operators are told while Guesty refuses our access, and when the next try is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, LiteralString

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Reason
from tests.support_cli import WIDTH, outbox, settings
from tests.support_engine import insert_booking
from tests.support_simulator_guesty import CLIENT_ID, start_guesty

OURS = {
    "PMS": "guesty",
    "GUESTLY_SYNC_ENABLED": "true",
    "GUESTLY_TEST_MODE": "false",
    "TZ": "UTC",
}
LOFT = "652f0000000000000000a001"
#: Five minutes from now, as the probe of any refusal.
OPEN: Mapping[str, Any] = {"cause": "misconfigured", "spent": 1, "failed": None, "wait": None}


async def shut(conn: Connection, code: str, **changes: Any) -> None:
    """Close the gate: requests an hour apart, the last one an hour ago, and no token."""
    await conn.execute(
        """update outbox.destination set circuit = 'open', circuit_cause = %(cause)s,
          circuit_code = %(code)s, circuit_opened_at = now() - interval '1 minute',
          circuit_until = now() + interval '5 minutes',
          auth_requests = array(select now() - n * interval '1 hour'
            from generate_series(%(spent)s, 1, -1) as n),
          auth_clients = array_fill('client'::text, array[%(spent)s]), auth_credentials = 'ours',
          auth_code = %(failed)s, auth_not_before = now() + %(wait)s::interval
        where destination = 'guestly'""",
        {**OPEN, "code": code, **changes},
    )


async def good_token(conn: Connection) -> None:
    """One that is new and lacks a permission."""
    await conn.execute(
        "update outbox.destination set access_token = 'x', token_credentials = 'ours',"
        " token_since = now(), token_expires_at = now() + interval '1 day', token_forbidden = true"
        " where destination = 'guestly'"
    )


async def at(conn: Connection, sql: LiteralString) -> str:
    """A moment on record as people read it to the second."""
    cursor = await conn.execute(
        f"select to_char(({sql}) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as at"
        " from outbox.destination where destination = 'guestly'"
    )
    row = await cursor.fetchone()
    assert row is not None
    return str(row["at"])


def told(database_url: str, *arguments: str) -> str:
    ended = outbox(*arguments, environ=settings(database_url, **OURS))
    assert [line for line in ended.out.splitlines() if len(line) > WIDTH] == []
    return " ".join(ended.out.split())


async def test_a_spent_quota_is_no_refused_key_and_says_when_the_next_one_is_possible(
    conn: Connection, database_url: str
) -> None:
    await insert_booking(conn, booking_reference="LA-1")
    await shut(conn, "token_quota", spent=5, failed="http_503", wait="30 minutes")
    next_at = await at(conn, "auth_requests[1] + interval '24 hours 1 minute'")

    listed, status = (told(database_url, name) for name in ("destinations", "status"))

    assert "Guesty grants no more access tokens for now (token_quota) since" in listed
    assert f"; the next is possible at {next_at} UTC" in listed
    assert listed.endswith("next: outbox status")
    assert "Guesty grants no more access tokens for now (token_quota); the next one is" in status
    assert "key or address" not in listed + status
    assert "in 4 min" not in listed


async def test_refused_credentials_say_when_the_same_are_tried_again(
    conn: Connection, database_url: str
) -> None:
    await shut(conn, "credentials_refused", failed="credentials_refused", wait="6 hours")
    next_at = await at(conn, "auth_not_before")

    listed, status = (told(database_url, name) for name in ("destinations", "status"))

    assert "Guesty refuses our client id or secret (credentials_refused) since" in listed
    assert f"; next try at {next_at} UTC" in listed
    assert listed.endswith("next: outbox status")
    assert "is held: Guesty refuses our client id or secret (credentials_refused); tried" in status
    assert "or after `outbox resume guestly`" in status


async def test_a_missing_permission_is_said_to_be_one_and_probed_soon(
    conn: Connection, database_url: str
) -> None:
    await shut(conn, "permission_refused")
    await good_token(conn)

    listed, status = (told(database_url, name) for name in ("destinations", "status"))

    words = "Guesty refuses our API client a permission (permission_refused)"
    assert f"{words} since" in listed
    assert "; next probe in 4 min" in listed
    assert f"is held: {words}; one call is tried at" in status


async def test_a_request_under_way_is_no_error_code(conn: Connection, database_url: str) -> None:
    await shut(conn, "token_unavailable", cause="outage", failed="unfinished", wait="1 minute")

    listed, status = (told(database_url, name) for name in ("destinations", "status"))

    for text in (listed, status):
        assert "an access token is being requested; if that brings none, the next" in text
        assert "unfinished" not in text


@pytest.mark.parametrize(
    ("spent", "token", "words"),
    [
        (1, False, "4 of the 5 requests of these 24 hours are left. The last calls"),
        (3, False, "are left. If this one brings no token, the last one is kept for 6 hours."),
        (4, False, "is left. It is the last one: if it brings no token, none can be had until"),
        (3, True, "The next call requests an access token. 2 of the 5 requests"),
        (4, True, "The next call takes the access token that there is. 1 of the 5 requests of"),
        (4, True, "It is kept back: it replaces no token that lacks a permission, and after a"),
        (5, True, "are spent: the next call takes the access token that there is. The last"),
    ],
)
async def test_a_resume_says_how_many_requests_are_left_and_what_becomes_of_the_last(
    conn: Connection, database_url: str, *, spent: int, token: bool, words: str
) -> None:
    code = "permission_refused" if token else "credentials_refused"
    await shut(conn, code, spent=spent, failed=None if token else code)
    if token:
        await good_token(conn)

    resumed = told(database_url, "resume", "guestly")

    assert words in resumed
    assert "one delivery is tried now" in resumed


async def test_a_resume_with_nothing_left_says_when_the_next_is_possible_and_tries_nothing(
    conn: Connection, database_url: str
) -> None:
    await shut(conn, "token_quota", spent=5, failed="http_503", wait="1 hour")
    next_at = await at(conn, "auth_requests[1] + interval '24 hours 1 minute'")

    resumed = told(database_url, "resume", "guestly")

    assert f"are spent: nothing can be sent before {next_at} UTC. next: outbox status" in resumed
    assert "is tried" not in resumed


@pytest.mark.parametrize(("wait", "offered"), [("10 minutes", False), ("-1 minute", True)])
async def test_no_booking_is_sent_alone_while_no_token_can_be_had(
    conn: Connection, database_url: str, *, wait: str, offered: bool
) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1")
    await store.request_sync(conn, booking, reason=Reason.STRIPE, reference="evt_1")
    await shut(conn, "token_unavailable", cause="outage", failed="http_503", wait=wait)

    shown = told(database_url, "show", "LA-1")

    assert "outbox resume guestly" in shown
    assert ("Or send this one alone, now" in shown) == offered


async def test_credentials_that_are_set_and_refused_are_not_asked_to_be_set(
    database_url: str, tmp_path: Path
) -> None:
    with start_guesty(tmp_path) as pms:
        more = {
            "GUESTY_API_URL": pms.url,
            "GUESTY_CLIENT_ID": CLIENT_ID,
            "GUESTY_CLIENT_SECRET": "another",
        }
        ours = settings(database_url, **OURS, **more)
        assert outbox("listings", "set", "sea-loft", LOFT, environ=ours).code == 0

        checked = outbox("listings", "check", environ=ours)

    said = " ".join(checked.err.split())
    assert checked.code == 2
    assert "Guesty refuses what is set. Correct them" in said
    assert "Set it in the environment" not in said
