"""A site that has lived: delivered, due, failed, and held by a circuit that is open."""

from __future__ import annotations

from typing import LiteralString

import psycopg

#: Rows that a worker holds, for settle.
_CLAIMED = 10

#: n rows are delivered, a tenth of it is due, a tenth failed, a hundredth behind an open circuit.
_LOAD: tuple[LiteralString, ...] = (
    """insert into outbox.delivery (destination, key, delivered, attempts, claimed_at, delivered_at,
                                    requested_at)
       select 'inbox', 'evt_' || i, 1, 1, at, at, at
       from (select i, now() - interval '700 days' * (1 - i::float / %(n)s) as at
             from generate_series(1, %(n)s::bigint) i) d""",
    """insert into outbox.delivery (destination, key, due_at, requested_at)
       select 'inbox', 'due_' || i, now() - interval '6 hours' * i / %(n)s, now()
       from generate_series(1, %(n)s::bigint / 10) i""",
    """insert into outbox.delivery (destination, key, due_at, failed_at, attempts, claimed_at,
                                    last_error_code, last_error)
       select 'inbox', 'failed_' || i,
              case when i %% 2 = 0 then now() + interval '1 hour' * (1 + i::float / %(n)s) end,
              now() - interval '2 days' * (1 - i::float / %(n)s), 8, now() - interval '2 days',
              'unavailable', 'It was refused.'
       from generate_series(1, %(n)s::bigint / 10) i""",
    """insert into outbox.delivery (destination, key, due_at, requested_at)
       select 'guestly', md5('held' || i)::uuid::text, now() - interval '1 hour' * i / %(n)s, now()
       from generate_series(1, %(n)s::bigint / 100) i""",
    """insert into outbox.destination (destination, circuit, circuit_cause, circuit_until,
                                       circuit_opened_at)
       values ('guestly', 'open', 'outage', now() + interval '1 day', now())
       on conflict (destination) do update set circuit = 'open', circuit_cause = 'outage',
         circuit_until = excluded.circuit_until, circuit_opened_at = excluded.circuit_opened_at""",
    """insert into outbox.delivery (destination, key, due_at, attempts, owner, fence, claimed_at,
                                    lease_until)
       select 'inbox', 'claimed_' || i, now(), 1, 'worker-1', nextval('outbox.fence_seq'), now(),
              now() + interval '1 day'
       from generate_series(1, %(claimed)s) i""",
    """insert into outbox.request (delivery_id, version, reason)
       select id, 1, 'stripe' from outbox.delivery order by id""",
    """insert into outbox.attempt (delivery_id, fence, round, number, version, worker, started_at,
                                   finished_at, outcome)
       select id, -id, 1, 1, 1, 'worker-0', claimed_at, claimed_at,
              case when delivered = 1 then 'held' else 'failed' end
       from outbox.delivery where claimed_at is not null and owner is null order by id""",
)


def load(url: str, delivered: int) -> None:
    """Fill a migrated database.

    Args:
        url: A direct connection.
        delivered: Rows that are delivered; the others are fractions of it.
    """
    with psycopg.connect(url, autocommit=True) as conn:
        # what is loaded need not survive a crash of this machine
        conn.execute("set synchronous_commit = off")
        for statement in _LOAD:
            conn.execute(statement, {"n": delivered, "claimed": _CLAIMED})
        conn.execute("vacuum analyze")
        conn.execute("checkpoint")
