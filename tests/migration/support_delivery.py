"""What becomes of a delivery, in the words of a test."""

from __future__ import annotations

from tests.migration.support_site import Connection, rows

#: What a claim does to the row, as far as a request can see it.
CLAIM = (
    "update outbox.delivery set owner = 'w', fence = 7, attempts = attempts + 1,"
    " claimed_at = now(), lease_until = now() + interval '30 s'"
)


def at_rest(assignments: str) -> str:
    """What ends a claim: the row's new state, and nobody owns it."""
    return f"update outbox.delivery set {assignments}, owner = null, fence = 0, lease_until = null"


SETTLE = at_rest("delivered = requested, due_at = null")
GIVE_UP = at_rest("failed_at = now(), due_at = null")
RETRY = at_rest("due_at = now() + interval '1 h'")
DISCARD = at_rest("discarded_at = now(), due_at = null, failed_at = null")


def delivery(conn: Connection) -> dict[str, object]:
    """The only delivery, with its times as what they say."""
    [row] = rows(
        conn,
        "select requested, delivered, attempts, round, owner, due_at <= now() as due,"
        " failed_at is not null as failed, discarded_at is not null as discarded,"
        " uncertain_at is not null as uncertain from outbox.delivery",
    )
    return row


def history(conn: Connection) -> list[tuple[object, ...]]:
    found = rows(
        conn, "select version, reason, reference, traceparent from outbox.request order by id"
    )
    return [tuple(row.values()) for row in found]
