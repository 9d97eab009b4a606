"""A site that has lived: what is finished, a backlog that waits, failures, little that is due.

At scale 100,000: 1M delivered rows; 100k due in a destination that is paused; 100k failed there
(the older half waits for a person, the other for its redrive); 100k in a second paused one that
wait for their next attempt; and 1k due in an open one. With their bookings, reservations, events,
requests and attempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

#: Rows of a destination that is closed, and failed rows; ten times as many are delivered.
LARGE = 100_000
SMALL = 1_000
#: Rows that are due in the open destination, whatever the size.
DUE = 1_000
#: Rows that are claimed already, of each destination; what settles, extends and releases names.
CLAIMED = 10
OWNER = "worker-1"

_Connection = psycopg.Connection[dict[str, Any]]

_LOAD: tuple[LiteralString, ...] = (
    """insert into properties (id, slug, name)
       select md5('property' || i)::uuid, 'house-' || i, 'House ' || i
       from generate_series(0, 49) i""",
    """insert into outbox.listing (pms, slug, listing_id)
       select 'guestly', slug, 'listing-' || slug from properties""",
    # bookings 1 to 6n are delivered, 6n+1 to 7n held, 7n+1 to 8n failed, 8n+1 to 9n never paid;
    # five more are paid and were never asked for
    """insert into bookings (
         id, booking_reference, property_id, guest_first_name, guest_last_name, guest_email,
         check_in_date, check_out_date, adults, children, total, status, payment_status,
         stripe_payment_intent_id, stripe_charge_id, confirmed_at, guestly_sync_status,
         guestly_reservation_id, guestly_synced_at, guestly_sync_attempts)
       select md5('booking' || i)::uuid, 'LA-' || i, md5('property' || i %% 50)::uuid, 'Guest',
              'Number ' || i, 'guest-' || i || '@example.com', day, day + 5, 2, 0, 500,
              case when i between 8 * n + 1 and 9 * n then 'pending' else 'confirmed' end,
              case when i between 8 * n + 1 and 9 * n then 'pending' else 'completed' end,
              'pi_' || i, 'ch_' || i, day - interval '30 days',
              case when i <= 6 * n then 'synced' when i between 7 * n + 1 and 8 * n then 'failed'
                   else 'pending' end,
              case when i <= 6 * n then 'reservation-' || i end,
              case when i <= 6 * n then day - interval '30 days' end, 1
       from (select i, n, current_date - 700 + (i * 900 / (9 * n))::integer as day
             from (select %(n)s::bigint as n) s cross join generate_series(1, 9 * n + 5) i) b""",
    """insert into outbox.reservation (booking_id, pms, reservation_id, mode)
       select md5('booking' || i)::uuid, 'guestly', 'reservation-' || i,
              case when i %% 500 = 0 then 'test' else 'live' end
       from generate_series(1, 6 * %(n)s::bigint) i""",
    """insert into outbox.inbox_event (source, id, type, outcome, booking_id, payment_intent_id,
                                       received_at)
       select 'stripe', 'evt_' || i, 'payment_intent.succeeded',
              case when i > 39 * %(n)s::bigint / 10 then 'waiting' else 'applied' end,
              case when i <= 39 * %(n)s::bigint / 10 then md5('booking' || i)::uuid end, 'pi_' || i,
              now() - interval '700 days' * (1 - i::float / (4 * %(n)s))
       from generate_series(1, 39 * %(n)s::bigint / 10 + %(due)s + %(claimed)s) i""",
    # what is delivered
    """insert into outbox.delivery (destination, key, delivered, attempts, claimed_at, delivered_at,
                                    requested_at)
       select case when i <= 6 * n then 'guestly' when i <= 99 * n / 10 then 'inbox'
                   else 'email' end,
              case when i <= 6 * n then md5('booking' || i)::uuid::text
                   when i <= 99 * n / 10 then 'evt_' || i - 6 * n else (i - 99 * n / 10)::text end,
              1, 1, at, at, at
       from (select i, n, now() - interval '700 days' * (1 - i::float / (10 * n)) as at
             from (select %(n)s::bigint as n) s cross join generate_series(1, 10 * n) i) d""",
    # what is due while its destination is closed
    """insert into outbox.delivery (destination, key, due_at, requested_at)
       select 'guestly', md5('booking' || 6 * %(n)s::bigint + i)::uuid::text,
              now() - interval '6 hours' * i / %(n)s, now() - interval '6 hours' * i / %(n)s
       from generate_series(1, %(n)s::bigint) i""",
    # what was given up: first what waits for a person, then what waits for its redrive
    """insert into outbox.delivery (destination, key, due_at, failed_at, attempts, claimed_at,
                                    last_error_code, last_error)
       select 'guestly', md5('booking' || 7 * n + i)::uuid::text,
              case when i > n / 2 then now() + interval '1 hour' * (1 + i::float / n) end,
              now() - interval '2 days' * (1 - i::float / n), 8,
              now() - interval '2 days' * (1 - i::float / n),
              case when i > n / 2 then 'unavailable' else 'rejected' end, 'It was refused.'
       from (select i, n
             from (select %(n)s::bigint as n) s cross join generate_series(1, n) i) f""",
    # what waits for its next attempt
    """insert into outbox.delivery (destination, key, due_at, attempts, claimed_at, last_error_code)
       select 'chat', i::text, now() + interval '1 hour' * (1 + i::float / %(n)s), 2,
              now() - interval '1 minute', 'unavailable'
       from generate_series(1, %(n)s::bigint) i""",
    # what is due in a destination that is open
    """insert into outbox.delivery (destination, key, due_at)
       select 'inbox', 'evt_' || 39 * %(n)s::bigint / 10 + i, now() - interval '1 minute' * random()
       from generate_series(1, %(due)s) i""",
    # what a worker holds: events, and bookings whose destination was closed behind it
    """insert into outbox.delivery (destination, key, due_at, attempts, owner, fence, claimed_at,
                                    lease_until)
       select 'inbox', 'evt_' || 39 * %(n)s::bigint / 10 + %(due)s + i, now(), 1,
              %(owner)s, nextval('outbox.fence_seq'), now(), now() + interval '1 day'
       from generate_series(1, %(claimed)s) i""",
    """update outbox.delivery set attempts = 1, owner = %(owner)s, claimed_at = now(),
              fence = nextval('outbox.fence_seq'), lease_until = now() + interval '1 day'
       where destination = 'guestly'
         and key in (select md5('booking' || 6 * %(n)s::bigint + i)::uuid::text
                     from generate_series(1, %(claimed)s) i)""",
    """insert into outbox.request (delivery_id, version, reason)
       select id, 1, 'stripe' from outbox.delivery order by id""",
    """insert into outbox.attempt (delivery_id, fence, round, number, version, worker, started_at,
                                   finished_at, outcome)
       select id, -id, 1, 1, 1, 'worker-0', claimed_at, claimed_at,
              case when delivered = 1 then 'held' else 'failed' end
       from outbox.delivery where claimed_at is not null and owner is null order by id""",
    # incidents: twenty that are open and name all that failed, and a thousand that are over
    """insert into outbox.alert (kind, fingerprint, facts, resolved_at)
       select 'sync_failed', 'failure-' || i, '{"code": "unavailable"}',
              case when i > 20 then now() - interval '1 day' end
       from generate_series(1, 1020) i""",
    """insert into outbox.alert_delivery (alert_id, delivery_id, failed_at, mail, mailed_at)
       select 1 + row_number() over (order by d.id) %% 20, d.id, d.failed_at, 1, d.failed_at
       from outbox.delivery d where d.failed_at is not null""",
    """insert into outbox.worker (id, host, pid, version, pms, sync_enabled, test_mode, seen_at,
                                  stopped_at)
       select 'worker-' || i, 'host', i, '1', 'guestly', true, false, now() - interval '1 h' * i,
              case when i > 1 then now() - interval '1 hour' * i end
       from generate_series(0, 50) i""",
    """insert into outbox.operator_action (actor, action, target, deliveries, affected)
       select 'anna', 'requeue', 'failed', array[i, i + 1], 2 from generate_series(1, 1000) i""",
    """update outbox.destination set paused_at = now(), paused_by = 'anna'
       where destination in ('guestly', 'chat')""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A loaded database, and the rows in it that statements are about.

    Args:
        url: A direct connection; the data were vacuumed and analyzed.
        scale: Rows of the closed destination.
        claimed: Claimed events: ids, fences.
        claimed_bookings: Claimed bookings: delivery ids, fences, booking ids.
        due: Ids that are due in the open destination.
        failed: Ids that wait for their redrive.
        unfinished: How many rows are not delivered.
        pages: Of all tables together.
    """

    url: str
    scale: int
    claimed: tuple[list[int], list[int]]
    claimed_bookings: tuple[list[int], list[int], list[str]]
    due: list[int]
    failed: list[int]
    unfinished: int
    pages: int


def load(url: str, scale: int) -> Dataset:
    """Fill a migrated database."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as conn:
        for statement in _LOAD:
            values = {"n": scale, "due": DUE, "claimed": CLAIMED, "owner": OWNER}
            conn.execute(statement, values)
        conn.execute("vacuum analyze")
        events = _claimed(conn, "inbox")
        bookings = _claimed(conn, "guestly")
        return Dataset(
            url=url,
            scale=scale,
            claimed=(_column(events, "id"), _column(events, "fence")),
            claimed_bookings=(
                _column(bookings, "id"),
                _column(bookings, "fence"),
                _column(bookings, "key"),
            ),
            due=_ids(conn, "destination = 'inbox' and due_at <= now() and owner is null"),
            failed=_ids(conn, "failed_at is not null and due_at > now()"),
            unfinished=_number(
                conn, "select count(*) as n from outbox.delivery where delivered < requested"
            ),
            pages=_number(
                conn,
                "select sum(relpages) as n from pg_class where relkind = 'r' and relnamespace"
                " in ('public'::regnamespace, 'outbox'::regnamespace)",
            ),
        )


def _claimed(conn: _Connection, destination: str) -> list[dict[str, Any]]:
    return conn.execute(
        "select id, fence, key from outbox.delivery where owner = %s and destination = %s"
        " order by id",
        [OWNER, destination],
    ).fetchall()


def _ids(conn: _Connection, condition: LiteralString) -> list[int]:
    rows = conn.execute(
        f"select id from outbox.delivery where {condition} order by due_at limit {CLAIMED}"
    ).fetchall()
    return sorted(_column(rows, "id"))


def _number(conn: _Connection, statement: LiteralString) -> int:
    row = conn.execute(statement).fetchone()
    assert row is not None
    return int(row["n"])


def _column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]
