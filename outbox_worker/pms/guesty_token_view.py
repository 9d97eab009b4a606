"""The fleet's access token as people see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from outbox_worker.database import Connection
from outbox_worker.gate import token as store
from outbox_worker.gate.token_state import Identity
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms import guesty_token as rules


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """The token as people see it; the token itself is not in it.

    Args:
        usable: Whether there is one that would be used.
        until: Its end; aware UTC.
        spent: Requests that the quota counts at present.
        next_request_at: When the next one is possible; aware UTC.
        code: How the last request failed; None: it did not.
        not_before: Because of that none is requested before; aware UTC.
        now: The database's clock, aware UTC.
    """

    usable: bool
    until: datetime | None
    spent: int
    next_request_at: datetime
    code: str | None
    not_before: datetime | None
    now: datetime


async def peek(conn: Connection, ours: Identity) -> TokenView:
    """What is known of the token; requests none.

    Args:
        conn: Any connection; only reads.
        ours: `token_state.identity` of the settings.

    Raises:
        DecodeError: The destination's row is missing.
    """
    row = await store.read_hidden(conn, Destination.GUESTLY)
    good = rules.times(row, ours, share=0.0)
    usable = good is not None and row.now < good.end
    failing = row.failing == ours.credentials
    return TokenView(
        usable=usable,
        until=row.expires_at if usable else None,
        spent=rules.spent(row, ours),
        next_request_at=rules.next_request_at(row, ours),
        code=row.code if failing else None,
        not_before=row.not_before if failing else None,
        now=row.now,
    )
