"""The fleet's access token in Postgres. The caller owns the connection."""

from __future__ import annotations

from datetime import datetime, timedelta

from outbox_worker.database import Connection, Row
from outbox_worker.errors import DecodeError
from outbox_worker.gate.token_state import UNFINISHED, Identity, Request, TokenRow
from outbox_worker.outbox.delivery import Destination
from outbox_worker.sql import query

#: Requests are kept on record for longer than any quota counts them.
_REMEMBER = timedelta(hours=48)


async def read(conn: Connection, destination: Destination) -> TokenRow:
    """The token's row; locks nothing.

    Raises:
        DecodeError: There is no such row.
    """
    cursor = await conn.execute(query("token_read"), {"destination": destination})
    return _row(await cursor.fetchone(), destination)


async def read_hidden(conn: Connection, destination: Destination) -> TokenRow:
    """The same without the token itself: for people.

    Raises:
        DecodeError: There is no such row.
    """
    cursor = await conn.execute(query("token_read_hidden"), {"destination": destination})
    return _row(await cursor.fetchone(), destination)


async def try_lock(conn: Connection, destination: Destination, *, idle: timedelta) -> bool:
    """Become the one who requests a token, until the caller's transaction ends.

    Args:
        conn: Inside a transaction.
        destination: Whose token.
        idle: Postgres ends the transaction, and with it the lock, when nothing is heard of the
            caller for so long.
    """
    milliseconds = round(idle.total_seconds() * 1000)
    cursor = await conn.execute(
        query("token_try_lock"), {"destination": destination, "idle": str(milliseconds)}
    )
    row = await cursor.fetchone()
    return row is not None and bool(row["locked"])


async def still_locked(conn: Connection) -> None:
    """Prove that the transaction of `try_lock` has not ended, and begin its idle time anew.

    Raises:
        psycopg.OperationalError: It has, and the lock may be somebody else's.
    """
    await conn.execute(query("token_still_locked"))


async def charge(
    conn: Connection,
    destination: Destination,
    seen: TokenRow,
    ours: Identity,
    *,
    failures: int,
    pace: timedelta,
) -> datetime | None:
    """Put on record that a token is requested now; a transaction of its own.

    Args:
        conn: In autocommit mode.
        destination: Whose token.
        seen: The row that the decision was made on.
        ours: Who requests it.
        failures: As many will have failed in a row if this one does, or if its worker is lost.
        pace: How long the next one has to wait then.

    Raises:
        psycopg.errors.LockNotAvailable: Somebody else holds the row.

    Returns:
        When; None: somebody else has requested one since.
    """
    async with conn.transaction():
        await conn.execute(query("gate_begin"))
        cursor = await conn.execute(
            query("token_charge"),
            {
                "destination": destination,
                "serial": seen.serial,
                "last": seen.last_request,
                "client": ours.client,
                "credentials": ours.credentials,
                "failures": failures,
                "code": UNFINISHED,
                "pace": pace,
                "remember": _REMEMBER,
            },
        )
        row = await cursor.fetchone()
    return None if row is None else row["charged_at"]


async def store(
    conn: Connection,
    destination: Destination,
    ours: Identity,
    *,
    value: str,
    life: timedelta,
    charged_at: datetime,
    serial: int,
) -> bool:
    """Give a new token to the fleet.

    Args:
        conn: Any connection.
        destination: Whose token.
        ours: Who requested it.
        value: The token.
        life: How long it lives.
        charged_at: When it was requested.
        serial: Of the token before it.

    Returns:
        False: somebody else has stored a newer one, and this one is dropped.
    """
    cursor = await conn.execute(
        query("token_store"),
        {
            "destination": destination,
            "serial": serial,
            "credentials": ours.credentials,
            "value": value,
            "life": life,
            "charged_at": charged_at,
        },
    )
    return await cursor.fetchone() is not None


async def fail(
    conn: Connection,
    destination: Destination,
    *,
    code: str,
    pause: timedelta,
    sent: bool,
    charged_at: datetime,
    serial: int,
) -> None:
    """Record that a request brought no token, unless it is not the last one any more.

    Args:
        conn: Any connection.
        destination: Whose token.
        code: Why; stable and snake_case.
        pause: No other one is requested for so long.
        sent: False: nothing has left this machine, so it does not count.
        charged_at: When it was requested.
        serial: Of the token before it.
    """
    await conn.execute(
        query("token_not_stored"),
        {
            "destination": destination,
            "serial": serial,
            "code": code,
            "pause": pause,
            "sent": sent,
            "charged_at": charged_at,
        },
    )


async def refuse(conn: Connection, destination: Destination, *, serial: int) -> None:
    """The API has refused this token: nobody is to use it any more."""
    await conn.execute(query("token_refuse"), {"destination": destination, "serial": serial})


async def forbid(conn: Connection, destination: Destination, *, serial: int) -> None:
    """The API has refused this token when it was new: its age is not the reason."""
    await conn.execute(query("token_forbid"), {"destination": destination, "serial": serial})


def _row(row: Row | None, destination: Destination) -> TokenRow:
    if row is None:
        raise DecodeError(f"outbox.destination has no row of {destination}")
    pairs = zip(row["auth_requests"], row["auth_clients"], strict=True)
    return TokenRow(
        value=row["access_token"],
        serial=row["token_serial"],
        since=row["token_since"],
        expires_at=row["token_expires_at"],
        refused=row["token_refused_at"] is not None,
        forbidden=row["token_forbidden"],
        credentials=row["token_credentials"],
        requests=tuple(Request(at=at, client=client) for at, client in pairs),
        failing=row["auth_credentials"],
        failures=row["auth_failures"],
        code=row["auth_code"],
        not_before=row["auth_not_before"],
        now=row["now"],
    )
